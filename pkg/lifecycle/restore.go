package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// RestoreNetwork makes the logical switch of a complete network again, its
// router, and its router's place on a transit network, or its use of those that
// are there, and reports whether anything was missing. What has been settled by it
// is stored first. A database that answers, and that requests are still kept from,
// is one that this is for.
func (r *Records) RestoreNetwork(ctx context.Context, id string) (bool, error) {
	n, unlock, err := r.hold(ctx, id)
	if n == nil {
		return false, err
	}
	defer unlock()
	made := false
	err = r.atNorth(ctx, n.NB, func(ctx context.Context) error {
		for try := 1; ; try++ {
			seen, known, err := r.look(ctx, *n, nil)
			if err != nil {
				return err
			}
			settled, missing, unsettled := n.Mend(seen, known)
			if !reflect.DeepEqual(settled, *n) {
				if err := r.putNetwork(settled, store.Ready); err != nil {
					return err
				}
				*n = settled
			}
			err = r.Run.Apply(ctx, oneWay(missing))
			switch {
			case r.again(ctx, try, err):
				continue
			case err != nil:
				return fmt.Errorf("making logical switch %q again: %w", n.Switch(), err)
			}
			if made = !missing.Empty(); unsettled != nil {
				return fmt.Errorf("%w: %w", ErrUnsettled, unsettled)
			}
			return nil
		}
	})
	return made, err
}

// ErrUnsettled is why a part of a network cannot be made as things are: it
// contradicts another network, or what an administrator has made.
var ErrUnsettled = errors.New("this cannot be made as things are")

// UpdateNetwork stores a change of a network that is complete, and that is no
// more than a change of its record.
func (r *Records) UpdateNetwork(ctx context.Context, id string, change func(*topology.Network)) error {
	n, unlock, err := r.hold(ctx, id)
	if n == nil {
		return err
	}
	defer unlock()
	change(n)
	return r.putNetwork(*n, store.Ready)
}

// hold takes the lock of a complete network's database, and returns the network;
// nil when there is none that is complete.
func (r *Records) hold(ctx context.Context, id string) (*topology.Network, func(), error) {
	have, ok := r.Networks.Get(id)
	if !ok {
		return nil, nil, nil
	}
	unlock, err := r.lockNorth(ctx, have.Data.NB)
	if err != nil {
		return nil, nil, err
	}
	if have, ok = r.Networks.Get(id); !ok || have.Phase != store.Ready {
		unlock()
		return nil, nil, nil
	}
	return &have.Data, unlock, nil
}

// Lack is what an endpoint was seen to lack.
type Lack struct {
	Network  topology.Network
	Endpoint topology.Endpoint
	Updated  time.Time // of the record that this was found with
	Work     topology.Work
}

// Restore makes what endpoints of networks in one northbound database lack, in
// one invocation a program, and returns those that were restored. An endpoint
// whose record has changed since is left out: whoever changed it knows better.
// When the whole fails, each is tried alone, so that one that cannot be
// restored does not keep the others.
func (r *Records) Restore(ctx context.Context, nb string, lacks []Lack) ([]Lack, error) {
	slices.SortFunc(lacks, func(a, b Lack) int { return strings.Compare(a.Endpoint.ID, b.Endpoint.ID) })
	done, err := r.restore(ctx, nb, lacks)
	if err == nil || len(lacks) == 1 || ctx.Err() != nil || isAway(err) {
		return done, err
	}
	var all []error
	for i := range lacks {
		one, err := r.restore(ctx, nb, lacks[i:i+1])
		if err != nil {
			all = append(all, fmt.Errorf("restoring endpoint %q: %w", lacks[i].Endpoint.ID, err))
		}
		done = append(done, one...)
	}
	return done, errors.Join(all...)
}

// restoreWithin bounds how long the requests for endpoints that are restored
// together wait: less than their own limit, so that they still do their work.
const restoreWithin = 10 * time.Second

// restore holds the locks of all the endpoints, taken in the order of their
// ids: nobody else holds more than one.
func (r *Records) restore(ctx context.Context, nb string, lacks []Lack) ([]Lack, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreWithin)
	defer cancel()
	var still []Lack
	var work []topology.Work
	for _, l := range lacks {
		unlock, err := r.lockEndpoint(ctx, l.Endpoint.ID)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if have, ok := r.Endpoints.Get(l.Endpoint.ID); ok && have.Updated.Equal(l.Updated) && !r.Leaving(l.Endpoint.ID, have.Phase) {
			still, work = append(still, l), append(work, l.Work)
		}
	}
	var north, host error
	var both sync.WaitGroup
	both.Go(func() { host = r.Run.Apply(ctx, oneWay(r.Host.Plan(work...))) })
	if p := oneWay(topology.North(nb, work...)); !p.Empty() {
		both.Go(func() {
			north = r.onNorth(ctx, nb, func(ctx context.Context) error { return r.Run.Apply(ctx, p) })
		})
	}
	both.Wait()
	if err := errors.Join(host, north); err != nil {
		return nil, err
	}
	return still, nil
}

