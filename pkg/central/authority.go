package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// authorityFile is beside OVN central's databases, in their volume: whoever has those
// needs no certificate, and what backs up the one backs up the other.
const authorityFile = "/var/lib/ovn/authority.json"

// formerFile has what authorityFile had before, while that is written: Docker's API has no
// way to put a file in another one's place at once.
const formerFile = authorityFile + ".former"

// authorities sign the certificates of hosts and of what is published to them: one, or
// two while the next one takes the place of the present one. Databases then know hosts
// by either, and hosts that were invited since know the databases by either, so that
// there is no moment at which one of them is cut off.
type authorities struct {
	now  pki.Authority
	next *pki.Authority
}

// signers is what authorityFile holds.
type signers struct {
	pki.Pair
	Next *pki.Pair `json:"next,omitempty"`
}

// known are the certificates of all, as PEM, the one that stays first.
func (a authorities) known() []byte {
	if a.next == nil {
		return a.now.Cert()
	}
	return slices.Concat(a.next.Cert(), a.now.Cert())
}

// last is the one that signs the certificates of hosts.
func (a authorities) last() pki.Authority {
	if a.next != nil {
		return *a.next
	}
	return a.now
}

// authorities returns those of OVN central, and makes the first one if need be.
func (c *Central) authorities(ctx context.Context, central string) (authorities, error) {
	by, found, err := c.storedAuthorities(ctx, central)
	if err != nil || found {
		return by, err
	}
	if by.now, err = pki.New(time.Now()); err != nil {
		return by, err
	}
	return by, c.writeAuthorities(ctx, central, by)
}

// storedAuthorities returns those that there are.
func (c *Central) storedAuthorities(ctx context.Context, central string) (by authorities, found bool, err error) {
	text, err := c.get(ctx, central, authorityFile)
	if err != nil || text == nil {
		return by, false, err
	}
	by, err = readAuthorities(text)
	if err != nil { // cut off by a loss of power while it was written
		text, gerr := c.get(ctx, central, formerFile)
		if gerr == nil && text != nil {
			by, err = readAuthorities(text)
		}
	}
	if err != nil {
		return by, false, fmt.Errorf("reading %s in container %q, which signs the certificates of hosts (remove it to have another one made, and invite all hosts again): %w", authorityFile, containerName, err)
	}
	return by, true, nil
}

func readAuthorities(text []byte) (authorities, error) {
	var s signers
	if err := json.Unmarshal(text, &s); err != nil {
		return authorities{}, err
	}
	now, err := pki.Read(s.Pair)
	if err != nil || s.Next == nil {
		return authorities{now: now}, err
	}
	next, err := pki.Read(*s.Next)
	return authorities{now: now, next: &next}, err
}

func (c *Central) writeAuthorities(ctx context.Context, central string, by authorities) error {
	var s signers
	var err error
	if s.Pair, err = by.now.Pair(); err != nil {
		return err
	}
	if by.next != nil {
		next, err := by.next.Pair()
		if err != nil {
			return err
		}
		s.Next = &next
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing %s: %w", authorityFile, err)
	}
	former, err := c.get(ctx, central, authorityFile)
	if err != nil {
		return err
	}
	if former != nil {
		err = c.put(ctx, central, folder{formerFile[1:]: former})
	}
	if err == nil {
		err = c.put(ctx, central, folder{authorityFile[1:]: text})
	}
	if err != nil {
		return c.dockerError(fmt.Sprintf("writing %s in container %q", authorityFile, containerName), err)
	}
	return nil
}

// Aging returns an error when the authority of the certificates that this host publishes OVN
// central with ends soon.
func (c *Central) Aging(ctx context.Context, now time.Time) error {
	if c.cfg.Insecure || !c.cfg.Publish.IsValid() {
		return nil
	}
	done, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	central, _, err := c.own(ctx)
	if errors.Is(err, ErrNoCentral) {
		return nil
	}
	if err != nil {
		return err
	}
	by, err := c.authorities(ctx, central)
	if err != nil {
		return err
	}
	if by.now.Until().Sub(now) < pki.Soon {
		return fmt.Errorf("the certificates of all hosts end on %s: ovs-container-network rotate", until(by.now))
	}
	return nil
}

// offerWithin bounds what Docker is asked for a status, of which that is only a part.
const offerWithin = 2 * time.Second

// Offer says where other hosts reach this one's OVN central, and until when its authority is
// good, or why they do not; "" where it is published to nobody.
func (c *Central) Offer(ctx context.Context) string {
	if !c.cfg.Publish.IsValid() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, offerWithin)
	defer cancel()
	relay, err := c.find(ctx, relayName)
	switch {
	case err != nil:
		return err.Error()
	case relay == nil || relay.State == nil || !relay.State.Running || !strings.Contains(relay.Config.Labels[relayOf], " "+c.cfg.Publish.String()+" "):
		return fmt.Sprintf("not at %s yet: container %q does not run for it", c.cfg.Publish, relayName)
	case c.cfg.Insecure:
		return fmt.Sprintf("at %s, without TLS", c.cfg.Publish)
	}
	central, _, err := c.own(ctx)
	if err != nil {
		return err.Error()
	}
	by, found, err := c.storedAuthorities(ctx, central)
	switch {
	case err != nil:
		return err.Error()
	case !found: // removed by somebody; another one comes with the next start
		return fmt.Sprintf("at %s, without the authority of its certificates", c.cfg.Publish)
	case by.next != nil:
		return fmt.Sprintf("at %s, authority until %s; another one takes its place: invite all hosts again, then rotate --end", c.cfg.Publish, until(by.now))
	}
	return fmt.Sprintf("at %s, authority until %s", c.cfg.Publish, until(by.now))
}

func until(a pki.Authority) string { return a.Until().UTC().Format(time.DateOnly) }

// Rotate puts another authority in the place of OVN central's. It begins with one beside
// it, which signs the certificates of hosts that are invited from then on, and ends with
// that one alone: hosts that were not invited meanwhile are cut off then. To begin again
// changes nothing.
func (c *Central) Rotate(ctx context.Context, end bool) error {
	if c.cfg.Insecure || !c.cfg.Publish.IsValid() {
		return errors.New("this host's OVN central is not published with TLS, and has no certificates")
	}
	if err := c.rotate(ctx, end); err != nil {
		return err
	}
	if err := c.Publish(ctx, true); err != nil {
		return fmt.Errorf("the authorities are as they should be, and OVN central will be offered with them as soon as this is mended: %w", err)
	}
	return nil
}

func (c *Central) rotate(ctx context.Context, end bool) error {
	done, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	central, _, err := c.own(ctx)
	if err != nil {
		return err
	}
	by, err := c.authorities(ctx, central)
	switch {
	case err != nil:
		return err
	case end && by.next == nil:
		return errors.New("no rotation of the certificates was begun: ovs-container-network rotate, then invite all hosts again")
	case end:
		by = authorities{now: *by.next}
	case by.next != nil:
		return nil
	default:
		a, err := pki.New(time.Now())
		if err != nil {
			return err
		}
		by.next = &a
	}
	return c.writeAuthorities(ctx, central, by)
}
