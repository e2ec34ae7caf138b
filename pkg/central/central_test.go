package central

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

const overlayName = "transit-overlay"

var asked = Request{NB: "tcp:172.30.0.5:6641", SB: "tcp:172.30.0.5:6642", Overlay: overlayName, AutoCreate: true}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

// overlap is dockerd's answer to a subnet in use, for the first k creations.
func overlap(k int) func(string, int, http.ResponseWriter, *http.Request) bool {
	return func(call string, n int, w http.ResponseWriter, _ *http.Request) bool {
		if call != "POST /networks/create" || n > k {
			return false
		}
		refuse(w, http.StatusForbidden, "Pool overlaps with other one on this address space")
		return true
	}
}

func TestNotReachableIsTheReadmesText(t *testing.T) {
	for _, tc := range []struct{ answers, want string }{
		{"", "OVN central not reachable at tcp:172.30.0.5:6641 and auto-create not enabled"},
		{":6641", "OVN central not reachable at tcp:172.30.0.5:6642 and auto-create not enabled"},
	} {
		d := &dockerd{}
		c := newCentral(t, d, host{ready: func(conn string) bool { return tc.answers != "" && strings.HasSuffix(conn, tc.answers) }}, nil)
		r := asked
		r.AutoCreate = false
		if _, err := c.Ensure(within(t, time.Minute), r); err == nil || err.Error() != tc.want {
			t.Errorf("got %v, want %q", err, tc.want)
		}
		if len(d.calls) > 0 {
			t.Errorf("Docker was called: %q", d.calls)
		}
	}
}

func TestSubnetsAreTriedInTurn(t *testing.T) {
	for k, want := range []string{"172.30.0.5", "172.31.0.5", "192.168.200.5", "192.168.201.5"} {
		d := &dockerd{fault: overlap(k)}
		c := newCentral(t, d, host{ready: func(conn string) bool { return d.running("") && strings.Contains(conn, want+":") }}, nil)
		got, err := c.Ensure(within(t, time.Minute), asked)
		if err != nil || got != (Connections{NB: "tcp:" + want + ":6641", SB: "tcp:" + want + ":6642"}) {
			t.Errorf("%d subnets taken: got %v, %v, want %s", k, got, err, want)
		}
	}
	d := &dockerd{fault: overlap(4)}
	_, err := newCentral(t, d, host{ready: d.running}, nil).Ensure(within(t, time.Minute), asked)
	wantError(t, err, "no subnet is free", "172.30.0.0/24", "192.168.201.0/24", "docker network create", "tcp:10.200.0.5:6641")
	if d.left() != "" {
		t.Errorf("left behind: %s", d.left())
	}
}

func TestNothingIsMadeForWhatCannotWork(t *testing.T) {
	elsewhere := containerIn("running", networkOn("n1", "my-overlay", "10.9.0.0/24"))
	remote := Request{NB: "tcp:192.0.2.1:6641", SB: "tcp:192.0.2.1:6642", Overlay: overlayName, AutoCreate: true}
	for _, tc := range []struct {
		name string
		d    *dockerd
		r    Request
		want string
	}{
		{"image missing", &dockerd{noImage: true}, asked, `"make images"`},
		{"somebody's central is down", &dockerd{}, remote, `"tcp:192.0.2.1:6641" does not answer`},
		{"central on another network", &dockerd{central: elsewhere}, asked, "ovn.transit_overlay_network=my-overlay"},
	} {
		_, err := newCentral(t, tc.d, host{ready: func(string) bool { return false }}, nil).Ensure(within(t, time.Minute), tc.r)
		wantError(t, err, tc.want)
		if n := tc.d.called("POST"); n > 0 {
			t.Errorf("%s: something was made: %q", tc.name, tc.d.calls)
		}
	}
}

// TestFailureLeavesNothing fails each step that makes something.
func TestFailureLeavesNothing(t *testing.T) {
	for _, at := range []string{"POST /networks/create", "POST /volumes/create", "POST /containers/create", "POST /containers/c1/start"} {
		for _, kept := range []bool{false, true} {
			d := &dockerd{volume: kept}
			d.fault = func(call string, _ int, w http.ResponseWriter, _ *http.Request) bool {
				if call != at {
					return false
				}
				refuse(w, http.StatusInternalServerError, "driver failed programming external connectivity")
				return true
			}
			if kept && strings.HasPrefix(at, "POST /volumes") {
				continue // it is not made
			}
			_, err := newCentral(t, d, host{ready: d.running}, nil).Ensure(within(t, time.Minute), asked)
			wantError(t, err, "driver failed programming external connectivity")
			if want := map[bool]string{true: "volume"}[kept]; d.left() != want {
				t.Errorf("%s fails: left %q, want %q", at, d.left(), want)
			}
		}
	}
}

