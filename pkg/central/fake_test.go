package central

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
)

// dockerd remembers what it was asked to make, and fails where a test says so.
// It is for faults that a real Docker does not have at will; the real one is in
// docker_test.go.
type dockerd struct {
	mu       sync.Mutex
	networks []map[string]any
	central  map[string]any // the container, or nil
	volume   bool
	noImage  bool
	calls    []string
	// fault may answer a call, "POST /networks/create", in dockerd's place.
	fault func(call string, n int, w http.ResponseWriter, r *http.Request) bool
}

func (d *dockerd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.Index(path[1:], "/")+1:]
	}
	call := r.Method + " " + path
	d.mu.Lock()
	d.calls = append(d.calls, call)
	n := 0
	for _, c := range d.calls {
		if c == call {
			n++
		}
	}
	d.mu.Unlock()
	if d.fault != nil && d.fault(call, n, w, r) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Api-Version", "1.41")
	switch {
	case path == "/_ping":
	case call == "GET /networks":
		answer(w, http.StatusOK, d.networks)
	case call == "POST /networks/create":
		d.createNetwork(w, r)
	case strings.HasPrefix(call, "GET /networks/"):
		if len(d.networks) == 0 {
			missing(w, "network")
			return
		}
		answer(w, http.StatusOK, d.networks[0])
	case strings.HasPrefix(call, "DELETE /networks/"):
		d.networks = slices.DeleteFunc(d.networks, func(n map[string]any) bool { return strings.HasSuffix(path, n["Id"].(string)) })
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(call, "GET /images/"):
		if d.noImage {
			missing(w, "image")
			return
		}
		answer(w, http.StatusOK, map[string]any{"Id": "sha256:0"})
	case call == "POST /volumes/create":
		d.volume = true
		answer(w, http.StatusCreated, map[string]any{"Name": volumeName})
	case call == "GET /volumes/"+volumeName:
		if !d.volume {
			missing(w, "volume")
			return
		}
		answer(w, http.StatusOK, map[string]any{"Name": volumeName})
	case call == "DELETE /volumes/"+volumeName:
		d.volume = false
		w.WriteHeader(http.StatusNoContent)
	case call == "POST /containers/create":
		d.central = containerIn("created", d.networks[0])
		answer(w, http.StatusCreated, map[string]any{"Id": "c1"})
	case strings.HasPrefix(call, "DELETE /containers/"):
		d.central = nil
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(call, "GET /containers/") && strings.HasSuffix(path, "/json"):
		if d.central == nil {
			missing(w, "container")
			return
		}
		answer(w, http.StatusOK, d.central)
	case strings.HasPrefix(call, "POST /containers/") && (strings.HasSuffix(path, "/start") || strings.HasSuffix(path, "/restart")):
		d.central["State"] = map[string]any{"Status": "running", "Running": true}
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(path, "/connect"), strings.HasSuffix(path, "/disconnect"), strings.HasSuffix(path, "/logs"):
	default:
		http.Error(w, fmt.Sprintf(`{"message":"the test's dockerd does not know %s"}`, call), http.StatusNotImplemented)
	}
}

func (d *dockerd) createNetwork(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Name           string
		CheckDuplicate bool
		Internal       bool
		IPAM           struct{ Config []map[string]string }
		Labels         map[string]string
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !asked.CheckDuplicate || !asked.Internal {
		http.Error(w, fmt.Sprintf(`{"message":"want an internal network, checked for duplicates: %v"}`, err), http.StatusBadRequest)
		return
	}
	n := networkOn(fmt.Sprintf("n%d", len(d.networks)+1), asked.Name, asked.IPAM.Config[0]["Subnet"])
	n["Labels"] = asked.Labels
	d.networks = append(d.networks, n)
	answer(w, http.StatusCreated, map[string]any{"Id": n["Id"]})
}

func networkOn(id, name string, subnets ...string) map[string]any {
	var config []map[string]string
	for _, s := range subnets {
		config = append(config, map[string]string{"Subnet": s})
	}
	return map[string]any{
		"Id": id, "Name": name, "Driver": "bridge", "Internal": true, "Created": time.Unix(int64(len(id)), 0).UTC(),
		"IPAM": map[string]any{"Config": config},
	}
}

// containerIn returns OVN central in a state, on a network at its fifth address.
func containerIn(state string, n map[string]any) map[string]any {
	subnet := n["IPAM"].(map[string]any)["Config"].([]map[string]string)[0]["Subnet"]
	at, err := centralAddress(netip.MustParsePrefix(subnet))
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"Id": "c1", "Name": "/" + containerName, "Config": map[string]any{"Labels": map[string]string{labelKey: labelValue}},
		"State": map[string]any{
			"Status": state, "Running": state == "running" || state == "paused" || state == "restarting",
			"Paused": state == "paused", "Restarting": state == "restarting", "Dead": state == "dead", "ExitCode": 137,
		},
		"NetworkSettings": map[string]any{"Networks": map[string]any{
			n["Name"].(string): map[string]any{"NetworkID": n["Id"], "IPAMConfig": map[string]string{"IPv4Address": at.String()}},
		}},
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func missing(w http.ResponseWriter, what string) { refuse(w, http.StatusNotFound, "no such "+what) }

func refuse(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"message": text})
}

// called counts the calls that begin so.
func (d *dockerd) called(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

// left describes what is there, "" for nothing.
func (d *dockerd) left() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, n := range d.networks {
		all = append(all, fmt.Sprint("network ", n["Id"]))
	}
	if d.central != nil {
		all = append(all, "container")
	}
	if d.volume {
		all = append(all, "volume")
	}
	return strings.Join(all, ", ")
}

var errAway = errors.New("connection refused")

// host is the Prober of a test: databases answer where, and as soon as, its
// ready says so.
type host struct {
	ready  func(conn string) bool
	routes []netip.Prefix
}

func (h host) DatabaseReady(_ context.Context, conn, _ string) error {
	if h.ready(conn) {
		return nil
	}
	return errAway
}

func (h host) Addresses(context.Context) ([]link.Address, error) { return nil, nil }

func (h host) HostPrefixes(context.Context) ([]netip.Prefix, error) { return h.routes, nil }

func (d *dockerd) running(string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.central == nil {
		return false
	}
	state, _ := d.central["State"].(map[string]any)
	return state["Status"] == "running"
}

func newCentral(t *testing.T, d *dockerd, p Prober, log *zap.Logger) *Central {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.CloseClientConnections)
	c, err := New(Config{DockerHost: "tcp://" + server.Listener.Addr().String(), Image: "ovn-central:latest", HostRun: t.TempDir()}, p, cmp.Or(log, zap.NewNop()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
