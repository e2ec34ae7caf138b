package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// environment sets a plugin up that shares nothing with the machine's own, and
// returns its two sockets.
func environment(t *testing.T, data string) (plugin, ctl string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ocn") // a socket's path has room for 107 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	plugin, ctl = filepath.Join(dir, "plugin.sock"), filepath.Join(dir, "control.sock")
	for name, value := range map[string]string{
		"PLUGIN_DATA_DIR": data, "PLUGIN_SOCKET": plugin, "PLUGIN_CONTROL_SOCKET": ctl, "PLUGIN_LOG_LEVEL": "error",
		"PLUGIN_OVS_DB": "unix:" + filepath.Join(dir, "none.sock"), "PLUGIN_HOST_RUN": dir,
		"DOCKER_HOST": "unix://" + filepath.Join(dir, "docker.sock"), // of no daemon
	} {
		t.Setenv(name, value)
	}
	return plugin, ctl
}

// run serves until the returned function is called, which returns the error.
func run(t *testing.T) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var failed error
	done.Go(func() { failed = serve(ctx) })
	stop := sync.OnceValue(func() error { cancel(); done.Wait(); return failed })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// post waits for the socket, as dockerd does, and makes a call.
func post(t *testing.T, socket, path, body string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	for until := time.Now().Add(5 * time.Second); ; {
		res, err := (&http.Client{Transport: transport}).Post("http://plugin"+path, "", strings.NewReader(body))
		if err == nil {
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// The plugin listens without Open vSwitch, OVN and Docker, and says so; its
// sockets are the owner's only, and go when it ends.
func TestServe(t *testing.T) {
	plugin, ctl := environment(t, t.TempDir())
	stop := run(t)
	if text := post(t, plugin, "/Plugin.Activate", ""); !strings.Contains(text, "NetworkDriver") {
		t.Errorf("activation: %s", text)
	}
	text := post(t, plugin, "/NetworkDriver.CreateNetwork", `{"NetworkID":"n","Options":{"com.docker.network.generic":{
		"ovn.switch":"ls","ovn.nb_connection":"tcp:127.0.0.1:1","ovn.sb_connection":"tcp:127.0.0.1:1"}}}`)
	if !strings.Contains(text, "systemctl start openvswitch-switch") {
		t.Errorf("without Open vSwitch: %s", text)
	}
	for _, socket := range []string{plugin, ctl} {
		if i, err := os.Stat(socket); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", socket, i, err)
		}
	}
	s, err := control.Ask(t.Context(), ctl)
	if err != nil || !s.Ready || s.OVS == "ok" || s.Instance == "" {
		t.Errorf("status %+v %v", s, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, socket := range []string{plugin, ctl} {
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", socket, err)
		}
	}
}

// A second process on the same state listens, and refuses with the reason.
func TestTwoProcessesOneState(t *testing.T) {
	data := t.TempDir()
	first, _ := environment(t, data)
	run(t)
	post(t, first, "/Plugin.Activate", "")
	second, ctl := environment(t, data)
	run(t)
	for _, call := range []string{"CreateNetwork", "DeleteEndpoint"} {
		if text := post(t, second, "/NetworkDriver."+call, "{}"); !strings.Contains(text, "in use by another process") {
			t.Errorf("%s: %s", call, text)
		}
	}
	var out bytes.Buffer
	cmd := statusCommand()
	cmd.SetArgs([]string{"--socket", ctl})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "refuses all requests") || strings.Contains(out.String(), "recovery") {
		t.Errorf("status:\n%s", &out)
	}
	if text := post(t, first, "/NetworkDriver.DeleteEndpoint", `{"EndpointID":"e"}`); text != "{}\n" {
		t.Errorf("the first one: %s", text)
	}
}

// A wrong setting is no reason not to listen: whoever calls is told.
func TestWrongSetting(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	plugin, _ := environment(t, data)
	t.Setenv("PLUGIN_RECOVERY_MODE", "perhaps")
	run(t)
	if text := post(t, plugin, "/NetworkDriver.CreateNetwork", "{}"); !strings.Contains(text, "PLUGIN_RECOVERY_MODE") {
		t.Errorf("answer: %s", text)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("state was opened: %v", err)
	}
}

// The socket of a plugin that answers is not taken over. The process stays for
// a second, or dockerd would not start it again.
func TestSocketInUse(t *testing.T) {
	plugin, _ := environment(t, t.TempDir())
	run(t)
	post(t, plugin, "/Plugin.Activate", "")
	started := time.Now()
	if err := serve(t.Context()); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("error %v", err)
	}
	if d := time.Since(started); d < time.Second {
		t.Errorf("ended after %s", d)
	}
	post(t, plugin, "/Plugin.Activate", "")
}

// The identity of a plugin whose file alone was lost is its records', also when
// a start between was cut off; without records it is a new one.
func TestKeepInstance(t *testing.T) {
	dir := t.TempDir()
	open := func() (*store.Store, *store.Collection[topology.Network]) {
		t.Helper()
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		networks, err := store.NewCollection[topology.Network](s, "networks")
		if err != nil {
			t.Fatal(err)
		}
		return s, networks
	}
	lose := func(s *store.Store) {
		t.Helper()
		if err := errors.Join(s.Close(), os.Remove(filepath.Join(dir, "instance.json"))); err != nil {
			t.Fatal(err)
		}
	}
	s, networks := open()
	was := s.Instance()
	if err := networks.Put("n", store.Record[topology.Network]{Phase: store.Ready, Data: topology.Network{ID: "n", Instance: was}}); err != nil {
		t.Fatal(err)
	}
	lose(s)
	s, _ = open() // and is killed
	if s.Instance() == was {
		t.Fatal("the identity was not lost")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, networks = open()
		if err := keepInstance(s, networks, zap.NewNop()); err != nil || s.Instance() != was {
			t.Errorf("identity %q (%v), want %q", s.Instance(), err, was)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, networks = open()
	if err := networks.Delete("n"); err != nil {
		t.Fatal(err)
	}
	lose(s)
	s, networks = open()
	if err := keepInstance(s, networks, zap.NewNop()); err != nil || s.Instance() == was {
		t.Errorf("identity %q (%v), want a new one", s.Instance(), err)
	}
}
