package driver_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// crashed is a plugin that was killed while the records had these phases, with
// all or nothing of them there.
func crashed(t *testing.T, network store.Phase, endpoint store.Record[topology.Endpoint], made, away bool) *plugin {
	t.Helper()
	p := newPlugin(t)
	p.serve(t, nil)
	p.ok(t, "CreateNetwork", networkRequest)
	p.ok(t, "CreateEndpoint", endpointRequest)
	have, _ := p.records.Endpoints.Get(id(10))
	have.Phase, have.Data.Deferred = endpoint.Phase, endpoint.Data.Deferred
	if err := p.records.Endpoints.Put(id(10), have); err != nil {
		t.Fatal(err)
	}
	n, _ := p.records.Networks.Get(id(1))
	n.Phase = network
	if err := p.records.Networks.Put(id(1), n); err != nil {
		t.Fatal(err)
	}
	if !made {
		if endpoint.Phase != store.Ready {
			delete(p.things, "link "+have.Data.HostLink())
			delete(p.things, "port "+have.Data.HostLink())
		}
		p.north.Delete("Logical_Switch_Port", id(10))
		if network != store.Ready {
			p.north.Delete("Logical_Switch", "ls")
		}
	}
	p.setAway(away)
	p.restart(t)
	p.serve(t, nil)
	return p
}

var networkRequest, endpointRequest = network(1, "ls"), endpoint(1, 10, 2)

// Whatever phase a crash left, and whether all or nothing had been made, the
// next process ends in the state that dockerd was told of, also when OVN is
// away at first.
func TestRecover(t *testing.T) {
	record := func(phase store.Phase, deferred bool) store.Record[topology.Endpoint] {
		return store.Record[topology.Endpoint]{Phase: phase, Data: topology.Endpoint{Deferred: deferred}}
	}
	cases := []struct {
		network  store.Phase
		endpoint store.Record[topology.Endpoint]
		want     int // networks and endpoints in the end
	}{
		{store.Ready, record(store.Pending, false), 1},
		{store.Ready, record(store.Pending, true), 1},
		{store.Ready, record(store.Deleting, false), 1},
		{store.Ready, record(store.Deleting, true), 1},
		{store.Ready, record(store.Ready, true), 2},
		{store.Pending, record(store.Pending, false), 0},
		{store.Deleting, record(store.Deleting, false), 0},
		{store.Deleting, record(store.Ready, false), 0},
		{store.Deleting, record(store.Ready, true), 0},
	}
	for _, c := range cases {
		for _, made := range []bool{false, true} {
			for _, away := range []bool{false, true} {
				t.Run(fmt.Sprintf("network %s endpoint %s deferred %t made %t away %t", c.network, c.endpoint.Phase, c.endpoint.Data.Deferred, made, away), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := crashed(t, c.network, c.endpoint, made, away)
						p.reconciler.Recover(t.Context())
						close(p.ready)
						p.watch(t)
						if away {
							later()
							p.setAway(false)
						}
						later()
						p.tidy(t)
						if got := p.records.Networks.Len() + p.records.Endpoints.Len(); got != c.want {
							t.Errorf("%d records, want %d", got, c.want)
						}
						if c.network == store.Ready && c.endpoint.Phase != store.Ready {
							p.ok(t, "CreateEndpoint", endpoint(1, 11, 2)) // the address is free
						}
					})
				})
			}
		}
	}
}

// dockerd's calls come while recovery still runs: removals are taken at once,
// since it never repeats them, and new endpoints wait.
func TestCallsDuringRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlugin(t)
		p.serve(t, nil)
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.ok(t, "CreateEndpoint", endpoint(1, 11, 3))
		p.restart(t)
		p.serve(t, nil)
		p.ok(t, "Join", endpoint(1, 11, 3))
		p.ok(t, "Leave", endpoint(1, 10, 2))
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 2))
		took := stopwatch()
		p.fails(t, "still recovering", "CreateEndpoint", endpoint(1, 12, 2))
		if took().Seconds() != 15 {
			t.Errorf("waited %s", took())
		}
		p.reconciler.Recover(t.Context())
		close(p.ready)
		p.ok(t, "CreateEndpoint", endpoint(1, 13, 2))
		p.tidy(t)
	})
}

// Records of before a crash, and Recover together with all kinds of requests.
func TestRecoverRace(t *testing.T) {
	p := newPlugin(t)
	p.serve(t, nil)
	p.ok(t, "CreateNetwork", network(1, "ls"))
	for i := range 20 {
		p.ok(t, "CreateEndpoint", endpoint(1, 10+i, 10+i))
		have, _ := p.records.Endpoints.Get(id(10 + i))
		have.Phase = []store.Phase{store.Pending, store.Deleting, store.Ready}[i%3]
		if err := p.records.Endpoints.Put(id(10+i), have); err != nil {
			t.Fatal(err)
		}
	}
	p.restart(t)
	p.serve(t, nil)
	p.watch(t)
	all := parallel(20, func(i int) {
		// Until a database has answered for the first time, it counts as one that
		// does not.
		if _, err := p.call(t.Context(), "DeleteEndpoint", endpoint(1, 10+i, 10+i)); err != nil && !strings.Contains(err.Error(), "it will be tried again") {
			t.Error(err)
		}
		p.ok(t, "CreateEndpoint", endpoint(1, 100+i, 10+i))
	})
	p.reconciler.Recover(t.Context())
	close(p.ready)
	all.Wait()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until) && !slices.Equal(p.list(), p.wanted()); {
		time.Sleep(50 * time.Millisecond)
	}
	p.tidy(t)
	if got := p.records.Endpoints.Len(); got != 20 {
		t.Errorf("%d endpoints", got)
	}
}

// The MAC address follows from the address, so that an endpoint can be answered
// for without OVN.
func TestAddressesStored(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		answer := p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.restart(t)
		e, err := p.records.Endpoint(id(10))
		if err != nil || !slices.Equal(e.Addresses, []netip.Prefix{netip.MustParsePrefix("10.1.0.2/16")}) ||
			answer["Interface"].(map[string]any)["MacAddress"] != e.MAC {
			t.Errorf("stored %+v (%v), answered %v", e, err, answer)
		}
	})
}
