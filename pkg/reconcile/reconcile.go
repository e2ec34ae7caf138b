package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Runner reads what is there; the executor implements it.
type Runner interface {
	Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error)
	Links(ctx context.Context) (map[string]bool, error)
	Watch(ctx context.Context, w ovsdb.Watch, changed func(names []string)) error
}

// Config is what a Reconciler works with.
type Config struct {
	Run     Runner
	Records *lifecycle.Records
	Outages *Outages
	Store   *store.Store
	Docker  Docker
	// Rebuild makes a network that Docker has and the records do not.
	Rebuild func(ctx context.Context, n topology.Network) error
	Mode    string // of recovery, for the report
	Log     *zap.Logger
}

// Reconciler moves records on that nobody else will, and keeps in place what
// they speak of.
type Reconciler struct {
	Config

	started  time.Time
	wake     chan struct{}
	changed  chan struct{}
	nameIt   chan struct{}
	rerouted chan struct{}        // what ovn-controller may miss has come, see Reroute
	rewatch  chan string          // databases whose watches are to begin anew
	kinds    map[string]ovn.Kinds // what is watched of each database; of Keep
	mirrors  bool                 // mirrors are watched too; of Keep

	turns  keylock.Locks          // "pass", "sweep"
	mended map[ovs.Port]time.Time // when a port was last added anew; under "pass"

	// Under "sweep": the records that were complete some time ago; those that
	// were a sweep later, and since when they are known to be; the databases that
	// the last sweep knew.
	old, young  map[string]bool
	youngSince  time.Time
	swept       map[string]bool
	rebuilt     chan struct{}
	rebuiltOnce sync.Once

	said         map[string]string // the last complaint of each kind, which would repeat itself; of Mind
	noController bool              // when Mind last looked

	mu      sync.Mutex
	report  Report
	open    map[open]string // what cannot be made as things are, and why
	unsaved bool
}

// New returns a reconciler of the records.
func New(c Config) *Reconciler {
	r := &Reconciler{
		Config: c, started: time.Now(), wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), rewatch: make(chan string, 16), nameIt: make(chan struct{}, 1), rerouted: make(chan struct{}, 1),
		mended: map[ovs.Port]time.Time{}, rebuilt: make(chan struct{}), said: map[string]string{},
	}
	r.old = r.complete()
	r.young, r.youngSince = r.old, r.started
	r.begin(c.Store.Report())
	return r
}

// Rebuilt is closed once what Docker has and the records do not has been made
// again, or could not be.
func (r *Reconciler) Rebuilt() <-chan struct{} { return r.rebuilt }

const (
	// atOnce is how many half-made records are taken back side by side.
	atOnce = 8
	// firstAnswerWithin is how soon a database must answer at first. While
	// dockerd starts, OVN central may be a container that it starts later.
	firstAnswerWithin = time.Second
	// firstPassWithin bounds the part of recovery that new networks and
	// endpoints wait for.
	firstPassWithin = 8 * time.Second
)