// AdoptNetwork stores a network that Docker knows but that has no record any
// more, as complete: containers may run on it, and what is missing of it is made
// by a pass. Nothing of it is ever taken back because something else failed.
func (r *Records) AdoptNetwork(ctx context.Context, n topology.Network) error {
	unlock, err := r.lockNorth(ctx, n.NB)
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := r.Networks.Get(n.ID); ok || r.Removed(n.ID) {
		return nil
	}
	return r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		seen, known, err := r.look(ctx, n, nil)
		if err != nil {
			return err
		}
		settled, unsettled := n.WithGateways(seen).Settle(seen, known)
		if unsettled != nil {
			r.Log.Warn("a network is rebuilt without a part of it", zap.String("network", n.ID), zap.Error(unsettled))
		}
		n = settled
		if err := r.putNetwork(n, store.Ready); err != nil {
			return err
		}
		if !r.Removed(n.ID) {
			return r.bindPools(n)
		}
		return r.dropNetwork(n.ID) // while the database was read
	})
}

// Adopt stores an endpoint that is there, and that Docker knows, but that has
// no record any more. It reports whether it did.
func (r *Records) Adopt(ctx context.Context, e topology.Endpoint) (bool, error) {
	unlock, err := r.lockEndpoint(ctx, e.ID)
	if err != nil {
		return false, err
	}
	defer unlock()
	if _, ok := r.Endpoints.Get(e.ID); ok || r.Removed(e.ID) {
		return false, nil
	}
	n, err := r.Network(e.NetworkID)
	if err != nil {
		return false, err
	}
	if given, err := r.float(ctx, n, e); err == nil { // or Refloat does, and recalls
		e = given
	}
	r.recall(&e, n.Reached(e)...)
	err = r.holdAddresses(e)
	if err == nil {
		err = r.putEndpoint(e, store.Ready)
	}
	if err != nil {
		return false, errors.Join(err, r.ports.Release(e.ID))
	}
	if !r.Removed(e.ID) {
		return true, nil
	}
	return false, errors.Join(r.dropEndpoint(e.ID), r.ports.Release(e.ID)) // a moment ago: its removal waits for the lock
}

// CollectEndpoint removes what is there of an endpoint that has no record: its
// names follow from its id. NB is "" when there is nothing of it in a
// northbound database.
func (r *Records) CollectEndpoint(ctx context.Context, nb, id string) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := r.Endpoints.Get(id); ok {
		return nil
	}
	err = r.remove(ctx, topology.Network{NB: nb}, topology.Endpoint{ID: id, MAC: topology.MAC(nil, id)}, nb != "")
	if nb != "" {
		err = errors.Join(err, r.unfloat(ctx, nb, id))
	}
	return err
}

// Forget removes an endpoint, also one whose record was lost: nobody asks for
// its removal again.
func (r *Records) Forget(ctx context.Context, network, id string) error {
	again := r.Removed(id)
	r.MarkRemoved(id)
	r.MarkRemoved(topology.Endpoint{ID: id}.HostLink())
	if _, ok := r.Endpoints.Get(id); ok || again {
		return r.Detach(ctx, id)
	}
	nb := ""
	if n, ok := r.Networks.Get(network); ok {
		nb = n.Data.NB
	} else {
		r.unclaimed.Store(id, true)
	}
	err := r.CollectEndpoint(ctx, nb, id)
	if _, ok := r.Endpoints.Get(id); ok {
		return r.Detach(ctx, id) // adopted while this waited
	}
	if isAway(err) {
		// Most likely there is nothing; what there is will be found without a
		// record, and removed.
		r.Log.Warn("an endpoint without a record may have left something", zap.String("endpoint", id), zap.Error(err))
		return nil
	}
	return err
}

// ForgetNetwork removes a network, also one whose record was lost.
func (r *Records) ForgetNetwork(ctx context.Context, id string) error {
	again := r.Removed(id)
	r.MarkRemoved(id)
	if _, ok := r.Networks.Get(id); !ok && !again {
		r.unclaimed.Store(id, true)
	}
	return r.RemoveNetwork(ctx, id)
}

// CollectNetwork ends the use of a logical switch by a network that has no
// record, and removes the switch when that was the last.
func (r *Records) CollectNetwork(ctx context.Context, n topology.Network) error {
	unlock, err := r.lockNorth(ctx, n.NB)
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := r.Networks.Get(n.ID); ok {
		return nil
	}
	return r.removeFromNorth(ctx, n, true)
}

// evict removes the endpoints that hold an address of the new one. Docker gives
// an address again only after it has removed the endpoint that had it: in the
// network they are left from a time when nobody told us, and on the switch from
// a removal that failed. That one would keep the new port waiting, and its
// container without traffic, until the removal is tried again.
func (r *Records) evict(ctx context.Context, n topology.Network, e topology.Endpoint) {
	for id, other := range r.Endpoints.List() {
		if id == e.ID || !share(other.Data.Addresses, e.Addresses) {
			continue
		}
		switch {
		case other.Phase == store.Ready && other.Data.NetworkID == e.NetworkID:
			err := r.Detach(ctx, id)
			r.Log.Warn("removed an endpoint that Docker has removed before, for its address is given to another",
				zap.String("endpoint", id), zap.String("for", e.ID), zap.Error(err))
		case r.leaves(other, n) && !r.Outages.Down(n.NB):
			if err := r.Detach(ctx, id); err != nil {
				r.Log.Warn("an endpoint whose address is given to another could not be removed yet",
					zap.String("endpoint", id), zap.String("for", e.ID), zap.Error(err))
			}
		}
	}
}
