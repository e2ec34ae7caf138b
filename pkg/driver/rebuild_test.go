package driver_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// sweep compares with Docker's lists.
func (p *plugin) sweep(t *testing.T) error {
	t.Helper()
	return p.reconciler.Sweep(t.Context())
}

// A rebuild that is cut off, at whichever call of a program, leaves the
// containers of the network alone, and the next one ends it.
func TestRebuildIsCutOff(t *testing.T) {
	var calls atomic.Int64
	for at := int64(1); at == 1 || at <= calls.Load(); at++ {
		for mode, outcome := range map[string]error{"nothing was done": errors.New("a fault"), "it was done": errAfterwards} {
			bubble(t, func(t *testing.T, p *plugin) {
				populated(t, p)
				p.docked()
				before := p.list()
				p.lose(t, "a network")
				p.serve(t, nil)
				p.watch(t)
				p.reconciler.Recover(t.Context())
				close(p.ready)
				calls.Store(0)
				p.onRun(func(context.Context, string, [][]string) error {
					if calls.Add(1) >= at {
						return stopped("ovn-nbctl", outcome)
					}
					return nil
				})
				_ = p.sweep(t) // it fails, or not
				p.onRun(nil)
				if after := p.list(); !slices.Equal(before, after) {
					t.Errorf("cut off at call %d, %s: there was\n%q\nand is\n%q", at, mode, before, after)
				}
				p.restart(t)
				p.serve(t, nil)
				p.watch(t)
				p.reconciler.Recover(t.Context())
				close(p.ready)
				if err := p.sweep(t); err != nil {
					t.Errorf("cut off at call %d, %s: %v", at, mode, err)
				}
				p.tidy(t)
				if after := p.list(); !slices.Equal(before, after) || p.records.Networks.Len() != 3 {
					t.Errorf("cut off at call %d, %s: there was\n%q\nand is\n%q, of %d networks", at, mode, before, after, p.records.Networks.Len())
				}
			})
		}
	}
	if calls.Load() < 5 {
		t.Errorf("a rebuild took %d calls", calls.Load())
	}
}

// A rebuild that failed is tried again by the same process, and status says why
// it failed.
func TestRebuildIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.lose(t, "all")
		p.serve(t, nil)
		close(p.ready)
		p.onRun(func(_ context.Context, program string, _ [][]string) error {
			if program == "ensure central" {
				return errors.New("no central")
			}
			return nil
		})
		if err := p.sweep(t); err == nil {
			t.Error("the sweep did not fail")
		}
		if failed := p.reconciler.Report().Failed; len(failed) == 0 || !strings.Contains(failed[0], "no central") {
			t.Errorf("reported as failed: %q", failed)
		}
		p.fails(t, "is not known to this plugin", "CreateEndpoint", endpoint(1, 40, 40))
		p.onRun(nil)
		if err := p.sweep(t); err != nil {
			t.Error(err)
		}
		p.tidy(t)
		if p.records.Networks.Len() != 3 || len(p.reconciler.Report().Failed) != 0 {
			t.Errorf("%d networks, failed %q", p.records.Networks.Len(), p.reconciler.Report().Failed)
		}
		p.ok(t, "CreateEndpoint", endpoint(1, 40, 40))
	})
}

// A database that comes back empty is filled before any request may fail for
// it, and one that nobody saw go is filled for the first that notices.
func TestEmptiedDatabase(t *testing.T) {
	empty := func(p *plugin) {
		p.host.mu.Lock()
		defer p.host.mu.Unlock()
		damage["all switch ports"](p.host)
		clear(p.sw)
	}
	for _, seen := range []bool{true, false} {
		bubble(t, func(t *testing.T, p *plugin) {
			p.keep(t)
			populated(t, p)
			if seen {
				p.setAway(true)
				p.ok(t, "CreateEndpoint", endpoint(1, 30, 30)) // notices
				<-time.After(10 * time.Second)
				p.setAway(false)
			}
			empty(p)
			for i := range 20 {
				p.ok(t, "CreateEndpoint", endpoint(1, 40+i, 40+i))
				<-time.After(100 * time.Millisecond)
			}
			<-time.After(10 * time.Second)
			p.tidy(t)
		})
	}
}

// keep runs what keeps things in place, until the test ends.
func (p *plugin) keep(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	keeping.Go(func() { p.reconciler.Keep(ctx) })
	t.Cleanup(func() { stop(); keeping.Wait() })
}

