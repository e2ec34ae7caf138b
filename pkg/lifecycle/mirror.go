package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Mirror brings this host's mirrors to what its networks ask for. As LeadOut it
// compares the whole with what is there, and reports whether anything had to be done;
// why networks cannot have theirs is returned by their ids.
func (r *Records) Mirror(ctx context.Context) (done bool, refused map[string]error, err error) {
	unlock, err := r.Locks.Lock(ctx, "mirrors")
	if err != nil {
		return false, nil, err
	}
	defer unlock()
	wanted := r.mirrorsOf(r.knownInOrder())
	if wanted.Idle() && r.unmirrored {
		return false, nil, nil
	}
	r.unmirrored = false
	plans, refused, err := r.planMirrors(ctx, wanted)
	if err != nil {
		return false, nil, err
	}
	var all []error
	for _, p := range plans {
		if err := r.Run.Apply(ctx, oneWay(p)); err != nil {
			all = append(all, fmt.Errorf("mirroring: %w", err))
			continue
		}
		done = true
	}
	r.unmirrored = wanted.Idle() && len(all) == 0
	return done, refused, errors.Join(all...)
}

func (r *Records) knownInOrder() []topology.Network {
	return slices.SortedFunc(slices.Values(r.Known()), func(a, b topology.Network) int { return strings.Compare(a.ID, b.ID) })
}

// mirrorsOf are the mirrors that networks ask for.
func (r *Records) mirrorsOf(networks []topology.Network) topology.Mirrors {
	m := topology.MirrorsOf(r.Instance, networks, r.attached())
	m.Mine = func(network string) bool {
		_, known := r.Networks.Get(network)
		return known || r.Unclaimed(network)
	}
	return m
}

func (r *Records) planMirrors(ctx context.Context, wanted topology.Mirrors) (plans []plan.Plan, refused map[string]error, err error) {
	var seen ovs.Inventory
	var links map[string]bool
	look, bounded := errgroup.WithContext(ctx)
	look.Go(func() error {
		results, err := r.Run.Transact(bounded, ovs.TakeInventory(r.Host.OVSDB, topology.Owner))
		if err != nil {
			return fmt.Errorf("reading Open vSwitch's database at %q: %w", r.Host.OVSDB, err)
		}
		seen = ovs.ReadInventory(results)
		return nil
	})
	look.Go(func() (err error) {
		if links, err = r.Run.Links(bounded); err != nil {
			return fmt.Errorf("reading the host's links: %w", err)
		}
		return nil
	})
	var addresses []link.Address
	ways := map[netip.Addr]int{}
	if len(wanted.Collectors()) > 0 {
		look.Go(func() (err error) {
			addresses, err = r.Run.Addresses(bounded)
			return err
		})
	}
	if err := look.Wait(); err != nil {
		return nil, nil, err
	}
	for _, to := range wanted.Collectors() {
		from, err := r.Run.RouteSource(ctx, to)
		if err != nil {
			continue // it is not reached at all for now
		}
		for _, a := range addresses {
			if a.Prefix.Addr() == from {
				ways[to] = a.MTU
			}
		}
	}
	plans, refused = wanted.Plans(r.Host, seen, links, ways)
	return plans, refused, nil
}

// mirrorable refuses a network that is to be made and cannot have its mirror, before
// anything is done.
func (r *Records) mirrorable(ctx context.Context, n topology.Network) error {
	if !n.Options.Mirrors() {
		return nil
	}
	others := slices.DeleteFunc(r.knownInOrder(), func(o topology.Network) bool { return o.ID == n.ID })
	_, refused, err := r.planMirrors(ctx, r.mirrorsOf(append(others, n)))
	if err != nil {
		return err
	}
	return refused[n.ID]
}

// mirrorNetwork is Mirror for a network that has just been made.
func (r *Records) mirrorNetwork(ctx context.Context, n topology.Network) error {
	if !n.Options.Mirrors() {
		return nil
	}
	_, refused, err := r.Mirror(ctx)
	if err == nil {
		err = refused[n.ID]
	}
	return err
}

// mirrorEndpoint is Mirror after an endpoint has come, or gone, whose container needs
// no mirror to run; a pass tries again.
func (r *Records) mirrorEndpoint(ctx context.Context, n topology.Network, e topology.Endpoint) {
	if !n.MirroredOrMirror(e) {
		return
	}
	if _, _, err := r.Mirror(ctx); err != nil {
		r.Log.Warn("an endpoint is not mirrored as its network asks, this will be tried again", zap.String("endpoint", e.ID), zap.String("network", n.ID), zap.Error(err))
	}
}

// unmirror is Mirror after a network has gone.
func (r *Records) unmirror(ctx context.Context, n topology.Network) {
	if !n.Options.Mirrors() {
		return
	}
	if _, _, err := r.Mirror(ctx); err != nil {
		r.Log.Warn("the mirror of a network that is gone could not be removed, this will be tried again", zap.String("network", n.ID), zap.Error(err))
	}
}

// NameContainer stores the name of an endpoint's container, as far as mirrors go by it.
func (r *Records) NameContainer(ctx context.Context, id, name string) error {
	changed := false
	if err := r.Update(ctx, id, func(e *topology.Endpoint) { e.Container, changed = name, e.Container != name }); err != nil || !changed {
		return err
	}
	have, ok := r.Endpoints.Get(id)
	if n, err := r.Network(have.Data.NetworkID); ok && err == nil && n.MirroredOrMirror(have.Data) {
		_, _, err := r.Mirror(ctx)
		return err
	}
	return nil
}

// Nameless are the endpoints whose mirror goes by the name of their containers, which
// run and are not known by it yet.
func (r *Records) Nameless() map[string]topology.Endpoint {
	all := map[string]topology.Endpoint{}
	networks := r.Networks.List()
	for id, e := range r.Endpoints.List() {
		n, ok := networks[e.Data.NetworkID]
		if ok && n.Phase == store.Ready && n.Data.Options.MirrorsNames() && e.Phase == store.Ready && e.Data.Sandbox != "" && e.Data.Container == "" && !r.Leaving(id, e.Phase) {
			all[id] = e.Data
		}
	}
	return all
}