// Recover takes back the requests that the last process did not finish, notes
// the endpoints whose ports are still deferred, and makes what is missing.
// What fails is tried again by Watch and by Keep. Nothing here asks Docker.
func (r *Reconciler) Recover(ctx context.Context) {
	r.Outages.Ask(ctx, firstAnswerWithin, r.databases())
	if err := r.Records.RecallPorts(ctx); err != nil {
		r.Log.Warn("published ports of containers whose records were lost come back when these are restarted", zap.Error(err))
	}
	var endpoints, networks errgroup.Group
	endpoints.SetLimit(atOnce)
	networks.SetLimit(atOnce)
	for id, e := range r.Records.Endpoints.List() {
		switch {
		case e.Phase != store.Ready:
			endpoints.Go(func() error {
				if err := r.Records.Detach(ctx, id); err != nil {
					r.Log.Warn("a half-made endpoint is still there", zap.String("endpoint", id), zap.Error(err))
					return nil
				}
				r.note(takenBack, "endpoint %.12s of network %.12s, which was %s", id, e.Data.NetworkID, e.Phase)
				return nil
			})
		case e.Data.Deferred:
			if n, err := r.Records.Network(e.Data.NetworkID); err == nil {
				r.Outages.Retry(n.NB)
			}
		}
	}
	_ = endpoints.Wait() // they return no errors
	for id, n := range r.Records.Networks.List() {
		if n.Phase == store.Ready {
			continue
		}
		networks.Go(func() error {
			if err := r.Records.RemoveNetwork(ctx, id); err != nil {
				r.Log.Warn("a half-made network is still there", zap.String("network", id), zap.Error(err))
				return nil
			}
			r.note(takenBack, "network %.12s (logical switch %s), which was %s", id, n.Data.Switch(), n.Phase)
			return nil
		})
	}
	_ = networks.Wait()
	if slices.ContainsFunc(r.Records.Known(), func(n topology.Network) bool { return n.Apart }) {
		r.Reroute() // the last stop may have come before it was done
	}
	bounded, cancel := context.WithTimeout(ctx, firstPassWithin)
	defer cancel()
	if err := r.Pass(bounded); err != nil && ctx.Err() == nil {
		r.Log.Warn("not all that is missing could be made, it will be tried again", zap.Error(err))
		r.Wake()
	}
	r.Log.Info("state restored", zap.Int("networks", r.Records.Networks.Len()), zap.Int("endpoints", r.Records.Endpoints.Len()),
		zap.Int("taken_back", len(r.Report().TakenBack)), zap.Int("repaired", len(r.Report().Repaired)), zap.Duration("took", time.Since(r.started)))
	r.save()
}

// Reconcile is a pass and a sweep now, and returns the report.
func (r *Reconciler) Reconcile(ctx context.Context) (Report, error) {
	err := r.Pass(ctx)
	if swept := r.Sweep(ctx); swept != nil {
		err = errors.Join(err, fmt.Errorf("comparing with Docker's lists: %w", swept))
	}
	r.save()
	return r.Report(), err
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
				r.Log.Info("database answers", zap.String("database", nameOf(nb)))
				r.watchAnew(nb)
			}
			// Before requests count on it: it may have lost its switches, and then
			// also what a pass has to make.
			if back || r.deferred(nb) {
				r.Wake()
				r.refill(ctx, nb)
			}
			r.Outages.Up(nb)
			err := r.finish(ctx, nb)
			if err != nil && ctx.Err() == nil {
				r.Log.Warn("not all could be completed, it will be tried again", zap.String("database", nameOf(nb)), zap.Error(err))
			}
			r.Outages.settle(nb, calls, err)
		}
	}
}

// refill makes the switches again of a database that comes back empty, which
// the endpoints that waited for it need.
func (r *Reconciler) refill(ctx context.Context, nb string) {
	if nb == "" {
		return
	}
	seen := r.remember()
	err := r.observeNorth(ctx, nb, &seen)
	if err = errors.Join(err, r.restoreNetworks(ctx, seen)); err != nil && ctx.Err() == nil {
		r.Log.Debug("a pass will try it again", zap.Error(err))
	}
}

// deferred reports whether endpoints wait for the database.
func (r *Reconciler) deferred(nb string) bool {
	for _, e := range r.Records.Endpoints.List() {
		if n, ok := r.Records.Networks.Get(e.Data.NetworkID); ok && n.Data.NB == nb && e.Data.Deferred {
			return true
		}
	}
	return false
}

// watchAnew has the watches of a database begin again: those of a machine that
// fell silent hear nothing of it for ever. It does not block.
func (r *Reconciler) watchAnew(nb string) {
	select {
	case r.rewatch <- nb:
	default:
	}
}

func nameOf(nb string) string {
	if nb == "" {
		return "Open vSwitch"
	}
	return nb
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
	var ports errgroup.Group
	ports.SetLimit(atOnce)
	var mu sync.Mutex
	for id, e := range r.Records.Endpoints.List() {
		if e.Phase != store.Ready || !e.Data.Deferred || !on(e.Data.NetworkID) {
			continue
		}
		ports.Go(func() error {
			err := r.Records.Complete(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, err)
			return nil
		})
	}
	_ = ports.Wait() // all has the errors, of each
	return errors.Join(all...)
}
