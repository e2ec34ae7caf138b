package driver_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// OVN away: the endpoint is made on the host and answered, its Join does not
// wait, and its port is there as soon as OVN is.
func TestEndpointWhileAway(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.wait = func(context.Context, time.Duration) error { t.Error("Join waited"); return nil }
		p.setAway(true)
		for i, address := range []int{2, 3} {
			took := stopwatch()
			answer := p.ok(t, "CreateEndpoint", endpoint(1, 10+i, address))
			checkEndpoint(t, endpoint(1, 10+i, address), answer)
			checkJoin(t, p.ok(t, "Join", endpoint(1, 10+i, address)))
			if took() > 5*time.Second {
				t.Errorf("took %s", took())
			}
		}
		for _, e := range p.records.Endpoints.List() {
			if !e.Data.Deferred || e.Phase != store.Ready {
				t.Errorf("record %+v", e)
			}
		}
		later()
		if away := p.outages.List(); len(away) != 1 {
			t.Errorf("away: %v", away)
		}
		if got := p.list(); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "lsp") }) || len(got) != 5 {
			t.Errorf("there is %q", got)
		}
		p.setAway(false)
		<-time.After(1100 * time.Millisecond) // asked once a second
		p.tidy(t)
		if away := p.outages.List(); len(away) != 0 {
			t.Errorf("away: %v", away)
		}
	})
}

// The same with PLUGIN_OVN_DOWN=fail: an error, at once when it is known, and
// nothing left.
func TestEndpointWhileAwayRefused(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.records.FailWhenDown = true
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.setAway(true)
		p.fails(t, "connection failed", "CreateEndpoint", endpoint(1, 10, 2))
		p.fails(t, "does not answer", "CreateEndpoint", endpoint(1, 11, 2))
		if got := p.list(); !slices.Equal(got, []string{"ls ls"}) {
			t.Errorf("left: %q", got)
		}
		p.setAway(false)
		later()
		p.tidy(t)
		p.ok(t, "CreateEndpoint", endpoint(1, 12, 2))
	})
}

// A silent database costs the first endpoint its bound, no more, and nobody
// tries to take back what it may have done.
func TestSilentDatabase(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.onRun(func(ctx context.Context, program string, _ [][]string) error {
			if program != "ovn-nbctl" && program != "probe" {
				return nil
			}
			<-ctx.Done()
			return stopped(program, context.Cause(ctx))
		})
		for i, limit := range []time.Duration{4 * time.Second, 0} {
			took := stopwatch()
			p.ok(t, "CreateEndpoint", endpoint(1, 10+i, 2+i))
			if took() > limit {
				t.Errorf("endpoint %d took %s", i, took())
			}
		}
		p.onRun(nil)
		later()
		p.tidy(t)
	})
}

// The same of removals.
func TestSilentDatabaseAtRemoval(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateNetwork", network(2, "ls2"))
		p.onRun(func(ctx context.Context, program string, ops [][]string) error {
			if program == "probe" || program == "ovn-nbctl" || program == "ovsdb-client" && ops[0][1] == ovsdb.Northbound {
				<-ctx.Done()
				return stopped(program, context.Cause(ctx))
			}
			return nil
		})
		took := stopwatch()
		p.fails(t, "tried again", "DeleteNetwork", network(1, "ls"))
		p.fails(t, "tried again", "DeleteNetwork", network(2, "ls2"))
		if took() > 4*time.Second {
			t.Errorf("took %s", took())
		}
		p.onRun(nil)
		later()
		if got := p.list(); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	})
}

// What is noted while a database is being asked, or its records are being
// completed, is looked at again.
func TestNotedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		var asked atomic.Int64
		p.onRun(func(context.Context, string, [][]string) error {
			if asked.Add(1) == 1 {
				p.outages.Retry("tcp:172.30.0.5:6641")
			}
			return nil
		})
		p.outages.Retry("tcp:172.30.0.5:6641")
		later()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// OVN away while endpoints and networks are removed: what is on the host goes
// at once, the rest when it is back, also over a restart of the plugin.
func TestRemovalWhileAway(t *testing.T) {
	for _, restart := range []bool{false, true} {
		bubble(t, func(t *testing.T, p *plugin) {
			p.ok(t, "CreateNetwork", network(1, "ls"))
			p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
			p.ok(t, "CreateEndpoint", endpoint(1, 11, 3))
			p.ok(t, "CreateEndpoint", endpoint(1, 12, 4))
			p.setAway(true)
			p.fails(t, "tried again", "DeleteEndpoint", endpoint(1, 10, 2))
			if e, ok := p.records.Endpoints.Get(id(10)); !ok || e.Phase != store.Deleting {
				t.Errorf("record %+v", e)
			}
			p.fails(t, "tried again", "DeleteNetwork", network(1, "ls"))
			if got := p.list(); len(got) != 4 { // the switch and three ports of it
				t.Errorf("left: %q", got)
			}
			if n, ok := p.records.Networks.Get(id(1)); !ok || n.Phase != store.Deleting {
				t.Errorf("record %+v", n)
			}
			// A network that only waits for its removal binds the chassis no more.
			if p.records.OtherNetworks("") {
				t.Error("the network still counts")
			}
			if restart {
				p.restart(t)
				p.serve(t, nil)
				took := stopwatch()
				p.reconciler.Recover(t.Context())
				if took() > 5*time.Second {
					t.Errorf("recovery took %s", took())
				}
				close(p.ready)
				p.watch(t)
			}
			p.fails(t, "not known", "CreateEndpoint", endpoint(1, 13, 5))
			p.setAway(false)
			later()
			p.tidy(t)
			if got := p.list(); len(got) != 0 {
				t.Errorf("left: %q", got)
			}
		})
	}
}

