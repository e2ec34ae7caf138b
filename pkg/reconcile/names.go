package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

const (
	// nameSoon is when Docker is asked for the name of a network that it is
	// making: it stores it a moment after the driver has answered. The pause
	// grows to nameLater.
	nameSoon   = 20 * time.Millisecond
	nameLater  = 2 * time.Second
	nameWithin = 5 * time.Second
)

// Learn asks Docker for the names of networks that were made, and of containers that
// mirrors go by, which dockerd does not tell a driver, until the context ends. A router whose transit network is
// thereby known is attached to it, in whatever order the two were made.
func (r *Reconciler) Learn(ctx context.Context) {
	var waiting []string // for a name, since the last look
	wait, next := nameSoon, time.Time{}
	for {
		nameless := r.nameless()
		if slices.ContainsFunc(nameless, func(id string) bool { return !slices.Contains(waiting, id) }) {
			wait = nameSoon
			next = time.Now().Add(wait)
		}
		waiting = nameless
		var ask <-chan time.Time
		if len(nameless) > 0 {
			ask = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.nameIt:
			continue
		case <-ask:
		}
		wait = min(2*wait, nameLater)
		named := map[string]bool{}
		for _, id := range nameless {
			if _, network := r.Records.Networks.Get(id); network && r.name(ctx, id) {
				named[id], wait = true, nameSoon
			}
		}
		if r.nameContainers(ctx) {
			wait = nameSoon
		}
		next = time.Now().Add(wait)
		r.attach(ctx, named)
	}
}

// nameless are the complete networks whose name is not known, and the endpoints whose
// container's is not and is asked for.
func (r *Reconciler) nameless() []string {
	var ids []string
	networks := r.Records.Networks.List()
	for _, id := range sorted(networks) {
		if n := networks[id]; n.Phase == store.Ready && n.Data.Name == "" {
			ids = append(ids, id)
		}
	}
	return append(ids, sorted(r.Records.Nameless())...)
}

// name asks for the name of one network and stores it.
func (r *Reconciler) name(ctx context.Context, id string) bool {
	bounded, cancel := context.WithTimeout(ctx, nameWithin)
	defer cancel()
	name, compose, err := r.Docker.Names(bounded, id)
	if err == nil {
		err = r.Records.UpdateNetwork(ctx, id, func(n *topology.Network) { n.Name, n.Compose = name, compose })
	}
	if err != nil {
		if !errors.Is(err, central.ErrNoNetwork) {
			r.Log.Debug("the name of a network is not known yet", zap.String("network", id), zap.Error(err))
		}
		return false
	}
	return true
}

// attach settles again what waited for the names: transit networks, whose name
// the database does not have; the routers that are to be attached; and the other
// networks of those.
func (r *Reconciler) attach(ctx context.Context, named map[string]bool) {
	if len(named) == 0 {
		return
	}
	transit := false
	r.settleAll(ctx, func(n topology.Network) bool {
		transit = transit || n.IsTransit() && named[n.ID]
		return n.IsTransit() && named[n.ID]
	})
	r.settleAll(ctx, func(n topology.Network) bool {
		return n.Options.TransitNetwork != "" && (transit || named[n.ID]) && !r.isOn(n)
	})
	attached := map[[2]string]bool{}
	for _, n := range r.Records.Networks.List() {
		if n.Data.Transit != nil {
			attached[[2]string{n.Data.NB, n.Data.Options.Router}] = true
		}
	}
	r.settleAll(ctx, func(n topology.Network) bool {
		return !n.IsTransit() && n.Transit == nil && attached[[2]string{n.NB, n.Options.Router}]
	})
}

// isOn reports whether the network's router is on the transit network that it asks
// for by Docker's name, which comes before all that names could change.
func (r *Reconciler) isOn(n topology.Network) bool {
	for _, t := range r.Records.Networks.List() {
		if t := t.Data; t.IsTransit() && t.NB == n.NB && t.Name == n.Options.TransitNetwork {
			return n.Transit != nil && n.Transit.Switch == t.Switch()
		}
	}
	return false
}

func (r *Reconciler) settleAll(ctx context.Context, which func(topology.Network) bool) {
	networks, leads := r.Records.Networks.List(), false
	for _, id := range sorted(networks) {
		n := networks[id]
		if n.Phase != store.Ready || !which(n.Data) || r.Outages.Down(n.Data.NB) { // a pass does it then
			continue
		}
		_, err := r.Records.RestoreNetwork(ctx, id)
		if err != nil && !errors.Is(err, lifecycle.ErrUnsettled) {
			r.Wake()
			continue
		}
		r.unsettled(inOVN, id, err)
		if have, ok := r.Records.Networks.Get(id); err == nil && ok && have.Data.Options.TransitNetwork != "" && have.Data.Transit == nil {
			r.Log.Info("a router waits for its transit network, which is not there yet", zap.String("network", have.Data.Name),
				zap.String("router", have.Data.Options.Router), zap.String("transit_network", have.Data.Options.TransitNetwork))
		} else {
			leads = leads || ok && have.Data.NeedsHost() && !n.Data.NeedsHost()
		}
	}
	if leads {
		if err := r.restoreWayOut(ctx); err != nil {
			r.Log.Warn("what the host does for a router that has found its transit network will be tried again", zap.Error(err))
		}
	}
}
