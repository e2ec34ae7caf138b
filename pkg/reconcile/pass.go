package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

const (
	// readWithin bounds one read of a database.
	readWithin = 4 * time.Second
	// together is how many endpoints share an invocation. Each takes some 800
	// bytes of arguments, of which Linux allows 2 MiB; and a request for one of
	// them waits until all are done. ovn-nbctl and ovs-vsctl read all that is
	// there first, so a thousand in hundreds take half as long again.
	together = 250
	// mendEvery is how often a port that ovs-vswitchd cannot open is added anew.
	mendEvery = time.Minute
)

// observed is one look at all that the records speak of.
type observed struct {
	before map[string]time.Time // by id, when each record had changed before the look
	local  *ovs.Inventory       // nil when Open vSwitch does not answer
	links  map[string]bool
	north  map[string]ovn.Inventory // by connection, of those that answer
}

// Pass compares the records with what is there and makes what is missing. What
// is there and ours but has no record is left to Sweep.
func (r *Reconciler) Pass(ctx context.Context) error {
	unlock, err := r.turns.Lock(ctx, "pass")
	if err != nil {
		return err
	}
	defer unlock()
	seen, err := r.observe(ctx)
	all := []error{err, r.restoreHost(ctx, &seen), r.restoreNetworks(ctx, seen)}
	if seen.local != nil {
		all = append(all, r.restoreWayOut(ctx))
	}
	all = append(all, r.restoreEndpoints(ctx, seen)...)
	if seen.local != nil {
		all = append(all, r.restoreMirrors(ctx))
	}
	return errors.Join(append(all, r.restoreFloating(ctx, seen)...)...)
}

func (r *Reconciler) observe(ctx context.Context) (observed, error) {
	seen := r.remember()
	all := []error{r.observeHost(ctx, &seen)}
	for nb := range r.databases() {
		all = append(all, r.observeNorth(ctx, nb, &seen))
	}
	return seen, errors.Join(all...)
}

// remember begins a look: with the records as they are before it.
func (r *Reconciler) remember() observed {
	seen := observed{before: map[string]time.Time{}, north: map[string]ovn.Inventory{}}
	for id, n := range r.Records.Networks.List() {
		seen.before[id] = n.Updated
	}
	for id, e := range r.Records.Endpoints.List() {
		seen.before[id] = e.Updated
	}
	return seen
}

