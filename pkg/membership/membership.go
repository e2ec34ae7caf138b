package membership

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// Prober asks databases whether they answer; package executor implements it.
type Prober interface {
	DatabaseReady(ctx context.Context, conn, db string) error
}

// Membership is this host's.
type Membership struct {
	store   *store.Store
	records *store.Collection[Invitation]
	probe   Prober
	turn    sync.Mutex // of changes
}

// key is that of the one record.
const key = "central"

// Open reads the membership, and writes its certificates where programs find them.
func Open(s *store.Store, probe Prober) (*Membership, error) {
	records, err := store.NewCollection[Invitation](s, "membership")
	if err != nil {
		return nil, err
	}
	m := &Membership{store: s, records: records, probe: probe}
	id := ""
	if i, ok := m.Identity(); ok {
		id = folder(i)
		err = m.write(i)
	}
	return m, errors.Join(err, s.KeepTexts(id))
}

// folder names the folder of an identity's files. Each has its own, so that programs never
// see the files of one beside those of another.
func folder(i pki.Identity) string {
	sum := sha256.Sum256(slices.Concat(i.CA, i.Cert))
	return hex.EncodeToString(sum[:6])
}

// Folder is where the certificates are: ca.pem, cert.pem and key.pem.
func (m *Membership) Folder() string {
	i, _ := m.Identity()
	return filepath.Join(m.store.Dir(), "tls", folder(i))
}

// Current returns the invitation that this host has accepted.
func (m *Membership) Current() (Invitation, bool) {
	r, ok := m.records.Get(key)
	return r.Data, ok
}

// Identity is what this host shows to databases, if it has an identity.
func (m *Membership) Identity() (pki.Identity, bool) {
	i, ok := m.Current()
	if !ok || i.Identity == nil {
		return pki.Identity{}, false
	}
	return *i.Identity, true
}

// dialWithin bounds the look at databases that a host is invited to.
const dialWithin = 5 * time.Second

// Join accepts an invitation to databases that answer. InUse are the connections of
// this host's networks, which it must not lose.
func (m *Membership) Join(ctx context.Context, text string, inUse []string) (Invitation, error) {
	i, err := Read(text, time.Now())
	if err != nil {
		return i, err
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	had, joined := m.Current()
	for _, c := range inUse {
		if joined && had.NB != i.NB && (c == had.NB || strings.HasPrefix(c, "ssl:")) {
			return i, fmt.Errorf("this host has networks at %s, and is invited to %s: remove them first (ovs-container-network status lists them)", c, i.NB)
		}
	}
	if err := m.answers(ctx, i); err != nil {
		return i, err
	}
	return i, m.accept(i)
}

// Restore accepts an invitation again that this host had accepted, and has lost.
func (m *Membership) Restore(text string) error {
	i, err := Read(text, time.Now())
	if err != nil {
		return err
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	if _, joined := m.Current(); joined {
		return nil
	}
	return m.accept(i)
}

// Keep sees to the identity of this host: its files are there, and of several authorities
// the first one alone is trusted as soon as databases are known by that. It returns what
// is wrong with the identity.
func (m *Membership) Keep(ctx context.Context, now time.Time) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	i, _ := m.Current()
	if i.Identity == nil {
		return nil
	}
	if one, several := i.Identity.Narrow(); several && m.known(ctx, i, one) {
		i.Identity = &one
		return m.accept(i)
	}
	// The files of before are kept until now: programs may have been reading them.
	if err := errors.Join(m.write(*i.Identity), m.store.KeepTexts(folder(*i.Identity))); err != nil {
		return err
	}
	if err := i.Identity.Check(now); err != nil {
		return fmt.Errorf("%w; on the host of OVN central: ovs-container-network rotate, and invite this one again", err)
	}
	if left := i.Identity.Until().Sub(now); left < pki.Soon {
		return fmt.Errorf("this host's certificate ends in %d days; on the host of OVN central: ovs-container-network rotate, and invite this one again", int(left/(24*time.Hour)))
	}
	return nil
}

// known reports whether an identity knows the databases of an invitation.
func (m *Membership) known(ctx context.Context, i Invitation, one pki.Identity) bool {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	return one.Greet(ctx, options.DialAddresses(i.NB)) == nil && one.Greet(ctx, options.DialAddresses(i.SB)) == nil
}

// accept stores the invitation, whose files are there before anybody looks for them.
func (m *Membership) accept(i Invitation) error {
	if i.Identity != nil {
		if err := m.write(*i.Identity); err != nil {
			return err
		}
	}
	return m.records.Put(key, store.Record[Invitation]{Phase: store.Ready, Data: i})
}

func (m *Membership) answers(ctx context.Context, i Invitation) error {
	for _, of := range []struct{ conn, db string }{{i.NB, ovsdb.Northbound}, {i.SB, ovsdb.Southbound}} {
		bounded, cancel := context.WithTimeout(ctx, dialWithin)
		var err error
		if i.Identity != nil {
			err = i.Identity.Greet(bounded, options.DialAddresses(of.conn))
		} else {
			err = m.probe.DatabaseReady(bounded, of.conn, of.db)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("the databases at %s do not answer this host; is that address open to it (a firewall)? %w", of.conn, err)
		}
	}
	return nil
}

func (m *Membership) write(i pki.Identity) error {
	for name, text := range map[string][]byte{"ca": i.CA, "cert": i.Cert, "key": i.Key} {
		if have, err := os.ReadFile(filepath.Join(m.store.Dir(), "tls", folder(i), name+".pem")); err == nil && bytes.Equal(have, text) {
			continue // programs may be reading it
		}
		if err := m.store.WriteText("tls/"+folder(i)+"/"+name+".pem", text); err != nil {
			return err
		}
	}
	return nil
}
