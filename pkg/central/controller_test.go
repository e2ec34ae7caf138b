package central

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// listen makes the control socket of an ovn-controller that lives.
func listen(t *testing.T, c *Central) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(c.cfg.HostRun, "ovn", "ovn-controller.1.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newControllerHost returns a Central whose host runs no ovn-controller.
func newControllerHost(t *testing.T, d *dockerd) *Central {
	t.Helper()
	c := newCentral(t, d, host{ready: func(string) bool { return false }}, nil)
	// The path of a unix socket has 107 bytes at most, and a test's own folder may be longer.
	run, err := os.MkdirTemp("", "ocn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	if err := os.Mkdir(filepath.Join(run, "ovn"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.cfg.HostRun = run
	return c
}

func TestControllerOfTheHostIsUsed(t *testing.T) {
	d := &dockerd{}
	c := newControllerHost(t, d)
	l := listen(t, c)
	if err := c.EnsureController(within(t, time.Minute), false); err != nil || len(d.calls) > 0 {
		t.Errorf("got %v and calls %q, want neither", err, d.calls)
	}
	// A dead one leaves its socket behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	wantError(t, c.EnsureController(within(t, time.Minute), false), "systemctl start ovn-controller", "ovn.auto_create=true")
}

func TestControllerIsMade(t *testing.T) {
	overlay := networkOn("n1", overlayName, "172.30.0.0/24")
	for _, tc := range []struct {
		name string
		d    *dockerd
		at   string // the call that makes it live
		want int    // containers created
	}{
		{"there is none", &dockerd{}, "POST /containers/c1/start", 1},
		{"it is stopped", &dockerd{central: containerIn(container.StateExited, overlay)}, "POST /containers/c1/start", 0},
		{"it waits before it tries again", &dockerd{central: containerIn(container.StateRestarting, overlay)}, "POST /containers/c1/restart", 0},
	} {
		tc.d.networks = []map[string]any{overlay}
		c := newControllerHost(t, tc.d)
		tc.d.fault = func(call string, _ int, _ http.ResponseWriter, _ *http.Request) bool {
			if call == tc.at {
				listen(t, c)
			}
			return false
		}
		if err := c.EnsureController(within(t, time.Minute), true); err != nil || tc.d.called("POST /containers/create") != tc.want {
			t.Errorf("%s: got %v and calls %q", tc.name, err, tc.d.calls)
		}
	}
}

func TestControllerThatFailsIsRemoved(t *testing.T) {
	d := &dockerd{networks: []map[string]any{networkOn("n1", overlayName, "172.30.0.0/24")}}
	c := newControllerHost(t, d)
	wantError(t, c.EnsureController(within(t, time.Second), true), `container "ovn-controller" is running`, "docker logs ovn-controller")
	if left := d.left(); left != "network n1" {
		t.Errorf("there is %s, want only the network that was there", left)
	}
	d.noImage = true
	wantError(t, c.EnsureController(within(t, time.Minute), true), `"make images"`)
}
