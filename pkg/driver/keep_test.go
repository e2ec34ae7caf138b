package driver_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// A database that comes back empty is filled before any request may fail for
// it, and one that nobody saw go is filled for the first that notices.
func TestEmptiedDatabase(t *testing.T) {
	empty := func(p *plugin) {
		p.host.mu.Lock()
		defer p.host.mu.Unlock()
		damage["all switch ports"](p.host)
		p.north.Clear("Logical_Switch")
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

// keep runs what keeps things in place.
func (p *plugin) keep(t *testing.T) { aside(t, p.reconciler.Keep) }

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