// observeNorth looks at a northbound database, unless it is known to be silent.
func (r *Reconciler) observeNorth(ctx context.Context, nb string, seen *observed) error {
	if r.Outages.Silent(nb) {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	results, err := r.Run.Transact(bounded, ovn.TakeInventory(nb, topology.Owner))
	if err != nil {
		if executor.IsUnreachable(err) && ctx.Err() == nil {
			r.Outages.Report(nb)
		}
		return fmt.Errorf("reading the northbound database at %q: %w", nb, err)
	}
	seen.north[nb] = ovn.ReadInventory(results)
	return nil
}

// changed reports whether the record is another one than before the look: then
// what was seen says nothing about it. Times are compared, not ordered: the
// clock may be set back.
func (o observed) changed(id string, updated time.Time) bool {
	was, known := o.before[id]
	return !known || !was.Equal(updated)
}

// observeHost looks at Open vSwitch and at the links, unless it is known to be
// silent.
func (r *Reconciler) observeHost(ctx context.Context, seen *observed) error {
	if r.Outages.Silent("") {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	results, err := r.Run.Transact(bounded, ovs.TakeInventory(r.Records.Host.OVSDB, topology.Owner))
	if err != nil {
		if executor.IsUnreachable(err) && ctx.Err() == nil {
			r.Outages.Report("")
		}
		return fmt.Errorf("reading Open vSwitch's database at %q: %w", r.Records.Host.OVSDB, err)
	}
	links, err := r.Run.Links(bounded)
	if err != nil {
		return fmt.Errorf("reading the host's links: %w", err)
	}
	local := ovs.ReadInventory(results)
	seen.local, seen.links = &local, links
	return nil
}

// databases are the northbound databases of complete networks.
func (r *Reconciler) databases() map[string]bool {
	all := map[string]bool{}
	for _, n := range r.Records.Networks.List() {
		if n.Phase == store.Ready {
			all[n.Data.NB] = true
		}
	}
	return all
}

// restoreHost makes the bridge and the chassis' settings again. A setting that
// contradicts is an administrator's, and an error in the log.
func (r *Reconciler) restoreHost(ctx context.Context, seen *observed) error {
	if seen.local == nil {
		return nil
	}
	networks := r.Records.Networks.List()
	moved := topology.Misplaced(*seen.local, r.Records.TunnelsTo(ctx))
	for _, id := range sorted(networks) {
		n := networks[id]
		if n.Phase != store.Ready {
			continue
		}
		if err := r.rename(ctx, id, n.Data, seen); err != nil {
			return err
		}
		if n.Data.Stands(*seen.local) && !moved {
			if !n.Data.Remembered(*seen.local) && !seen.changed(id, n.Updated) {
				if err := r.Records.Remember(ctx, n.Data); err != nil {
					return err
				}
			}
			continue
		}
		unlock, err := r.Records.LockChassis(ctx)
		if err != nil {
			return err
		}
		was := n.Data
		_, err = r.Records.SetUp(ctx, &n.Data, lifecycle.HostLook{})
		unlock()
		if moved && err != nil {
			// An MTU that was asked for, most likely: it is told once, when the other networks have theirs.
			r.complain(ctx, "moved", "the tunnels of this host end elsewhere since OVN central is published, which one of its networks is not fit for", fmt.Errorf("network %q: %w", n.Data.Name, err))
			continue
		}
		if err == nil {
			err = r.Records.Steady(ctx)
		}
		if err != nil {
			return fmt.Errorf("restoring what network %q needs of this host: %w", id, err)
		}
		r.note(repaired, "bridge %s and the chassis' settings", n.Data.Bridge())
		if n.Data.Host != was.Host || n.Data.Datapath != was.Datapath || moved && n.Data.MTU != was.MTU {
			if err := r.updateNetwork(ctx, id, seen, func(have *topology.Network) {
				have.Host, have.Datapath = n.Data.Host, n.Data.Datapath
				if moved {
					have.MTU = n.Data.MTU // of containers that come
				}
			}); err != nil {
				return err
			}
		}
		if err := r.observeHost(ctx, seen); err != nil {
			return err
		}
	}
	return nil
}

// rename follows a host whose system-id somebody has changed: the rows of its
// endpoints then carry the new one.
func (r *Reconciler) rename(ctx context.Context, id string, n topology.Network, seen *observed) error {
	name := seen.local.ExternalIDs["system-id"]
	if name == "" || name == n.Host {
		return nil
	}
	r.Log.Warn("the system-id of this host's Open vSwitch is another one than before; should this host be a copy of another one "+
		"that has networks, stop the plugin here: the two take each other's ports for their own",
		zap.String("was", n.Host), zap.String("is", name), zap.String("network", id))
	return r.updateNetwork(ctx, id, seen, func(have *topology.Network) { have.Host = name })
}

// updateNetwork changes a record, and has the look that it was found in count
// as one at the changed record.
func (r *Reconciler) updateNetwork(ctx context.Context, id string, seen *observed, change func(*topology.Network)) error {
	if err := r.Records.UpdateNetwork(ctx, id, change); err != nil {
		return err
	}
	if now, ok := r.Records.Networks.Get(id); ok {
		seen.before[id] = now.Updated
	}
	return nil
}

// restoreNetworks makes the switches, routers and routes again that are missing,
// and attaches routers to transit networks that have come.
func (r *Reconciler) restoreNetworks(ctx context.Context, seen observed) error {
	var all []error
	routed := false
	networks := r.Records.Networks.List()
	known := r.Records.Known()
	for _, id := range sorted(networks) {
		n := networks[id]
		north, ok := seen.north[n.Data.NB]
		if !ok || n.Phase != store.Ready || seen.changed(id, n.Updated) {
			continue
		}
		if n.Data.Database != north.Database {
			r.Log.Warn("the northbound database is another one than before, it is filled from the stored state",
				zap.String("nb", n.Data.NB), zap.String("network", id), zap.String("was", n.Data.Database), zap.String("is", north.Database))
		}
		made := false
		settled, missing, unsettled := n.Data.Mend(north.Seen, known)
		if !missing.Empty() || !reflect.DeepEqual(settled, n.Data) {
			if r.Outages.Silent(n.Data.NB) {
				continue // it has fallen silent meanwhile
			}
			made, unsettled = r.Records.RestoreNetwork(ctx, id)
			if unsettled != nil && !errors.Is(unsettled, lifecycle.ErrUnsettled) {
				all = append(all, fmt.Errorf("restoring network %q: %w", id, unsettled))
				continue
			}
		}
		r.unsettled(inOVN, id, unsettled)
		if made {
			r.note(repaired, "network %.12s: %s", id, r.parts(id))
			routed = routed || n.Data.Routed()
		}
	}
	if routed {
		r.Reroute()
	}
	return errors.Join(all...)
}

// Reroute has ovn-controller compute all its flows anew, soon, for what it may miss
// while it works out changes alone: a router's port that was deleted and is there again
// (see topology.Recompute), and translation on an endpoint's own chassis. Of flows that
// a port's chassis decides about it looks at those again that are for ports which come
// or go, and not always when the chassis of one is set a moment later
// (controller/lflow.c, lflow_handle_changed_port_bindings, 22.03 to 25.03): seen once in
// some hundred containers, on a busy host, and for good.
func (r *Reconciler) Reroute() {
	select {
	case r.rerouted <- struct{}{}:
	default:
	}
}

// recomputeAfter are when it is asked to: nobody tells when it has seen what is new.
var recomputeAfter = []time.Duration{time.Second, 4 * time.Second}

// reroute asks for it until the context ends.
func (r *Reconciler) reroute(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.rerouted:
		}
		for _, d := range recomputeAfter {
			if !pause(ctx, d) {
				return
			}
			if err := r.Records.Recompute(ctx); err != nil && ctx.Err() == nil {
				r.Log.Warn("ovn-controller could not be asked to compute its flows anew; if a router does not forward, restart it", zap.Error(err))
			}
		}
	}
}

