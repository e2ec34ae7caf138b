package membership_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

type prober struct{ err error }

func (p *prober) DatabaseReady(context.Context, string, string) error { return p.err }

func identity(t *testing.T, now time.Time) *pki.Identity {
	t.Helper()
	a, err := pki.New(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Client("h2", now)
	if err != nil {
		t.Fatal(err)
	}
	return &pki.Identity{CA: a.Cert(), Pair: pair}
}

func text(t *testing.T, i membership.Invitation) string {
	t.Helper()
	s, err := i.Text()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRead(t *testing.T) {
	now := time.Now()
	good := membership.Invitation{Name: "h2", NB: "ssl:192.0.2.1:6641", SB: "ssl:192.0.2.1:6642", Identity: identity(t, now)}
	got, err := membership.Read(text(t, good), now)
	if err != nil || got.NB != good.NB || string(got.Identity.Key) != string(good.Identity.Key) {
		t.Errorf("read %+v (%v)", got, err)
	}
	bare := membership.Invitation{Name: "h2", NB: "tcp:192.0.2.1:6641", SB: "tcp:192.0.2.1:6642"}
	if _, err := membership.Read(text(t, bare), now); err != nil {
		t.Error(err)
	}
	without, mixed, unix, old := good, good, bare, good
	without.Identity = nil
	mixed.SB = bare.SB
	unix.NB = "unix:/run/ovn/ovnnb_db.sock"
	old.Identity = identity(t, now.AddDate(-11, 0, 0))
	for _, c := range []struct{ text, says string }{
		{"", "not an invitation"},
		{"{}", "not an invitation of version 1"},
		{strings.Replace(text(t, good), `invitation": 1`, `invitation": 2`, 1), "not an invitation of version 1"},
		{text(t, without), "without certificates"},
		{text(t, mixed), "without certificates"},
		{text(t, unix), "unix socket"},
		{text(t, old), "and not now"},
	} {
		if _, err := membership.Read(c.text, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("says %v, want %q", err, c.says)
		}
	}
}

// A host that could not join is as it was before, and one that has joined is after a restart.
func TestJoin(t *testing.T) {
	dir, p := t.TempDir(), &prober{}
	open := func() (*store.Store, *membership.Membership) {
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := membership.Open(s, p)
		if err != nil {
			t.Fatal(err)
		}
		return s, m
	}
	s, m := open()
	bare := membership.Invitation{Name: "h2", NB: "tcp:192.0.2.1:6641", SB: "tcp:192.0.2.1:6642"}
	p.err = errors.New("silence")
	if _, err := m.Join(t.Context(), text(t, bare), nil); err == nil || !strings.Contains(err.Error(), "silence") {
		t.Errorf("says %v", err)
	}
	if _, joined := m.Current(); joined {
		t.Error("joined all the same")
	}
	p.err = nil
	if _, err := m.Join(t.Context(), text(t, bare), []string{"tcp:172.30.0.5:6641"}); err != nil {
		t.Fatal(err)
	}
	other := bare
	other.NB = "tcp:192.0.2.9:6641"
	if _, err := m.Join(t.Context(), text(t, other), []string{bare.NB}); err == nil || !strings.Contains(err.Error(), "remove them first") {
		t.Errorf("says %v", err)
	}
	// Nobody listens there, so that nothing may be stored.
	tls := membership.Invitation{Name: "h2", NB: "ssl:127.0.0.1:1", SB: "ssl:127.0.0.1:1", Identity: identity(t, time.Now())}
	if _, err := m.Join(t.Context(), text(t, tls), nil); err == nil || !strings.Contains(err.Error(), "TLS with 127.0.0.1:1") {
		t.Errorf("says %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.Folder(), "key.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key is there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, m = open()
	if got, joined := m.Current(); !joined || got.NB != bare.NB {
		t.Errorf("after a restart: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// What this host shows to databases is there again when somebody has removed it, and is said to end before it does.
func TestKeep(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	m, err := membership.Open(s, &prober{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := m.Keep(t.Context(), now); err != nil {
		t.Errorf("of a host that has joined nothing: %v", err)
	}
	if err := m.Restore(text(t, membership.Invitation{Name: "h2", NB: "ssl:127.0.0.1:1", SB: "ssl:127.0.0.1:1", Identity: identity(t, now)})); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(m.Folder()); err != nil {
		t.Fatal(err)
	}
	if err := m.Keep(t.Context(), now); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if i, err := os.Stat(filepath.Join(m.Folder(), name)); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v (%v)", name, i, err)
		}
	}
	for at, says := range map[time.Time]string{now.AddDate(9, 11, 20): "ends in", now.AddDate(11, 0, 0): "and not now; on the host of OVN central: ovs-container-network rotate"} {
		if err := m.Keep(t.Context(), at); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("at %s: says %v, want %q", at, err, says)
		}
	}
}