// What somebody deletes is there again a moment later; what Docker has removed
// costs no look; and a pass that fails is tried again.
func TestKeep(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.keep(t)
		populated(t, p)
		p.reconciler.Changed() // the records; the test's callback is none
		<-time.After(10 * time.Second)
		var looks atomic.Int64
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovsdb-client" && ops[0][0] == "read" {
				looks.Add(1)
			}
			return nil
		})
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 10))
		p.deleted <- id(10)
		p.deleted <- "ocn" + id(10)[:12]
		<-time.After(5 * time.Second)
		if looks.Load() != 0 {
			t.Errorf("%d looks for what Docker has removed", looks.Load())
		}
		p.host.mu.Lock()
		damage["a port's addresses"](p.host)
		p.host.mu.Unlock()
		p.deleted <- id(11)
		<-time.After(5 * time.Second)
		p.tidy(t)
		if looks.Load() == 0 {
			t.Error("nobody has looked")
		}
		var tries atomic.Int64
		p.onRun(func(_ context.Context, program string, _ [][]string) error {
			if program == "ovn-nbctl" {
				tries.Add(1)
				return refused(program, "some defect")
			}
			return nil
		})
		p.host.mu.Lock()
		damage["all switch ports"](p.host)
		p.host.mu.Unlock()
		p.deleted <- id(11)
		<-time.After(2 * time.Minute)
		if n := tries.Load(); n < 10 || n > 100 {
			t.Errorf("%d tries in two minutes", n)
		}
		p.onRun(nil)
		<-time.After(time.Minute + 5*time.Second)
		p.tidy(t)
	})
}

// Endpoints whose network has neither a record nor a place in Docker go, by a
// sweep or because Docker removes the network.
func TestEndpointsOfALostNetwork(t *testing.T) {
	for _, asked := range []bool{true, false} {
		bubble(t, func(t *testing.T, p *plugin) {
			populated(t, p)
			p.docked()
			p.lose(t, "a network")
			p.serve(t, nil)
			p.watch(t)
			close(p.ready)
			p.docker.mu.Lock()
			delete(p.docker.have.Networks, id(1))
			p.docker.mu.Unlock()
			if asked {
				p.ok(t, "DeleteNetwork", network(1, "ls"))
			}
			if err := p.sweep(t); err != nil {
				t.Error(err)
			}
			for _, i := range []int{10, 11} {
				for _, thing := range []string{"lsp " + id(i), "port ocn" + id(i)[:12], "link ocn" + id(i)[:12]} {
					if slices.Contains(p.list(), thing) {
						t.Errorf("%s is still there (asked: %t)", thing, asked)
					}
				}
			}
			if p.records.Endpoints.Len() != 3 {
				t.Errorf("%d endpoints have a record", p.records.Endpoints.Len())
			}
		})
	}
}

// What Docker removed when there was no record of it any more blocks no address
// for a network that is made after it.
func TestRemovedWithoutARecord(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.lose(t, "all")
		p.serve(t, nil)
		p.watch(t)
		close(p.ready)
		for i := range 4 {
			p.ok(t, "DeleteEndpoint", endpoint([]int{1, 1, 2, 3}[i], 10+i, 10+i))
		}
		p.ok(t, "DeleteEndpoint", endpoint(3, 20, 20))
		for i := range 3 {
			p.ok(t, "DeleteNetwork", network(1+i, ""))
		}
		p.ok(t, "CreateNetwork", network(4, "ls"))
		p.docked()
		if err := p.sweep(t); err != nil {
			t.Error(err)
		}
		p.ok(t, "CreateEndpoint", endpoint(4, 30, 10)) // the address of one before
		p.tidy(t)
	})
}