// TestNeverReadyEndsInTime checks the end of the wait: in time for the caller,
// with what is known, and with everything taken back.
func TestNeverReadyEndsInTime(t *testing.T) {
	d := &dockerd{}
	ctx := within(t, 2*time.Second)
	_, err := newCentral(t, d, host{ready: func(string) bool { return false }}, nil).Ensure(ctx, asked)
	wantError(t, err, `OVN central at "tcp:172.30.0.5:6641"`, `container "ovn-central" is running`, "deadline exceeded")
	if ctx.Err() != nil {
		t.Error("the caller's time was used up")
	}
	if d.left() != "" {
		t.Errorf("left behind: %s", d.left())
	}
}

// TestUnansweredCreationIsTakenBack cuts the answer off after the work was done.
func TestUnansweredCreationIsTakenBack(t *testing.T) {
	for _, at := range []string{"POST /networks/create", "POST /volumes/create", "POST /containers/create"} {
		d := &dockerd{}
		d.fault = func(call string, _ int, _ http.ResponseWriter, r *http.Request) bool {
			if call != at {
				return false
			}
			d.mu.Lock()
			switch at {
			case "POST /networks/create":
				n := networkOn("n1", overlayName, "172.30.0.0/24")
				n["Labels"] = map[string]string{labelKey: labelValue}
				d.networks = append(d.networks, n)
			case "POST /volumes/create":
				d.volume = true
			default:
				d.central = containerIn("created", d.networks[0])
			}
			d.mu.Unlock()
			<-r.Context().Done()
			return true
		}
		_, err := newCentral(t, d, host{ready: d.running}, nil).Ensure(within(t, time.Second), asked)
		wantError(t, err, "did not answer in time")
		if d.left() != "" {
			t.Errorf("%s unanswered: left %s", at, d.left())
		}
	}
}

func TestHangingDockerEndsWithTheContext(t *testing.T) {
	stop := make(chan struct{})
	d := &dockerd{fault: func(_ string, _ int, _ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
		return true
	}}
	t.Cleanup(func() { close(stop) })
	c := newCentral(t, d, host{ready: func(string) bool { return false }}, nil)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			started := time.Now()
			_, err := c.Ensure(within(t, time.Second), asked)
			if took := time.Since(started); err == nil || took > time.Second {
				t.Errorf("took %s, error %v", took, err)
			}
		})
	}
	all.Wait()
	err := c.EnsureController(within(t, 400*time.Millisecond), true)
	wantError(t, err, "did not answer in time")
}

