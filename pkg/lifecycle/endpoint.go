package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func (r *Records) lockEndpoint(ctx context.Context, id string) (func(), error) {
	return r.Locks.Lock(ctx, "endpoint "+id)
}

// Attach makes the endpoint and stores it, or leaves nothing, and returns it with
// the address that OVN may have chosen. When the northbound database does not
// answer, its logical switch port is deferred. What cannot be taken back after a
// failure is stored as "deleting".
func (r *Records) Attach(ctx context.Context, n topology.Network, e topology.Endpoint) (topology.Endpoint, error) {
	r.evict(ctx, n, e) // before the lock: nobody holds two
	unlock, err := r.lockEndpoint(ctx, e.ID)
	if err != nil {
		return e, err
	}
	defer unlock()
	if have, ok := r.Endpoints.Get(e.ID); ok {
		again := have.Data.MAC == e.MAC && slices.Equal(have.Data.Addresses, e.Addresses)
		if n.Allocates() && len(e.Addresses) == 0 && len(have.Data.Addresses) > 0 {
			again = have.Data.MAC == e.MAC || have.Data.MAC == e.At(have.Data.Addresses[0]).MAC
		}
		if have.Phase == store.Ready && have.Data.NetworkID == e.NetworkID && again {
			return have.Data, nil
		}
		return e, fmt.Errorf("endpoint %q is there already (%s), with other addresses or being removed: disconnect the container from the network and connect it again", e.ID, have.Phase)
	}
	e.Deferred = r.Outages.Down(n.NB)
	asks := n.Allocates() && len(e.Addresses) == 0
	if e.Deferred && (r.FailWhenDown || asks) {
		return e, away(n.NB)
	}
	if err = r.putEndpoint(e, store.Pending); err == nil {
		err = r.holdAddresses(e)
	}
	if err == nil {
		// Not earlier: a removal of the network that has begun meanwhile is
		// seen here, or sees this record and waits for it.
		_, err = r.Network(n.ID)
	}
	if err != nil {
		return e, errors.Join(err, r.dropEndpoint(e.ID))
	}
	north := !e.Deferred
	if asks {
		if e, err = r.allocate(ctx, n, e); err != nil {
			return e, r.abandon(ctx, n, e, north, err)
		}
	}
	var reason error
	if e.Deferred, reason, err = r.attach(ctx, n, e); err == nil && !e.Deferred {
		if e, err = r.float(ctx, n, e); !r.FailWhenDown && ctx.Err() == nil && (isAway(err) || errors.Is(err, topology.ErrNoRouter)) {
			e.Deferred, reason, err = true, err, nil
		}
	}
	if err == nil {
		err = r.putEndpoint(e, store.Ready)
	}
	if err == nil {
		// Whoever is gone takes the call for failed, and gives the address to
		// another endpoint.
		err = gone(ctx)
	}
	if err != nil {
		return e, r.abandon(ctx, n, e, north, err)
	}
	r.mirrorEndpoint(ctx, n, e)
	if e.Deferred {
		r.Outages.Retry(n.NB)
		r.Log.Warn("the endpoint's port in OVN will be made later",
			zap.String("endpoint", e.ID), zap.String("network", n.ID), zap.NamedError("reason", reason))
	}
	return e, nil
}

// errNoneLeft is why ovn-northd answers without an address.
var errNoneLeft = errors.New("it has none left")

// allocateWithin bounds the wait for ovn-northd's choice of an address.
const allocateWithin = northWithin / 2

// allocate has OVN choose the endpoint's address. From then on the address is the
// endpoint's as any other, whatever becomes of the database.
func (r *Records) allocate(ctx context.Context, n topology.Network, e topology.Endpoint) (topology.Endpoint, error) {
	err := r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		if err := r.Run.Apply(ctx, oneWay(e.Ask(n))); err != nil {
			return err
		}
		results, err := r.Run.Transact(ctx, ovn.Allocated(n.NB, e.SwitchPort(), int(allocateWithin.Milliseconds())))
		if err != nil {
			return err
		}
		given, ok := n.Given(ovn.ReadAllocated(results))
		if !ok {
			return errNoneLeft
		}
		e = e.At(given)
		return nil
	})
	switch {
	case errors.Is(err, ovsdb.ErrTimedOut):
		return e, fmt.Errorf("ovn has chosen no address in %s, does ovn-northd run? %w", n.Options.Subnet, err)
	case errors.Is(err, errNoneLeft):
		return e, fmt.Errorf("ovn has chosen no address in %s: %w; remove containers, or use a larger subnet", n.Options.Subnet, err)
	case err != nil:
		return e, fmt.Errorf("having OVN choose an address in %s: %w", n.Options.Subnet, err)
	}
	return e, r.putEndpoint(e, store.Pending)
}

