package control_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
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
	failure := errors.New("docker is away")
	calls := 0
	reconcileNow := func(context.Context) (reconcile.Report, error) {
		if calls++; calls == 1 {
			return want.Recovery, nil
		}
		return reconcile.Report{}, failure
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := control.Serve(l, func(context.Context) control.Status { return want }, reconcileNow); err != nil {
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
	if got, err := control.Reconcile(t.Context(), path); err != nil || !reflect.DeepEqual(got, want.Recovery) {
		t.Errorf("got %+v (%v), want %+v", got, err, want.Recovery)
	}
	if _, err := control.Reconcile(t.Context(), path); err == nil || err.Error() != failure.Error() {
		t.Errorf("error %v, want %v", err, failure)
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