// A container is replaced while OVN is away, and gets its old address: the old
// port goes before the new one is made.
func TestAddressAgainWhileAway(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		for i := range 8 {
			p.ok(t, "CreateEndpoint", endpoint(1, 10+i, 2+i))
		}
		p.setAway(true)
		for i := range 8 {
			p.fails(t, "tried again", "DeleteEndpoint", endpoint(1, 10+i, 2+i))
			p.ok(t, "CreateEndpoint", endpoint(1, 20+i, 2+i))
		}
		p.setAway(false)
		<-time.After(1100 * time.Millisecond)
		p.tidy(t)

		// OVN is back, and the removal has not been tried again yet.
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovn-nbctl" && ops[0][0] == "lsp-del" {
				return refused(program, "some defect")
			}
			return nil
		})
		p.fails(t, "tried again", "DeleteEndpoint", endpoint(1, 20, 2))
		p.ok(t, "CreateEndpoint", endpoint(1, 30, 2))
		p.onRun(nil)
		later()
		p.tidy(t)
	})
}

// A removal has failed, and the next container gets the address: it has its port,
// and with it traffic, when Docker is answered.
func TestAddressOfAFailedRemoval(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateNetwork", network(2, "ls"))
		for i := range 2 { // in the same network, and in another one of the switch
			p.ok(t, "CreateEndpoint", endpoint(1, 10+i, 2))
			p.onRun(func(_ context.Context, program string, ops [][]string) error {
				if program == "ovn-nbctl" && ops[0][0] == "lsp-del" {
					p.onRun(nil)
					return refused(program, "some defect")
				}
				return nil
			})
			p.fails(t, "tried again", "DeleteEndpoint", endpoint(1, 10+i, 2))
			p.ok(t, "CreateEndpoint", endpoint(1+i, 20+i, 2))
			if e, _ := p.records.Endpoints.Get(id(20 + i)); e.Data.Deferred {
				t.Error("the endpoint is deferred")
			}
			p.tidy(t)
			p.ok(t, "DeleteEndpoint", endpoint(1+i, 20+i, 2))
		}
	})
}

// Docker gives an address again only after it has removed the endpoint that had
// it: of one that is still there we were not told. On the switch of another
// network an address that a living endpoint has is an error.
func TestAddressTwice(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.ok(t, "CreateEndpoint", endpoint(1, 11, 2))
		if _, there := p.records.Endpoints.Get(id(10)); there {
			t.Error("the endpoint that had the address is still there")
		}
		p.ok(t, "CreateNetwork", network(2, "ls"))
		p.fails(t, "duplicate", "CreateEndpoint", endpoint(2, 12, 2))
		p.tidy(t)
	})
}

// What fails though the database answers is tried again, and does not make it
// one that is down: new endpoints get their ports at once.
func TestFailureIsNoOutage(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ip" && strings.Join(ops[0], " ") == "link del dev ocn"+id(10)[:12] {
				return refused(program, "Operation not permitted")
			}
			return nil
		})
		p.fails(t, "not permitted", "DeleteEndpoint", endpoint(1, 10, 2))
		for i := range 20 {
			p.ok(t, "CreateEndpoint", endpoint(1, 20+i, 20+i))
			if e, _ := p.records.Endpoints.Get(id(20 + i)); e.Data.Deferred {
				t.Fatalf("endpoint %d is deferred", i)
			}
			<-time.After(7 * time.Second)
		}
		p.onRun(nil)
		later()
		p.tidy(t)
	})
}

// Open vSwitch is being started: the first endpoint waits for it. When it stays
// away, the others do not wait too.
func TestOpenVSwitchAway(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		away := func(until time.Time) func(context.Context, string, [][]string) error {
			return func(_ context.Context, program string, _ [][]string) error {
				if program == "ovs-vsctl" && time.Now().Before(until) {
					return refused(program, "unix:/ovs.sock: database connection failed (No such file or directory)")
				}
				return nil
			}
		}
		p.onRun(away(time.Now().Add(2 * time.Second)))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.onRun(away(time.Now().Add(time.Hour)))
		took := stopwatch()
		p.fails(t, "systemctl start openvswitch-switch", "CreateEndpoint", endpoint(1, 11, 3))
		if took() < 5*time.Second || took() > 6*time.Second {
			t.Errorf("took %s", took())
		}
		took = stopwatch()
		p.fails(t, "systemctl start openvswitch-switch", "CreateEndpoint", endpoint(1, 12, 3))
		if took() != 0 {
			t.Errorf("took %s", took())
		}
		p.onRun(nil)
		later()
		p.tidy(t)
	})
}