// attach runs both lanes side by side and reports whether the northern one has
// to be tried again later, and why. It takes nothing back.
func (r *Records) attach(ctx context.Context, n topology.Network, e topology.Endpoint) (deferred bool, reason, _ error) {
	lanes := e.Plan(n, r.Host)
	var north, host error
	var both sync.WaitGroup
	both.Go(func() { host = r.applyHost(ctx, lanes.Host) })
	// Before the attempt: the removal may end while it fails.
	left := r.leaving(n, e.Addresses)
	if !e.Deferred {
		both.Go(func() {
			apply := func(ctx context.Context) error { return r.Run.Apply(ctx, oneWay(lanes.North)) }
			north = r.onNorth(ctx, n.NB, apply)
			if left && executor.IsDuplicateAddress(north) && !r.leaving(n, e.Addresses) {
				north = r.onNorth(ctx, n.NB, apply)
			}
		})
	}
	both.Wait()
	switch {
	case host != nil:
		return false, nil, errors.Join(host, north)
	case e.Deferred:
		return true, away(n.NB), nil
	case north == nil:
		return false, nil, nil
	case executor.IsDuplicateAddress(north) && ctx.Err() == nil && (n.Routed() || n.IsProvider()):
		if a, router := r.ofRouter(ctx, n, e.Addresses); router != "" {
			return false, nil, fmt.Errorf("address %q belongs to router %q on logical switch %q: give another one with --ip, or try again for the next free one", a, router, n.Switch())
		}
	}
	switch {
	case r.FailWhenDown || ctx.Err() != nil:
		return false, nil, north
	case isAway(north), executor.IsDuplicateAddress(north) && (left || r.leaving(n, e.Addresses)), executor.IsSwitchMissing(north):
		// The last of a database that was emptied, or of a switch that somebody
		// deleted: it is made again, as the network is there for Docker.
		return true, north, nil
	}
	if executor.IsDuplicateAddress(north) {
		north = errors.Join(r.inUse(ctx, n, e, north), r.avoid(n, e))
	}
	return false, nil, north
}

// inUse says who has an address that was refused because somebody has it: most
// likely an endpoint of another host, whose Docker knows nothing of this one.
func (r *Records) inUse(ctx context.Context, n topology.Network, e topology.Endpoint, cause error) error {
	results, err := r.Run.Transact(ctx, ovn.Holders(n.NB, n.Switch()))
	if err != nil {
		return cause
	}
	for _, a := range e.Addresses {
		for _, p := range ovn.ReadHolders(results, a.Addr()) {
			if id := p.ExternalIDs["endpoint_id"]; id != e.ID {
				return fmt.Errorf("address %q is in use on logical switch %q, by endpoint %q of host %q: give another one with --ip, or remove that (each host's Docker gives addresses without knowing of the others): %w",
					a.Addr(), n.Switch(), id, p.ExternalIDs["host"], cause)
			}
		}
	}
	return cause
}

// ofRouter returns the router that has one of the addresses on the network's
// switch, and the address; "" when none has, or when it cannot be known.
func (r *Records) ofRouter(ctx context.Context, n topology.Network, addresses []netip.Prefix) (netip.Addr, ovn.Router) {
	results, err := r.Run.Transact(ctx, n.Look(nil))
	if err != nil {
		return netip.Addr{}, ""
	}
	for _, a := range addresses {
		if router := n.RouterAt(n.Seen(results), a.Addr()); router != "" {
			return a.Addr(), router
		}
	}
	return netip.Addr{}, ""
}

// leaving reports whether an endpoint on the same switch still has one of the
// addresses only because its removal has not reached the northbound database.
func (r *Records) leaving(n topology.Network, addresses []netip.Prefix) bool {
	for _, other := range r.Endpoints.List() {
		if r.leaves(other, n) && share(other.Data.Addresses, addresses) {
			return true
		}
	}
	return false
}

// leaves reports whether the endpoint is being removed from the network's switch.
func (r *Records) leaves(e store.Record[topology.Endpoint], n topology.Network) bool {
	on, ok := r.Networks.Get(e.Data.NetworkID)
	return ok && e.Phase == store.Deleting && on.Data.NB == n.NB && on.Data.Switch() == n.Switch()
}