// All endpoints that begin while records are rebuilt wait for them, and are told
// when that takes too long.
func TestWaitsForTheRebuilt(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.lose(t, "all")
		rebuilt := make(chan struct{})
		p.driver.Rebuilt = rebuilt
		p.serve(t, nil)
		close(p.ready)
		both := func(want string) {
			var calls sync.WaitGroup
			for i := range 2 {
				calls.Go(func() {
					if want == "" {
						p.ok(t, "CreateEndpoint", endpoint(1+i, 30+i, 30+i))
					} else {
						p.fails(t, want, "CreateEndpoint", endpoint(1+i, 30+i, 30+i))
					}
				})
			}
			calls.Wait()
		}
		time.AfterFunc(time.Second, func() {
			if err := p.sweep(t); err != nil {
				t.Error(err)
			}
		})
		both("") // the sweep makes the networks, and nobody need say that it is over
		p.tidy(t)
		p.lose(t, "all")
		p.driver.Rebuilt = rebuilt
		p.serve(t, nil)
		close(p.ready)
		took := stopwatch()
		both("still comparing")
		if took() != 3*time.Second {
			t.Errorf("took %s", took())
		}
		close(rebuilt)
		both("is not known")
	})
}

// A host that gets another name takes its ports along.
func TestHostIsRenamed(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.host.mu.Lock()
		p.config["system-id"] = "renamed"
		p.host.mu.Unlock()
		for range 2 {
			if err := p.reconciler.Pass(t.Context()); err != nil {
				t.Error(err)
			}
		}
		p.tidy(t)
		p.host.mu.Lock()
		defer p.host.mu.Unlock()
		for port := range p.address {
			if p.marks[port]["host"] != "renamed" {
				t.Errorf("port %.12s is of host %q", port, p.marks[port]["host"])
			}
		}
		if p.config["system-id"] != "renamed" {
			t.Errorf("system-id %q", p.config["system-id"])
		}
	})
}

// A removal that cannot even begin, because a restoration takes long, is not
// forgotten.
func TestRemovalThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.host.mu.Lock()
		damage["all switch ports"](p.host)
		p.host.mu.Unlock()
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovn-nbctl" && ops[0][0] == "lsp-add" {
				<-time.After(9 * time.Second) // a database that is slow
			}
			return nil
		})
		go func() { _ = p.reconciler.Pass(t.Context()) }()
		<-time.After(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.call(ctx, "DeleteEndpoint", endpoint(1, 10, 10)); err == nil {
			t.Error("the removal did not have to wait")
		}
		<-time.After(time.Minute)
		p.onRun(nil)
		<-time.After(time.Minute)
		if _, ok := p.records.Endpoints.Get(id(10)); ok || slices.Contains(p.list(), "link ocn"+id(10)[:12]) {
			t.Error("the endpoint is still there")
		}
	})
}

// Docker that does not answer is asked again soon; a network that cannot be
// rebuilt is tried again more seldom.
func TestMind(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.lose(t, "a network")
		p.serve(t, nil)
		close(p.ready)
		var tries atomic.Int64
		p.onRun(func(_ context.Context, program string, _ [][]string) error {
			if program == "ensure central" {
				tries.Add(1)
				return errors.New("no central")
			}
			return nil
		})
		p.docker.mu.Lock()
		p.docker.err = errors.New("not yet")
		p.docker.mu.Unlock()
		ctx, stop := context.WithCancel(t.Context())
		var minding sync.WaitGroup
		minding.Go(func() { p.reconciler.Mind(ctx) })
		<-time.After(time.Minute)
		asked := p.docker.asked()
		if asked < 20 || asked > 40 || tries.Load() != 0 {
			t.Errorf("asked %d times in a minute, %d tries", asked, tries.Load())
		}
		p.docker.mu.Lock()
		p.docker.err = nil
		p.docker.mu.Unlock()
		<-time.After(10 * time.Minute)
		if n := tries.Load(); n < 10 || n > 25 {
			t.Errorf("%d tries in ten minutes", n)
		}
		p.onRun(nil)
		<-time.After(6 * time.Minute)
		stop()
		minding.Wait()
		p.tidy(t)
		if p.records.Networks.Len() != 3 || p.records.Endpoints.Len() != 5 {
			t.Errorf("%d networks, %d endpoints", p.records.Networks.Len(), p.records.Endpoints.Len())
		}
	})
}