func TestDockerAwayNamesItsAddress(t *testing.T) {
	c, err := New(Config{DockerHost: "unix:///nonexistent/docker.sock"}, host{ready: func(string) bool { return false }}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Ensure(within(t, time.Minute), asked)
	wantError(t, err, `"unix:///nonexistent/docker.sock"`, "check that dockerd runs")
}

// TestAnotherPluginIsFaster answers 409 to the creation of network and
// container, because both are there by then.
func TestAnotherPluginIsFaster(t *testing.T) {
	d := &dockerd{}
	d.fault = func(call string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch call {
		case "POST /networks/create":
			d.networks = append(d.networks, networkOn("other", overlayName, "172.30.0.0/24"))
			refuse(w, http.StatusConflict, "network with name transit-overlay already exists")
		case "POST /containers/create":
			d.central = containerIn("created", d.networks[0])
			refuse(w, http.StatusConflict, `Conflict. The container name "/ovn-central" is already in use`)
		default:
			return false
		}
		return true
	}
	got, err := newCentral(t, d, host{ready: d.running}, nil).Ensure(within(t, time.Minute), asked)
	if err != nil || got.NB != asked.NB {
		t.Fatalf("got %v, %v", got, err)
	}
	if d.called("DELETE") > 0 {
		t.Errorf("something was removed: %q", d.calls)
	}
}

// TestTwoNetworksOfOneName is Docker 20.10: both creations succeed.
func TestTwoNetworksOfOneName(t *testing.T) {
	d := &dockerd{}
	d.fault = func(call string, n int, _ http.ResponseWriter, _ *http.Request) bool {
		if call == "POST /networks/create" && n == 1 {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.networks = append(d.networks, networkOn("o", overlayName, "172.31.0.0/24")) // older than n2
		}
		return false
	}
	got, err := newCentral(t, d, host{ready: func(conn string) bool { return d.running("") && strings.Contains(conn, "172.31.0.5") }}, nil).Ensure(within(t, time.Minute), asked)
	if err != nil || got.NB != "tcp:172.31.0.5:6641" {
		t.Fatalf("got %v, %v, want the older network", got, err)
	}
	if d.left() != "network o, container, volume" {
		t.Errorf("there is %s, want the older network only", d.left())
	}
}

func TestContainerStates(t *testing.T) {
	overlay := networkOn("n1", overlayName, "172.30.0.0/24")
	foreign := containerIn("exited", networkOn("n2", "lab", "10.9.0.0/24"))
	delete(foreign["Config"].(map[string]any), "Labels")
	wrong := containerIn("running", overlay)
	wrong["NetworkSettings"] = map[string]any{"Networks": map[string]any{overlayName: map[string]any{"NetworkID": "n1", "IPAddress": "172.30.0.9"}}}
	for _, tc := range []struct {
		name   string
		have   map[string]any
		called []string
		err    string
	}{
		{"running", containerIn("running", overlay), nil, ""},
		{"exited", containerIn("exited", overlay), []string{"POST /containers/c1/start"}, ""},
		{"created", containerIn("created", overlay), []string{"POST /containers/c1/start"}, ""},
		{"restarting", containerIn("restarting", overlay), []string{"POST /containers/c1/restart"}, ""},
		{"paused", containerIn("paused", overlay), nil, "docker unpause ovn-central"},
		{"dead", containerIn("dead", overlay), nil, "docker rm -f ovn-central"},
		{"its network was made anew", containerIn("exited", networkOn("old", overlayName, "172.30.0.0/24")), []string{"POST /networks/n1/disconnect", "POST /networks/n1/connect", "POST /containers/c1/start"}, ""},
		{"ours, on another network", containerIn("running", networkOn("n2", "lab", "10.9.0.0/24")), []string{"POST /networks/n1/connect"}, ""},
		{"not ours, on another network", foreign, nil, "was not made by this plugin"},
		{"wrong address", wrong, nil, "docker network disconnect transit-overlay ovn-central"},
	} {
		d := &dockerd{central: tc.have, networks: []map[string]any{overlay}, volume: true}
		first := true
		c := newCentral(t, d, host{ready: func(string) bool {
			if first {
				return false // the question about what was asked for
			}
			return d.running("")
		}}, nil)
		d.fault = func(string, int, http.ResponseWriter, *http.Request) bool { first = false; return false }
		_, err := c.Ensure(within(t, time.Minute), asked)
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.err)
		}
		var made []string
		for _, call := range d.calls {
			if strings.HasPrefix(call, "POST") || strings.HasPrefix(call, "DELETE") {
				made = append(made, call)
			}
		}
		if strings.Join(made, " ") != strings.Join(tc.called, " ") {
			t.Errorf("%s: Docker was asked for %q, want %q", tc.name, made, tc.called)
		}
	}
}

func TestNetworksOfTheUser(t *testing.T) {
	for _, tc := range []struct {
		name    string
		network map[string]any
		change  func(map[string]any)
		nb, err string
	}{
		{"both families", networkOn("n1", overlayName, "fd00:9::/64", "10.200.0.0/20"), nil, "tcp:10.200.0.5:6641", ""},
		{"not that name", networkOn("n1", "my-transit-overlay", "10.200.0.0/24"), nil, "tcp:172.30.0.5:6641", ""},
		{"IPv6 only", networkOn("n1", overlayName, "fd00:9::/64"), nil, "", "no IPv4 subnet"},
		{"too small", networkOn("n1", overlayName, "10.200.0.0/30"), nil, "", "/29"},
		{"other driver", networkOn("n1", overlayName, "10.200.0.0/24"), func(n map[string]any) { n["Driver"] = "macvlan" }, "", `"macvlan"`},
		{"gateway at .5", networkOn("n1", overlayName, "10.200.0.0/24"), func(n map[string]any) {
			n["IPAM"].(map[string]any)["Config"].([]map[string]string)[0]["Gateway"] = "10.200.0.5"
		}, "", "--gateway"},
	} {
		if tc.change != nil {
			tc.change(tc.network)
		}
		d := &dockerd{networks: []map[string]any{tc.network}}
		// The real create puts the container where it was asked to; this one would not know.
		d.fault = func(call string, _ int, w http.ResponseWriter, _ *http.Request) bool {
			if call != "POST /containers/create" {
				return false
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.central = containerIn("created", networkOn("n1", overlayName, "10.200.0.0/24"))
			answer(w, http.StatusCreated, map[string]any{"Id": "c1"})
			return true
		}
		got, err := newCentral(t, d, host{ready: d.running}, nil).Ensure(within(t, time.Minute), asked)
		if tc.err == "" && (err != nil || got.NB != tc.nb) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: got %v, %v, want %q %q", tc.name, got, err, tc.nb, tc.err)
		}
	}
}

func TestManyAtOnceMakeOne(t *testing.T) {
	d := &dockerd{}
	c := newCentral(t, d, host{ready: d.running}, nil)
	ctx := within(t, time.Minute)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if got, err := c.Ensure(ctx, asked); err != nil || got.NB != asked.NB {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if d.called("POST /networks/create") != 1 || d.called("POST /containers/create") != 1 {
		t.Errorf("calls: %q", d.calls)
	}
}
