package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/driver"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// pipes is a listener without a socket, so that a test can run on the clock of
// a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "plugin", Net: "unix"} }

func (p *pipes) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// serve starts the plugin's server and returns how to call it.
func (p *plugin) serve(t *testing.T, refusal error) func(call string, body []byte) (int, map[string]any) {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := driver.NewServer(p.driver, zaptest.NewLogger(t), refusal)
	p.server, p.dial = server, l.dial
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return func(call string, body []byte) (int, map[string]any) {
		status, answer, err := p.post(context.Background(), call, body)
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
		return status, answer
	}
}

// post makes a call the way dockerd does, without a content type.
func (p *plugin) post(ctx context.Context, call string, body []byte) (int, map[string]any, error) {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial() }}
	defer transport.CloseIdleConnections()
	if !strings.Contains(call, ".") {
		call = "NetworkDriver." + call
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/"+call, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	answer := map[string]any{}
	if err == nil && res.StatusCode != http.StatusNotFound {
		err = json.Unmarshal(text, &answer)
	}
	return res.StatusCode, answer, err
}

// call makes a call and returns its error as one.
func (p *plugin) call(ctx context.Context, call string, request map[string]any) (map[string]any, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	status, answer, err := p.post(ctx, call, body)
	if err == nil && status != http.StatusOK {
		err = errors.New(answer["Err"].(string))
	}
	return answer, err
}

// ok makes calls that must succeed.
func (p *plugin) ok(t *testing.T, call string, request map[string]any) map[string]any {
	t.Helper()
	answer, err := p.call(t.Context(), call, request)
	if err != nil {
		t.Errorf("%s: %v", call, err) // not Fatal: it may not be the test's goroutine
	}
	return answer
}

// fails makes a call that must fail, with a text that holds want.
func (p *plugin) fails(t *testing.T, want, call string, request map[string]any) {
	t.Helper()
	if _, err := p.call(t.Context(), call, request); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", call, err, want)
	}
}

func (p *plugin) tidy(t *testing.T) {
	t.Helper()
	if got, want := p.list(), p.wanted(); !slices.Equal(got, want) {
		t.Errorf("there is\n%q\nwant\n%q", got, want)
	}
	for id, e := range p.records.Endpoints.List() {
		if e.Phase != store.Ready || e.Data.Deferred {
			t.Errorf("endpoint %.12s is %s, deferred %t", id, e.Phase, e.Data.Deferred)
		}
	}
	for id, n := range p.records.Networks.List() {
		if n.Phase != store.Ready {
			t.Errorf("network %.12s is %s", id, n.Phase)
		}
	}
}

// id is that of the i-th network or endpoint.
func id(i int) string { return fmt.Sprintf("%012x%052d", i, 0) }

func network(i int, name string) map[string]any {
	return map[string]any{
		"NetworkID": id(i),
		"Options": map[string]any{"com.docker.network.generic": map[string]string{
			"ovn.switch": name, "ovn.nb_connection": "tcp:172.30.0.5:6641", "ovn.sb_connection": "tcp:172.30.0.5:6642",
		}},
		"IPv4Data": []map[string]any{{"AddressSpace": "LocalDefault", "Pool": "10.1.0.0/16", "Gateway": "10.1.0.1/16"}},
	}
}

func endpoint(n, i, address int) map[string]any {
	return map[string]any{
		"NetworkID": id(n), "EndpointID": id(i), "Interface": map[string]string{"Address": fmt.Sprintf("10.1.0.%d/16", address)},
		"Options": map[string]any{}, "SandboxKey": "/var/run/docker/netns/1",
	}
}

// bubble runs a test on a clock of its own, with a plugin that serves and
// reconciles.
func bubble(t *testing.T, test func(t *testing.T, p *plugin)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPlugin(t)
		p.serve(t, nil)
		p.watch(t)
		test(t, p)
	})
}

// aside runs something beside the test, until the test ends.
func aside(t *testing.T, run func(context.Context)) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
}

// watch completes what is left open.
func (p *plugin) watch(t *testing.T) { aside(t, p.reconciler.Watch) }

// stopwatch returns how to read the time since.
func stopwatch() func() time.Duration {
	started := time.Now()
	return func() time.Duration { return time.Since(started) }
}

// breakFolder makes a folder of state unusable, even for root, and returns how
// to mend it.
func breakFolder(t *testing.T, dir, name string) func() {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.Rename(path, path+"-away"), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(path), os.Rename(path+"-away", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// later lets so much time pass that all that can be completed is.
func later() { <-time.After(2 * time.Minute) }
