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
		for _, port := range p.north.Names("Logical_Switch_Port") {
			if host := p.north.Row("Logical_Switch_Port", port).Map("external_ids")["host"]; host != "renamed" {
				t.Errorf("port %.12s is of host %q", port, host)
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

// nb is the database of all networks.
func (p *plugin) nb() string { return "tcp:172.30.0.5:6641" }

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
