package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

const (
	// settle gathers the changes of a moment into one pass: who deletes a bridge
	// deletes its ports.
	settle = 200 * time.Millisecond
	// passEvery is the pause between passes when nothing calls for one.
	passEvery = 5 * time.Minute
	// rest is the least pause between passes.
	rest = time.Second
	// passAgain is the pause after a pass that failed, and grows to
	// maxPassAgain.
	passAgain    = 5 * time.Second
	maxPassAgain = time.Minute
	// beginWithin is how long a watch may take to begin on a busy machine.
	beginWithin = 5 * time.Second
	// watchAgain is the pause before a watch that was lost begins again.
	watchAgain = time.Second
)

// Wake asks for a pass. It does not block.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Changed says that a record has changed, and with it perhaps the databases
// that are to be watched. It does not block.
func (r *Reconciler) Changed() {
	for _, c := range []chan struct{}{r.changed, r.nameIt} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Keep keeps what the records speak of in place until the context ends: it
// watches the databases for what others delete, and makes it again.
func (r *Reconciler) Keep(ctx context.Context) {
	var watches sync.WaitGroup
	defer watches.Wait()
	watches.Go(func() { r.reroute(ctx) })
	watches.Go(func() { r.keepHost(ctx) })
	watched := map[string]context.CancelFunc{}
	defer func() {
		for _, stop := range watched {
			stop()
		}
	}()
	regular := time.NewTicker(passEvery)
	defer regular.Stop()
	failed := time.NewTimer(passEvery) // runs while the last pass failed
	failed.Stop()
	again, said := time.Duration(0), ""
	for {
		r.watchDatabases(ctx, watched, &watches)
		select {
		case <-ctx.Done():
			return
		case nb := <-r.rewatch:
			if stop := watched[nb]; stop != nil {
				stop()
				delete(watched, nb)
			}
			continue
		case <-r.changed:
			if !pause(ctx, settle) {
				return
			}
			continue
		case <-r.wake:
		case <-regular.C:
		case <-failed.C:
		}
		if !pause(ctx, settle) {
			return
		}
		failed.Stop()
		switch err := r.Pass(ctx); {
		case err == nil:
			again, said = 0, ""
		case ctx.Err() == nil:
			if text := err.Error(); text != said {
				said = text
				r.Log.Warn("not all that is missing could be made, it will be tried again", zap.Error(err))
			}
			again = min(max(2*again, passAgain), maxPassAgain)
			failed.Reset(again)
		}
		r.save()
		if !pause(ctx, rest) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// watchDatabases begins and ends watches, so that those databases are watched
// that complete networks stand on.
func (r *Reconciler) watchDatabases(ctx context.Context, watched map[string]context.CancelFunc, all *sync.WaitGroup) {
	wanted := r.databases()
	if len(wanted) > 0 {
		wanted[""] = true // Open vSwitch
	}
	kinds := map[string]ovn.Kinds{}
	for _, n := range r.Records.Known() {
		k := kinds[n.NB]
		k.Routing = k.Routing || n.Routed()
		k.NAT = k.NAT || n.IsProvider() || n.Uplink != nil
		k.DHCP = k.DHCP || n.ServesDHCP()
		kinds[n.NB] = k
	}
	for key, k := range kinds {
		if r.kinds[key] != k && watched[key] != nil { // the first router there, or the last
			watched[key]()
			delete(watched, key)
		}
	}
	r.kinds = kinds
	mirrors := slices.ContainsFunc(r.Records.Known(), func(n topology.Network) bool { return n.Options.Mirrors() })
	if mirrors != r.mirrors && watched[""] != nil { // the first, or the last
		watched[""]()
		delete(watched, "")
	}
	r.mirrors = mirrors
	for key, stop := range watched {
		if !wanted[key] {
			stop()
			delete(watched, key)
		}
	}
	marks := map[string]string{"owner": topology.Owner, "instance": r.Records.Instance}
	for key := range wanted {
		if watched[key] != nil {
			continue
		}
		var one context.Context
		one, watched[key] = context.WithCancel(ctx)
		watches := ovn.Watches(key, topology.Owner, r.Records.Instance, kinds[key])
		if key == "" {
			watches = ovs.Watches(r.Records.Host.OVSDB, marks, mirrors)
		}
		for _, w := range watches {
			all.Go(func() { r.watch(one, key, w) })
		}
	}
}

// told wakes Keep for a change, unless all of it was asked for by Docker: each
// container that ends would cost a look at everything.
func (r *Reconciler) told(names []string) {
	if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return !r.Records.Removed(n) }) {
		r.Wake()
	}
}

// watch wakes Keep for each change, and when it begins: what was changed
// before is not told. When it has begun is told by what is there; where there
// is nothing, it has most likely begun soon, and certainly later.
func (r *Reconciler) watch(ctx context.Context, key string, w ovsdb.Watch) {
	for {
		soon, later := time.AfterFunc(settle, r.Wake), time.AfterFunc(beginWithin, r.Wake)
		err := r.Run.Watch(ctx, w, r.told)
		soon.Stop()
		later.Stop()
		if ctx.Err() != nil {
			return
		}
		r.Log.Debug("a watch ended", zap.String("server", w.Server), zap.String("table", w.Table), zap.Error(err))
		r.Outages.Check(ctx, key)
		for {
			if !pause(ctx, watchAgain) {
				return
			}
			if !r.Outages.Down(key) {
				break
			}
		}
	}
}

// Mind compares the records with Docker's lists, at first as soon as Docker
// answers, until the context ends. It also makes OVN's containers again where
// they are gone.
func (r *Reconciler) Mind(ctx context.Context) {
	again := time.Duration(0)
	for {
		next := sweepEvery
		switch err := r.Sweep(ctx); {
		case err == nil:
			again = 0
			delete(r.said, "sweep")
		case errors.Is(err, errNoLists):
			next = askDockerEvery
			r.complain(ctx, "sweep", "what Docker has could not be compared with the records, it will be tried again", err)
		default:
			again = min(max(2*again, sweepAgain), maxSweepAgain)
			next = again
			r.complain(ctx, "sweep", "not all that Docker has, or has not any more, could be followed; it will be tried again", err)
		}
		r.save()
		for until := time.Now().Add(next); ; {
			if !pause(ctx, min(reviveEvery, next)) {
				return
			}
			r.revive(ctx)
			if !time.Now().Before(until) || r.sweepSoon() {
				break
			}
		}
	}
}

// sweepSoon reports whether something that Docker has removed, and that had no
// record, may be in a database that the last sweep did not know.
func (r *Reconciler) sweepSoon() bool {
	if !r.Records.AnyUnclaimed() {
		return false
	}
	for nb := range r.databases() {
		if !r.swept[nb] {
			return true
		}
	}
	return false
}

// complain logs a failure that is not the same as the last of its kind.
func (r *Reconciler) complain(ctx context.Context, kind, text string, err error) {
	if ctx.Err() == nil && r.said[kind] != err.Error() {
		r.said[kind] = err.Error()
		r.Log.Warn(text, zap.Error(err))
	}
}

const (
	// reviveEvery is how often OVN's containers are looked for while the
	// northbound database is away.
	reviveEvery = 5 * time.Second
	// reviveAfter is how long it must be away: dockerd restarts a container
	// sooner.
	reviveAfter  = 5 * time.Second
	reviveWithin = time.Minute
)

// revive makes OVN central again for a database that stays away, and an
// ovn-controller for a host without one.
func (r *Reconciler) revive(ctx context.Context) {
	away := r.Outages.List()
	controller := r.Docker.ControllerRuns(ctx)
	for nb := range r.databases() {
		since, down := away[nb]
		lost := down && time.Since(since) >= reviveAfter
		n, ok := r.autoCreated(nb)
		if !ok || !lost && (controller || !r.noController) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, reviveWithin)
		conns, err := r.Docker.Revive(bounded, central.Request{NB: n.NB, SB: n.SB, Overlay: n.Options.OverlayNetwork, AutoCreate: true})
		cancel()
		switch {
		case err != nil:
			r.complain(ctx, "revive", "OVN could not be started again", err)
		case conns.NB != nb:
			r.Log.Warn("OVN central is at another address than before: remove and create the networks that use it",
				zap.String("was", nb), zap.String("is", conns.NB))
		}
	}
	// One that is starting, or being upgraded, comes by itself.
	r.noController = !controller
}

// autoCreated returns a network that asked for its OVN central to be made.
func (r *Reconciler) autoCreated(nb string) (topology.Network, bool) {
	networks := r.Records.Networks.List()
	for _, id := range sorted(networks) {
		if n := networks[id]; n.Phase == store.Ready && n.Data.NB == nb && n.Data.Options.AutoCreate {
			return n.Data, true
		}
	}
	return topology.Network{}, false
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
