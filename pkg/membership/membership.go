package membership

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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
	turn    sync.Mutex // of Join
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
	if i, ok := m.Identity(); ok {
		err = m.write(i)
	}
	return m, err
}

// Folder is where the certificates are: ca.pem, cert.pem and key.pem.
func (m *Membership) Folder() string { return filepath.Join(m.store.Dir(), "tls") }

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
		if joined && c == had.NB && c != i.NB {
			return i, fmt.Errorf("this host has networks at %s, and is invited to %s: remove them first (ovs-container-network status lists them)", c, i.NB)
		}
	}
	if i.Identity != nil {
		for _, conn := range []string{i.NB, i.SB} {
			bounded, cancel := context.WithTimeout(ctx, dialWithin)
			err := i.Identity.Greet(bounded, options.DialAddresses(conn))
			cancel()
			if err != nil {
				return i, err
			}
		}
		if err := m.write(*i.Identity); err != nil {
			return i, err
		}
	}
	err = m.answers(ctx, i)
	if err == nil {
		err = m.records.Put(key, store.Record[Invitation]{Phase: store.Ready, Data: i})
	}
	if err != nil && joined && had.Identity != nil {
		err = errors.Join(err, m.write(*had.Identity))
	}
	return i, err
}

func (m *Membership) answers(ctx context.Context, i Invitation) error {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	for conn, db := range map[string]string{i.NB: ovsdb.Northbound, i.SB: ovsdb.Southbound} {
		if err := m.probe.DatabaseReady(ctx, conn, db); err != nil {
			return fmt.Errorf("the databases at %s do not answer: is that address open to this host (a firewall, ports 6641 and 6642)? %w", conn, err)
		}
	}
	return nil
}

func (m *Membership) write(i pki.Identity) error {
	for name, text := range map[string][]byte{"ca": i.CA, "cert": i.Cert, "key": i.Key} {
		if _, err := m.store.WriteText("tls/"+name+".pem", text); err != nil {
			return err
		}
	}
	return nil
}
