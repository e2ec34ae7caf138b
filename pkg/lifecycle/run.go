package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

const (
	// undoWithin bounds taking back what a failed request did.
	undoWithin = 4 * time.Second
	// northWithin bounds the wait for a northbound database that is not yet
	// known to be down. dockerd makes the endpoints of a network one after the
	// other, so at boot every container behind this one waits too.
	northWithin = 4 * time.Second
	// hostWithin bounds the wait for an Open vSwitch that is being started, of
	// the first endpoint that it is away for.
	hostWithin = 5 * time.Second
	hostPoll   = 200 * time.Millisecond
	// leaseWithin bounds the wait of an address that this host has to lease for a
	// northbound database that has just fallen silent, from then on.
	leaseWithin = 10 * time.Second
	leasePoll   = 200 * time.Millisecond
)

var errAway = errors.New("OVN's northbound database does not answer")

func away(nb string) error { return fmt.Errorf("reaching %q: %w", nb, errAway) }

// isAway reports whether the northbound database is down, which is no verdict
// on what it was asked to do.
func isAway(err error) bool { return errors.Is(err, errAway) || executor.IsUnreachable(err) }

// gone is the reason why the caller does not wait any more, or nil.
func gone(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the caller did not wait for the end: %w", context.Cause(ctx))
}

// onNorth does something with a northbound database that is not known to be
// down, and says so when it turns out to be.
func (r *Records) onNorth(ctx context.Context, nb string, do func(context.Context) error) error {
	if r.Outages.Down(nb) {
		return away(nb)
	}
	return r.atNorth(ctx, nb, do)
}

func (r *Records) atNorth(ctx context.Context, nb string, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, northWithin)
	defer cancel()
	err := do(bounded)
	if executor.IsUnreachable(err) && ctx.Err() == nil {
		r.Outages.Report(nb)
	}
	return err
}

// applyHost applies a plan of the host, and gives an Open vSwitch that does not
// answer the time to start: an error would leave the container down for good.
// Once it took longer, nobody waits for it until it has been there again.
func (r *Records) applyHost(ctx context.Context, p plan.Plan) error {
	for until := time.Now().Add(hostWithin); ; {
		err := r.Run.Apply(ctx, p)
		if err == nil {
			r.hostAway.Store(false)
			return nil
		}
		if !executor.IsUnreachable(err) || ctx.Err() != nil {
			return err
		}
		if r.hostAway.Load() || time.Now().After(until) {
			r.hostAway.Store(true)
			return fmt.Errorf("open vswitch not reachable at %q, start it (systemctl start openvswitch-switch): %w", r.Host.OVSDB, err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(hostPoll):
		}
	}
}

// soon waits a moment for a database that does not answer, and says whether it is worth asking
// again: one that is being started, or has very much to do, is there a moment later, and an
// error leaves the container down for good. One that is silent for longer nobody waits for.
func (r *Records) soon(ctx context.Context, nb string) bool {
	since := r.Outages.Since(nb)
	return (since.IsZero() || time.Since(since) < leaseWithin) && wait(ctx, leasePoll) == nil
}

// oneWay returns a plan that nobody takes back when it fails with an unknown
// outcome: in a database that has just fallen silent that only costs time, and
// could undo, late, what a later try has made. The record says what to do.
func oneWay(p plan.Plan) plan.Plan {
	var forth plan.Plan
	for _, s := range p.Steps {
		ops := make([]plan.Op, len(s.Ops))
		for i, op := range s.Ops {
			ops[i] = plan.Op{Do: op.Do}
		}
		s.Ops = ops
		forth.Steps = append(forth.Steps, s)
	}
	return forth
}
