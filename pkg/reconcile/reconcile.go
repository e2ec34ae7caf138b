package reconcile

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// Reconciler moves records on that nobody else will.
type Reconciler struct {
	Records *lifecycle.Records
	Outages *Outages
	Log     *zap.Logger
}

// Recover takes back the requests that the last process did not finish, and
// notes the endpoints whose ports are still deferred. What fails is tried
// again by Watch.
func (r *Reconciler) Recover(ctx context.Context) {
	undone := 0
	for id, e := range r.Records.Endpoints.List() {
		switch {
		case e.Phase != store.Ready:
			undone++
			if err := r.Records.Detach(ctx, id); err != nil {
				r.Log.Warn("a half-made endpoint is still there", zap.String("endpoint", id), zap.Error(err))
			}
		case e.Data.Deferred:
			if n, err := r.Records.Network(e.Data.NetworkID); err == nil {
				r.Outages.Retry(n.NB)
			}
		}
	}
	for id, n := range r.Records.Networks.List() {
		if n.Phase == store.Ready {
			continue
		}
		undone++
		if err := r.Records.RemoveNetwork(ctx, id); err != nil {
			r.Log.Warn("a half-made network is still there", zap.String("network", id), zap.Error(err))
		}
	}
	r.Log.Info("state recovered", zap.Int("networks", r.Records.Networks.Len()), zap.Int("endpoints", r.Records.Endpoints.Len()), zap.Int("taken_back", undone))
}

// How often a database that is away is asked, for how long, and the limit of
// the pause after work that failed although it answers.
const (
	askEvery    = time.Second
	probeWithin = 2 * time.Second
	maxPause    = 30 * time.Second
)

// Watch completes what was left undone as soon as the databases answer again,
// until the context ends.
func (r *Reconciler) Watch(ctx context.Context) {
	for {
		var again <-chan time.Time
		if next, ok := r.Outages.next(); ok {
			again = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Outages.awake:
			continue
		case <-again:
		}
		for _, nb := range r.Outages.due() {
			answers, back, calls := r.Outages.ask(ctx, nb)
			if !answers {
				continue
			}
			if back {
				r.Log.Info("northbound database answers", zap.String("nb", nb))
			}
			err := r.finish(ctx, nb)
			if err != nil && ctx.Err() == nil {
				r.Log.Warn("not all could be completed, it will be tried again", zap.String("nb", nb), zap.Error(err))
			}
			r.Outages.settle(nb, calls, err)
		}
	}
}

// finish completes the records that waited for a database. Removals come
// first: their addresses may be in use again.
func (r *Reconciler) finish(ctx context.Context, nb string) error {
	var all []error
	on := func(network string) bool {
		n, ok := r.Records.Networks.Get(network)
		return ok && n.Data.NB == nb || !ok && nb == ""
	}
	for id, e := range r.Records.Endpoints.List() {
		if r.Records.Leaving(id, e.Phase) && on(e.Data.NetworkID) {
			all = append(all, r.Records.Detach(ctx, id))
		}
	}
	for id, n := range r.Records.Networks.List() {
		if r.Records.Leaving(id, n.Phase) && n.Data.NB == nb {
			all = append(all, r.Records.RemoveNetwork(ctx, id))
		}
	}
	for id, e := range r.Records.Endpoints.List() {
		if e.Phase == store.Ready && e.Data.Deferred && on(e.Data.NetworkID) {
			all = append(all, r.Records.Complete(ctx, id))
		}
	}
	return errors.Join(all...)
}