// parts names what a network has in OVN, as it is stored now.
func (r *Reconciler) parts(id string) string {
	have, _ := r.Records.Networks.Get(id)
	n := have.Data
	text := "logical switch " + string(n.Switch())
	if n.Routed() {
		text += ", router " + string(n.Router())
	}
	if n.Transit != nil {
		text += ", its place on " + string(n.Transit.Switch)
	}
	return text
}

func (r *Reconciler) restoreEndpoints(ctx context.Context, seen observed) []error {
	maps.DeleteFunc(r.mended, func(_ ovs.Port, at time.Time) bool { return time.Since(at) >= mendEvery })
	lacks := map[string][]lifecycle.Lack{}
	networks := r.Records.Networks.List()
	for id, e := range r.Records.Endpoints.List() {
		n, ok := networks[e.Data.NetworkID]
		if !ok || n.Phase != store.Ready || r.Records.Leaving(id, e.Phase) || e.Phase != store.Ready || seen.changed(id, e.Updated) {
			continue
		}
		work := r.missing(n.Data, e.Data, seen)
		if !work.Nothing() {
			lacks[n.Data.NB] = append(lacks[n.Data.NB], lifecycle.Lack{Network: n.Data, Endpoint: e.Data, Updated: e.Updated, Work: work})
		}
	}
	var all []error
	for nb, list := range lacks {
		for chunk := range slices.Chunk(list, together) {
			done, err := r.Records.Restore(ctx, nb, chunk)
			all = append(all, err)
			for _, l := range done {
				r.note(repaired, "endpoint %.12s of network %.12s: %s", l.Endpoint.ID, l.Network.ID, describe(l.Work))
			}
		}
	}
	return all
}

// missing is what the endpoint lacks of what could be seen.
func (r *Reconciler) missing(n topology.Network, e topology.Endpoint, seen observed) topology.Work {
	var have topology.Attached
	north, northSeen := seen.north[n.NB]
	if p, ok := north.Ports[e.SwitchPort()]; ok {
		have.Port = &p
	}
	port := ovs.Port(e.HostLink())
	if seen.local != nil {
		if i, ok := seen.local.Interfaces[port]; ok {
			have.Interface = &i
		}
		have.Link = seen.links[e.HostLink()]
	}
	work := e.Missing(n, r.Records.Host, have)
	if !northSeen || e.Deferred {
		work.North = nil // Complete makes what is deferred
	}
	if seen.local == nil {
		work = topology.Work{North: work.North}
	}
	if len(work.Unplug) > 0 && len(work.Plug) > 0 {
		// The error may have a cause that adding the port again does not mend.
		if _, ok := r.mended[port]; ok {
			return topology.Work{North: work.North}
		}
		r.mended[port] = time.Now()
	}
	return work
}

func describe(w topology.Work) string {
	var parts []string
	if len(w.North) > 0 {
		parts = append(parts, "logical switch port made")
	}
	if len(w.Veth) > 0 {
		parts = append(parts, "veth pair made")
	}
	switch {
	case len(w.Plug) > 0:
		parts = append(parts, "OVS port made")
	case len(w.Unplug) > 0:
		parts = append(parts, "OVS port removed, its link is gone")
	}
	return strings.Join(parts, ", ")
}
