package control_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
)

func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // a socket's path has room for 107 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "control.sock")
}

// plugin answers with a status, and fails the second reconciliation, and changes of other networks than those of it.
type plugin struct {
	status  control.Status
	failure error
	calls   int
	asked   control.Change
}

func (p *plugin) Status(context.Context) control.Status { return p.status }

func (p *plugin) Reconcile(context.Context) (reconcile.Report, error) {
	if p.calls++; p.calls == 1 {
		return p.status.Recovery, nil
	}
	return reconcile.Report{}, p.failure
}

func (p *plugin) Change(_ context.Context, c control.Change) (control.Network, error) {
	if c.Network != p.status.Networks[0].ID {
		return control.Network{}, p.failure
	}
	p.asked = c
	return p.status.Networks[0], nil
}

func (p *plugin) Hosts(context.Context) ([]control.Host, error) {
	return []control.Host{{Name: "h2", Way: "ok"}}, nil
}

func (p *plugin) Rotate(_ context.Context, end bool) error {
	if end {
		return p.failure
	}
	return nil
}

func TestStatusOfATenant(t *testing.T) {
	s := control.Status{
		Networks: []control.Network{{ID: "a", Tenant: "red"}, {ID: "b"}, {ID: "c", Tenant: "blue"}},
		Ports:    []control.Port{{Network: "a", Port: "1"}, {Network: "b", Port: "2"}},
	}
	for tenant, want := range map[string]control.Status{
		"red": {Networks: s.Networks[:1], Ports: s.Ports[:1]}, "": {Networks: s.Networks[1:2], Ports: s.Ports[1:]}, "blue": {Networks: s.Networks[2:], Ports: []control.Port{}},
	} {
		if got := s.Of(tenant); !reflect.DeepEqual(got, want) {
			t.Errorf("of %q: %+v", tenant, got)
		}
	}
}

// What is asked is what is answered, and only the owner of the process can ask.
func TestAsk(t *testing.T) {
	path := socket(t)
	l, err := control.Listen(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	away := time.Now().UTC().Round(time.Second)
	want := control.Status{
		Version: "1", Instance: "i", Started: away, Ready: true, OVS: "ok",
		Databases: []control.DB{{Connection: "tcp:172.30.0.5:6641", Away: &away}},
		Networks:  []control.Network{{ID: "n", Switch: "ls", Phase: "ready", MTU: 1500, Endpoints: 2, Deferred: 1}},
		Recovery:  reconcile.Report{Mode: "lenient", At: away, Restored: reconcile.Restored{Networks: 1, Endpoints: 2}, Dropped: []string{"a file"}},
	}
	p := &plugin{status: want, failure: errors.New("docker is away")}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := control.Serve(l, p); err != nil {
			t.Error(err)
		}
	})
	for file, mode := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if i, err := os.Stat(file); err != nil || i.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", file, i.Mode(), err, mode)
		}
	}
	if got, err := control.Ask(t.Context(), path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	if got, err := control.Invite(t.Context(), path, "h2"); err != nil || got != "invitation of h2" {
		t.Errorf("invited: %q (%v)", got, err)
	}
	if got, err := control.Join(t.Context(), path, "invitation of h2"); err != nil || got != (control.Joined{Name: "invitation of h2", NB: "nb", SB: "sb"}) {
		t.Errorf("joined: %+v (%v)", got, err)
	}
	if got, err := control.Forget(t.Context(), path, "h2"); err != nil || !slices.Equal(got, []string{"all of h2"}) {
		t.Errorf("forgot: %q (%v)", got, err)
	}
	if err := control.Rotate(t.Context(), path, false); err != nil {
		t.Error(err)
	}
	if err := control.Rotate(t.Context(), path, true); err == nil || err.Error() != p.failure.Error() {
		t.Errorf("error %v, want %v", err, p.failure)
	}
	if got, err := control.Hosts(t.Context(), path); err != nil || !slices.Equal(got, []control.Host{{Name: "h2", Way: "ok"}}) {
		t.Errorf("hosts: %+v (%v)", got, err)
	}
	if got, err := control.Reconcile(t.Context(), path); err != nil || !reflect.DeepEqual(got, want.Recovery) {
		t.Errorf("got %+v (%v), want %+v", got, err, want.Recovery)
	}
	if _, err := control.Reconcile(t.Context(), path); err == nil || err.Error() != p.failure.Error() {
		t.Errorf("error %v, want %v", err, p.failure)
	}
	asked := control.Change{Network: "n", Options: map[string]string{"mtu": "1400", "mirror.dest": ""}}
	if got, err := asked.Ask(t.Context(), path); err != nil || got != want.Networks[0] || !reflect.DeepEqual(p.asked, asked) {
		t.Errorf("got %+v (%v) for %+v", got, err, p.asked)
	}
	if _, err := (control.Change{Network: "x"}).Ask(t.Context(), path); err == nil || err.Error() != p.failure.Error() {
		t.Errorf("error %v, want %v", err, p.failure)
	}
	// A second plugin must not take the socket away from the first.
	if second, err := control.Listen(path, 0o700); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second listener: %v %v", second, err)
	}
	if _, err := control.Ask(t.Context(), path); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	serving.Wait()
	if _, err := control.Ask(t.Context(), path); err == nil || !strings.Contains(err.Error(), "docker plugin ls") {
		t.Errorf("nobody there: %v", err)
	}
}

// The socket of a process that was killed is replaced.
func TestListenAfterCrash(t *testing.T) {
	path := socket(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l, err := control.Listen(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func (*plugin) Invite(_ context.Context, name string) (string, error) {
	return "invitation of " + name, nil
}

func (*plugin) Join(_ context.Context, invitation string) (control.Joined, error) {
	return control.Joined{Name: invitation, NB: "nb", SB: "sb"}, nil
}

func (*plugin) Forget(_ context.Context, host string) ([]string, error) {
	return []string{"all of " + host}, nil
}
