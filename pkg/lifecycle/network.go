package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// lockSwitch takes the lock of a logical switch. Several networks may share
// one, and the database would let two requests make it twice.
func (r *Records) lockSwitch(ctx context.Context, n topology.Network) (func(), error) {
	return r.Locks.Lock(ctx, "logical switch "+string(n.Switch()))
}

// AddNetwork makes the network in OVN and stores it, or leaves nothing. What
// cannot be taken back after a failure is stored as "deleting".
func (r *Records) AddNetwork(ctx context.Context, n topology.Network) error {
	unlock, err := r.lockSwitch(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	if have, ok := r.Networks.Get(n.ID); ok {
		if have.Phase == store.Ready {
			return nil
		}
		return fmt.Errorf("network %q is still being removed: create it again under a new id", n.ID)
	}
	if n, err = r.makeSwitch(ctx, n); err != nil {
		var refused *refusal
		if errors.As(err, &refused) {
			return errors.Join(refused.reason, r.dropNetwork(n.ID)) // nothing was done
		}
	} else if err = r.putNetwork(n, store.Ready); err == nil {
		// Whoever is gone takes the call for failed, and never removes it.
		err = gone(ctx)
	}
	if err != nil {
		return r.abandonNetwork(ctx, n, err)
	}
	return nil
}

// refusal is why the network cannot be made, found out before anything was.
type refusal struct{ reason error }

func (r *refusal) Error() string { return r.reason.Error() }

// makeSwitch stores the network as "pending", makes its logical switch, or its
// use of one, and returns it with the identity of its database. Another plugin
// may make the switch at the same time: then it is looked at again.
func (r *Records) makeSwitch(ctx context.Context, n topology.Network) (topology.Network, error) {
	for try := 1; ; try++ {
		results, err := r.Run.Transact(ctx, n.Look())
		if err != nil {
			return n, &refusal{fmt.Errorf("reading logical switch %q: %w", n.Switch(), err)}
		}
		seen := ovn.ReadLook(results)
		n.Database = seen.Database
		p, err := n.Plan(seen)
		if err != nil {
			return n, &refusal{err}
		}
		if err := r.putNetwork(n, store.Pending); err != nil {
			return n, &refusal{err}
		}
		err = r.Run.Apply(ctx, oneWay(p))
		switch {
		case err == nil:
			return n, nil
		case try < tries && errors.Is(err, ovsdb.ErrTimedOut):
		default:
			return n, fmt.Errorf("making logical switch %q: %w", n.Switch(), err)
		}
	}
}

// abandonNetwork takes back a network that could not be made, in time of its
// own, and by the removal that minds other users of the switch: they may have
// come since the plan was made.
func (r *Records) abandonNetwork(ctx context.Context, n topology.Network, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	err := r.removeSwitch(ctx, n)
	if err == nil {
		return errors.Join(cause, r.dropNetwork(n.ID))
	}
	cause = errors.Join(cause, fmt.Errorf("taking back what was done (it will be tried again): %w", err), r.putNetwork(n, store.Deleting))
	r.condemned.Store(n.ID, true)
	r.Outages.Retry(n.NB)
	return cause
}

// RemoveNetwork removes the network and what is left of its endpoints. It is
// no error that there is none. When OVN does not answer, all that is on the
// host goes and the record stays as "deleting".
func (r *Records) RemoveNetwork(ctx context.Context, id string) error {
	have, ok := r.Networks.Get(id)
	if !ok {
		return r.detachAll(ctx, id) // its record may have been lost, not theirs
	}
	unlock, err := r.lockSwitch(ctx, have.Data)
	if err != nil {
		r.condemned.Store(id, true) // as with endpoints
		r.Outages.Retry(have.Data.NB)
		return err
	}
	defer unlock()
	if have, ok = r.Networks.Get(id); !ok {
		return nil
	}
	n := have.Data
	// As with endpoints, a full disk is no reason to keep what nobody asks to
	// remove again.
	var marked error
	if have.Phase != store.Deleting {
		marked = r.putNetwork(n, store.Deleting)
	}
	if err = r.detachAll(ctx, n.ID); err == nil {
		err = r.removeSwitch(ctx, n)
	}
	if err == nil {
		err = r.dropNetwork(n.ID)
	}
	if err != nil {
		r.condemned.Store(n.ID, true)
		r.Outages.Retry(n.NB)
		return errors.Join(marked, fmt.Errorf("removing network %q (it will be tried again): %w", n.ID, err))
	}
	return nil
}

// detachAll removes the endpoints of a network.
func (r *Records) detachAll(ctx context.Context, network string) error {
	var all []error
	for id, e := range r.Endpoints.List() {
		if e.Data.NetworkID == network {
			all = append(all, r.Detach(ctx, id))
		}
	}
	return errors.Join(all...)
}

func (r *Records) dropNetwork(id string) error {
	r.condemned.Delete(id)
	if err := r.Networks.Delete(id); err != nil {
		return fmt.Errorf("removing the record of network %q: %w", id, err)
	}
	r.Changed()
	return nil
}

// tries bounds how often a switch is looked at again because somebody changed it
// between the look and what was to be done about it.
const tries = 5

func (r *Records) removeSwitch(ctx context.Context, n topology.Network) error {
	return r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		for try := 1; ; try++ {
			results, err := r.Run.Transact(ctx, n.Look())
			if err == nil {
				err = r.Run.Apply(ctx, n.Removal(ovn.ReadLook(results)))
				if errors.Is(err, ovsdb.ErrTimedOut) && try < tries {
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("removing logical switch %q: %w", n.Switch(), err)
			}
			return nil
		}
	})
}