// share reports whether an address is in both lists.
func share(a, b []netip.Prefix) bool {
	return slices.ContainsFunc(a, func(x netip.Prefix) bool {
		return slices.ContainsFunc(b, func(y netip.Prefix) bool { return x.Addr() == y.Addr() })
	})
}

// abandon takes back an endpoint that could not be made, in time of its own.
// North says that its port was tried, with whatever outcome.
func (r *Records) abandon(ctx context.Context, n topology.Network, e topology.Endpoint, north bool, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	err := r.remove(ctx, n, e, north)
	if err == nil {
		return errors.Join(cause, r.dropEndpoint(e.ID))
	}
	cause = errors.Join(cause, fmt.Errorf("taking back what was done (it will be tried again): %w", err), r.putEndpoint(e, store.Deleting))
	r.condemned.Store(e.ID, true)
	r.Outages.Retry(n.NB)
	return cause
}

// remove takes both lanes of an endpoint back; a failure of one does not keep
// the other.
func (r *Records) remove(ctx context.Context, n topology.Network, e topology.Endpoint, north bool) error {
	lanes := e.Plan(n, r.Host)
	var atNorth, atHost error
	var both sync.WaitGroup
	both.Go(func() { atHost = r.Run.Undo(ctx, lanes.Host) })
	if north {
		both.Go(func() {
			atNorth = r.onNorth(ctx, n.NB, func(ctx context.Context) error { return r.Run.Undo(ctx, lanes.North) })
			if e.FloatingIP.IsValid() || e.Outside.IsValid() || n.Apart {
				atNorth = errors.Join(atNorth, r.unfloat(ctx, n.NB, e.ID))
			}
		})
	}
	both.Wait()
	return errors.Join(atHost, atNorth)
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
	network, ok := r.Networks.Get(have.Data.NetworkID)
	if !ok || network.Phase != store.Ready {
		return nil // the network's removal takes the endpoint along
	}
	e, n := have.Data, network.Data
	if err := r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		return r.Run.Apply(ctx, oneWay(e.Plan(n, r.Host).North))
	}); err != nil {
		return fmt.Errorf("making the port of endpoint %q: %w", id, err)
	}
	e, err = r.float(ctx, n, e)
	if err != nil {
		return fmt.Errorf("completing endpoint %q: %w", id, err)
	}
	e.Deferred = false
	if err := r.putEndpoint(e, store.Ready); err != nil {
		return err
	}
	return r.moved(ctx, have.Data, e)
}

// Detach removes the endpoint. It is no error that there is none. When OVN does
// not answer, all that is on the host goes and the record stays as "deleting".
func (r *Records) Detach(ctx context.Context, id string) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		r.postpone(id)
		return err
	}
	defer unlock()
	have, ok := r.Endpoints.Get(id)
	if !ok {
		return nil
	}
	e := have.Data
	// A record that cannot be marked, on a full disk, is no reason to keep the
	// endpoint: nobody asks for its removal again.
	var marked error
	if have.Phase != store.Deleting {
		marked = r.putEndpoint(e, store.Deleting)
	}
	// Without its network's record, which may have been damaged, what is on the
	// host can still go: its names follow from the endpoint's id.
	network, known := r.Networks.Get(e.NetworkID)
	if err = r.remove(ctx, network.Data, e, known); err == nil {
		err = r.dropEndpoint(id)
	}
	if err != nil {
		r.condemned.Store(id, true) // and leads no ports any more
	}
	r.forgetPorts(ctx, e)
	r.mirrorEndpoint(ctx, network.Data, e)
	if err != nil {
		r.Outages.Retry(network.Data.NB)
		return errors.Join(marked, fmt.Errorf("removing endpoint %q (it will be tried again): %w", id, err))
	}
	return nil
}

// postpone has a removal that could not even begin tried again: nobody else
// would.
func (r *Records) postpone(endpoint string) {
	have, ok := r.Endpoints.Get(endpoint)
	if !ok {
		return
	}
	network, _ := r.Networks.Get(have.Data.NetworkID)
	r.condemned.Store(endpoint, true)
	r.Outages.Retry(network.Data.NB)
}

func (r *Records) dropEndpoint(id string) error {
	r.condemned.Delete(id)
	if err := r.Endpoints.Delete(id); err != nil {
		return fmt.Errorf("removing the record of endpoint %q: %w", id, err)
	}
	r.Changed()
	return nil
}
