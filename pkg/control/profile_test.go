package control_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
)

func TestProfiles(t *testing.T) {
	path := socket(t)
	l, err := control.Listen(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- control.Serve(l, &plugin{}) }()
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	get := func(what string) []byte {
		t.Helper()
		res, err := client.Get("http://plugin/debug/pprof/" + what)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v: %s", what, res.Status, err, body)
		}
		return body
	}
	packed := []byte{0x1f, 0x8b} // the profiles' format is gzip's
	for _, what := range []string{"heap", "profile?seconds=1"} {
		if body := get(what); !bytes.HasPrefix(body, packed) {
			t.Errorf("%s is no profile: %.40q", what, body)
		}
	}
	if body := get("goroutine?debug=1"); !bytes.Contains(body, []byte("TestProfiles")) {
		t.Errorf("this test is not among the goroutines: %s", body)
	}
	client.CloseIdleConnections()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
