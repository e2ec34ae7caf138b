package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// northWithin bounds the wait for a northbound database that is not yet known
// to be down. dockerd makes the endpoints of a network one after the other, so
// at boot every container behind this one waits too.
const northWithin = 4 * time.Second

func (r *Records) lockEndpoint(ctx context.Context, id string) (func(), error) {
	return r.Locks.Lock(ctx, "endpoint "+id)
}

// Attach makes the endpoint and stores it, or leaves nothing. When the
// northbound database does not answer, its logical switch port is deferred.
func (r *Records) Attach(ctx context.Context, n topology.Network, e topology.Endpoint) error {
	unlock, err := r.lockEndpoint(ctx, e.ID)
	if err != nil {
		return err
	}
	defer unlock()
	e.Deferred = r.Outages.Down(n.NB)
	if e.Deferred && r.FailWhenDown {
		return fmt.Errorf("OVN's northbound database at %q does not answer", n.NB)
	}
	if err := r.putEndpoint(e, store.Pending); err != nil {
		return err
	}
	if e.Deferred, err = r.attach(ctx, n, e); err == nil {
		if err = r.putEndpoint(e, store.Ready); err != nil {
			lanes := e.Plan(n, r.Host)
			err = r.undo(ctx, err, lanes.Host, lanes.North)
		}
	}
	if err != nil {
		return errors.Join(err, r.dropEndpoint(e.ID))
	}
	if e.Deferred {
		r.Outages.Report(n.NB)
		r.Log.Warn("northbound database does not answer: the endpoint's port will be made when it does",
			zap.String("endpoint", e.ID), zap.String("network", n.ID), zap.String("nb", n.NB))
	}
	return nil
}

// attach runs both lanes side by side and reports whether the northern one has
// to be tried again later.
func (r *Records) attach(ctx context.Context, n topology.Network, e topology.Endpoint) (deferred bool, _ error) {
	lanes := e.Plan(n, r.Host)
	var north, host error
	var both errgroup.Group
	both.Go(func() error { host = r.Run.Apply(ctx, lanes.Host); return nil })
	if !e.Deferred {
		both.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, northWithin)
			defer cancel()
			north = r.Run.Apply(ctx, lanes.North)
			return nil
		})
	}
	_ = both.Wait()
	away := executor.IsUnreachable(north) && ctx.Err() == nil
	switch {
	case host != nil && (north == nil || away):
		return false, r.undo(ctx, host, lanes.North)
	case host != nil:
		return false, errors.Join(host, north)
	case north != nil && (!away || r.FailWhenDown):
		return false, r.undo(ctx, north, lanes.Host)
	}
	return e.Deferred || north != nil, nil
}

// Update stores a change of an endpoint that is complete, and that is no more
// than a change of its record.
func (r *Records) Update(ctx context.Context, id string, change func(*topology.Endpoint)) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	have, ok := r.Endpoints.Get(id)
	if !ok || have.Phase != store.Ready {
		return nil
	}
	change(&have.Data)
	return r.putEndpoint(have.Data, store.Ready)
}

// Complete makes the logical switch port of an endpoint that was deferred.
func (r *Records) Complete(ctx context.Context, id string) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	have, ok := r.Endpoints.Get(id)
	if !ok || have.Phase != store.Ready || !have.Data.Deferred {
		return nil
	}
	n, err := r.Network(have.Data.NetworkID)
	if err != nil {
		return err
	}
	e := have.Data
	if err := r.Run.Apply(ctx, e.Plan(n, r.Host).North); err != nil {
		return fmt.Errorf("making the port of endpoint %q: %w", id, err)
	}
	e.Deferred = false
	return r.putEndpoint(e, store.Ready)
}

// Detach removes the endpoint. It is no error that there is none. When OVN does
// not answer, all that is on the host goes and the record stays as "deleting".
func (r *Records) Detach(ctx context.Context, id string) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	have, ok := r.Endpoints.Get(id)
	if !ok {
		return nil
	}
	e := have.Data
	if have.Phase != store.Deleting {
		if err := r.putEndpoint(e, store.Deleting); err != nil {
			return err
		}
	}
	network, ok := r.Networks.Get(e.NetworkID)
	if !ok {
		return fmt.Errorf("removing endpoint %q: its network %q has no record", id, e.NetworkID)
	}
	n := network.Data
	lanes := e.Plan(n, r.Host)
	var both errgroup.Group
	both.Go(func() error { return r.Run.Undo(ctx, lanes.Host) })
	both.Go(func() error {
		if r.Outages.Down(n.NB) {
			return fmt.Errorf("OVN's northbound database at %q does not answer", n.NB)
		}
		ctx, cancel := context.WithTimeout(ctx, northWithin)
		defer cancel()
		return r.Run.Undo(ctx, lanes.North)
	})
	if err := both.Wait(); err != nil {
		r.Outages.Report(n.NB)
		return fmt.Errorf("removing endpoint %q (it will be tried again): %w", id, err)
	}
	return r.dropEndpoint(id)
}

func (r *Records) dropEndpoint(id string) error {
	if err := r.Endpoints.Delete(id); err != nil {
		return fmt.Errorf("removing the record of endpoint %q: %w", id, err)
	}
	r.Changed()
	return nil
}