// OVN central that is gone while its database is away is made again, after
// dockerd had its time, and once.
func TestRevive(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		auto := network(1, "ls")
		auto["Options"].(map[string]any)["com.docker.network.generic"].(map[string]string)["ovn.auto_create"] = "true"
		p.ok(t, "CreateNetwork", auto)
		p.docked()
		ctx, stop := context.WithCancel(t.Context())
		var minding sync.WaitGroup
		minding.Go(func() { p.reconciler.Mind(ctx) })
		<-time.After(time.Minute)
		if n := p.docker.revivals(); n != 0 {
			t.Errorf("revived %d times while it ran", n)
		}
		p.setAway(true)
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 10)) // notices
		<-time.After(4 * time.Second)
		if n := p.docker.revivals(); n != 0 {
			t.Errorf("revived %d times before dockerd could", n)
		}
		<-time.After(8 * time.Second)
		if p.docker.revivals() == 0 {
			t.Error("not revived")
		}
		p.setAway(false)
		<-time.After(5 * time.Second)
		n := p.docker.revivals()
		<-time.After(time.Minute)
		if again := p.docker.revivals(); again != n {
			t.Errorf("revived %d times more when it was back", again-n)
		}
		stop()
		minding.Wait()
	})
}

// Mind does not spin while Docker does not answer and something is unclaimed,
// and ends with its context.
func TestMindIsPatient(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.lose(t, "a network")
		p.serve(t, nil)
		close(p.ready)
		p.docker.mu.Lock()
		p.docker.err = errors.New("not yet")
		p.docker.mu.Unlock()
		p.ok(t, "DeleteEndpoint", endpoint(9, 90, 90)) // of a network without a record
		ctx, stop := context.WithCancel(t.Context())
		var minding sync.WaitGroup
		minding.Go(func() { p.reconciler.Mind(ctx) })
		<-time.After(time.Minute)
		if asked := p.docker.asked(); asked < 20 || asked > 40 {
			t.Errorf("asked %d times in a minute", asked)
		}
		stop()
		minding.Wait()
	})
}

// A database that is too slow to be looked at as a whole is not down for ever.
func TestSlowDatabase(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.setAway(true)
		p.ok(t, "CreateEndpoint", endpoint(1, 30, 30)) // notices
		var looks atomic.Int64
		p.onRun(func(ctx context.Context, _ string, ops [][]string) error {
			if len(ops) > 0 && ops[0][0] == "read" && ops[0][1] == ovsdb.Northbound {
				looks.Add(1)
				select {
				case <-ctx.Done():
					return stopped("ovsdb-client", ctx.Err())
				case <-time.After(6 * time.Second):
				}
			}
			return nil
		})
		p.setAway(false)
		<-time.After(5 * time.Minute)
		if p.outages.Down(p.nb()) || looks.Load() > 30 {
			t.Errorf("down %t after five minutes, %d looks", p.outages.Down(p.nb()), looks.Load())
		}
		for id, e := range p.records.Endpoints.List() {
			if e.Data.Deferred {
				t.Errorf("endpoint %.12s is deferred", id)
			}
		}
	})
}

// nb is the database of all networks.
func (p *plugin) nb() string { return "tcp:172.30.0.5:6641" }

// Passes that fail do not add up, whatever calls for them.
func TestFailingPasses(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.keep(t)
		populated(t, p)
		p.host.mu.Lock()
		damage["all switch ports"](p.host)
		p.host.mu.Unlock()
		var looks atomic.Int64
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovn-nbctl" {
				return refused(program, "some defect")
			}
			if program == "ovsdb-client" && ops[0][0] == "read" && ops[0][1] == ovsdb.Northbound {
				looks.Add(1)
			}
			return nil
		})
		for range 40 {
			p.reconciler.Wake()
			<-time.After(3 * time.Second)
		}
		looks.Store(0)
		<-time.After(10 * time.Minute)
		if n := looks.Load(); n < 5 || n > 20 {
			t.Errorf("%d looks in ten quiet minutes", n)
		}
	})
}

// What Docker removes while it is being adopted does not come back.
func TestRemovedWhileAdopted(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.lose(t, "all")
		p.serve(t, nil)
		p.watch(t)
		close(p.ready)
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovsdb-client" && ops[0][0] == "read" && ops[0][1] == ovsdb.Northbound {
				<-time.After(2 * time.Second)
			}
			return nil
		})
		swept := make(chan struct{})
		go func() { _ = p.sweep(t); close(swept) }()
		<-time.After(time.Second)
		for i := range 3 {
			p.ok(t, "DeleteNetwork", network(1+i, ""))
		}
		<-swept
		p.onRun(nil)
		if p.records.Networks.Len() != 0 || p.records.Endpoints.Len() != 0 {
			t.Errorf("%d networks and %d endpoints came back", p.records.Networks.Len(), p.records.Endpoints.Len())
		}
	})
}
