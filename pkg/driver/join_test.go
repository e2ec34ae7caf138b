package driver_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// slow is an ovn-controller that takes so long for a port.
func (p *plugin) slow(takes time.Duration) {
	p.wait = func(ctx context.Context, limit time.Duration) error {
		select {
		case <-ctx.Done():
			return stopped("ovsdb-client", context.Cause(ctx))
		case <-time.After(min(takes, limit)):
		}
		if takes > limit {
			return ovsdb.ErrTimedOut
		}
		return nil
	}
}

// endsJoin makes the call while a Join waits for its port: both end at once.
func (p *plugin) endsJoin(t *testing.T, call string) {
	t.Helper()
	p.slow(time.Hour)
	took := stopwatch()
	var joining sync.WaitGroup
	joining.Go(func() { p.fails(t, "being removed", "Join", endpoint(1, 10, 2)) })
	synctest.Wait()
	p.ok(t, call, endpoint(1, 10, 2))
	joining.Wait()
	if took() != 0 {
		t.Errorf("took %s", took())
	}
}

// DeleteEndpoint ends the Join that waits for the port, and does not wait
// behind it.
func TestDeleteDuringJoin(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.endsJoin(t, "DeleteEndpoint")
		p.tidy(t)
	})
}

// The same of Leave, and of a client that is gone.
func TestJoinEnds(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.endsJoin(t, "Leave")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.call(ctx, "Join", endpoint(1, 10, 2)); err == nil {
			t.Error("no error")
		}
		// One that was given up says nothing about ovn-controller.
		took := stopwatch()
		p.ok(t, "Join", endpoint(1, 10, 2))
		if took() != 10*time.Second {
			t.Errorf("waited %s", took())
		}
	})
}

// A Join waits for a late ovn-controller for 10 s and then answers all the
// same. Those after it wait shortly, until ovn-controller is in time again.
func TestJoinWhileControllerIsLate(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		for i, c := range []struct{ takes, waits time.Duration }{
			{200 * time.Millisecond, 200 * time.Millisecond},
			{5 * time.Second, 5 * time.Second},
			{time.Hour, 10 * time.Second},
			{time.Hour, 300 * time.Millisecond},
			{time.Hour, 300 * time.Millisecond},
			{100 * time.Millisecond, 100 * time.Millisecond},
			{5 * time.Second, 5 * time.Second},
		} {
			p.slow(c.takes)
			p.ok(t, "CreateEndpoint", endpoint(1, 10+i, 2+i))
			took := stopwatch()
			checkJoin(t, p.ok(t, "Join", endpoint(1, 10+i, 2+i)))
			if took() != c.waits {
				t.Errorf("%d: waited %s, want %s", i, took(), c.waits)
			}
		}
	})
}

func TestJoinOfUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.fails(t, "not known", "Join", endpoint(1, 10, 2))
		p.ok(t, "Leave", endpoint(1, 10, 2))
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 2))
		p.ok(t, "DeleteNetwork", network(1, "ls"))
		p.fails(t, "docker network create", "CreateEndpoint", endpoint(1, 10, 2))
	})
}
