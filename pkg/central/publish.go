package central

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// relayName is the container that other hosts reach OVN central by. OVN central itself
// stays where nobody but its host gets; the relay (ovsdb(7), "Relay Service Model") is
// told by the host's own address, with TLS, and has no database of its own.
const relayName = "ovn-relay"

// relayOf is the label that says what a relay was made for.
const relayOf = "ovs-container-network.relay"

// ErrNoCentral is returned when this host has no OVN central of this plugin's.
var ErrNoCentral = errors.New("this host has no OVN central that the plugin made: create a network with ovn.auto_create=true first")

// Publish offers OVN central to other hosts where that is asked for, and ends it where it
// is not. Without one to offer it returns ErrNoCentral. What offers it, and was stopped by
// somebody, is started with again only.
func (c *Central) Publish(ctx context.Context, again bool) error {
	done, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !c.cfg.Publish.IsValid() {
		return c.unpublish(ctx)
	}
	var undo undoList
	if err := c.publish(ctx, again, &undo); err != nil {
		return errors.Join(err, undo.run(ctx))
	}
	return nil
}

func (c *Central) unpublish(ctx context.Context) error {
	have, err := c.find(ctx, relayName)
	if err != nil || have == nil || !ours(*have) {
		return err
	}
	if err := c.removeContainer(ctx, have.ID); err != nil {
		return c.dockerError(fmt.Sprintf("removing container %q, which offers OVN central to other hosts", relayName), err)
	}
	c.log.Info("OVN central is not published any more")
	return nil
}

func (c *Central) publish(ctx context.Context, again bool, undo *undoList) error {
	central, at, err := c.own(ctx)
	if err != nil {
		return err
	}
	if err := c.local(ctx); err != nil {
		return err
	}
	var files folder
	scheme, signed := "ptcp", ""
	if !c.cfg.Insecure {
		scheme = "pssl"
		by, err := c.authorities(ctx, central)
		if err != nil {
			return err
		}
		pair, err := by.now.Server(c.cfg.Publish, time.Now())
		if err != nil {
			return err
		}
		files = certificates(pki.Identity{CA: by.known(), Pair: pair}, "")
		sum := sha256.Sum256(by.known())
		signed = hex.EncodeToString(sum[:6])
	}
	image, err := c.docker.ImageInspect(ctx, c.cfg.Image)
	if err != nil {
		return errors.Join(c.checkImage(ctx), c.dockerError(fmt.Sprintf("looking for image %q", c.cfg.Image), err))
	}
	what := strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", scheme, c.cfg.Publish, at, image.ID, signed))
	have, err := c.find(ctx, relayName)
	switch {
	case err != nil:
		return err
	case have == nil:
	case !ours(*have):
		return fmt.Errorf("container %q was not made by this plugin, and its name is needed to publish OVN central: rename it (docker rename)", relayName)
	case have.Config.Labels[relayOf] == what && have.State != nil && have.State.Status != container.StateCreated: // else its maker was killed before it had all
		switch {
		case have.State.Restarting:
			return fmt.Errorf("what publishes OVN central does not run: %s", c.describe(ctx, relayName))
		case have.State.Running || !again:
			return nil
		}
		return c.start(ctx, *have, relayName)
	default:
		if err := c.removeContainer(ctx, have.ID); err != nil {
			return c.dockerError(fmt.Sprintf("removing container %q, which was for %q", relayName, have.Config.Labels[relayOf]), err)
		}
	}
	err = c.run(ctx, relayName, &container.Config{
		Image: c.cfg.Image, Cmd: []string{"ovn-relay", scheme, bracketed(c.cfg.Publish), at}, Labels: map[string]string{relayOf: what},
	}, &container.HostConfig{NetworkMode: "host"}, nil, files, undo)
	if err != nil {
		return err
	}
	c.log.Info("OVN central is published to other hosts", zap.Stringer("address", c.cfg.Publish), zap.Bool("tls", !c.cfg.Insecure))
	return nil
}

// local refuses to publish at an address that is none of this host's, where nothing can
// listen and no tunnel would end.
func (c *Central) local(ctx context.Context) error {
	addresses, err := c.probe.Addresses(ctx)
	if err != nil {
		return fmt.Errorf("looking for address %s: %w", c.cfg.Publish, err)
	}
	if !slices.ContainsFunc(addresses, func(a link.Address) bool { return a.Prefix.Addr() == c.cfg.Publish }) {
		return fmt.Errorf("PLUGIN_CENTRAL_PUBLISH %q is on no link of this host: set it to one that other hosts reach it at (docker plugin disable, set, enable)", c.cfg.Publish)
	}
	return nil
}

// bracketed is an address as ovsdb(7) has it.
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// own returns the container and the address of this plugin's OVN central.
func (c *Central) own(ctx context.Context) (id, address string, err error) {
	have, err := c.find(ctx, containerName)
	if err != nil {
		return "", "", err
	}
	if have == nil || !ours(*have) || have.NetworkSettings == nil {
		return "", "", ErrNoCentral
	}
	on := have.NetworkSettings.Networks
	for _, name := range slices.Sorted(maps.Keys(on)) {
		if cfg := on[name].IPAMConfig; cfg != nil && cfg.IPv4Address != "" {
			return have.ID, cfg.IPv4Address, nil
		}
	}
	return "", "", ErrNoCentral
}

// Invite makes what another host needs to use this host's OVN central: connections, and
// an identity unless it is published without TLS.
func (c *Central) Invite(ctx context.Context, name string) (Connections, *pki.Identity, error) {
	if !c.cfg.Publish.IsValid() {
		return Connections{}, nil, errors.New("this host's OVN central is not published: set PLUGIN_CENTRAL_PUBLISH to the address that other hosts reach this one at (docker plugin disable, set, enable)")
	}
	if err := c.Publish(ctx, true); err != nil {
		return Connections{}, nil, err
	}
	at := func(scheme, port string) string {
		return scheme + ":" + net.JoinHostPort(c.cfg.Publish.String(), port)
	}
	if c.cfg.Insecure {
		return Connections{NB: at("tcp", northPort), SB: at("tcp", southPort)}, nil, nil
	}
	done, err := c.take(ctx)
	if err != nil {
		return Connections{}, nil, err
	}
	defer done()
	central, _, err := c.own(ctx)
	if err != nil {
		return Connections{}, nil, err
	}
	by, err := c.authorities(ctx, central)
	if err != nil {
		return Connections{}, nil, err
	}
	pair, err := by.last().Client(name, time.Now())
	if err != nil {
		return Connections{}, nil, err
	}
	conns, identity := Connections{NB: at("ssl", northPort), SB: at("ssl", southPort)}, pki.Identity{CA: by.known(), Pair: pair}
	for _, conn := range []string{conns.NB, conns.SB} {
		if err := c.offered(ctx, identity, conn); err != nil {
			return Connections{}, nil, err
		}
	}
	return conns, &identity, nil
}

// offered waits until what was published answers whom it was published for.
func (c *Central) offered(ctx context.Context, i pki.Identity, conn string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		err := i.Greet(ctx, options.DialAddresses(conn))
		if err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return fmt.Errorf("OVN central is not offered at %s, does something else listen there? %s: %w", conn, c.describe(ctx, relayName), err)
		}
	}
}
