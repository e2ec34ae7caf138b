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

// AddNetwork makes the network in OVN and stores it, or leaves nothing.
func (r *Records) AddNetwork(ctx context.Context, n topology.Network) error {
	unlock, err := r.lockSwitch(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	results, err := r.Run.Transact(ctx, n.Look())
	if err != nil {
		return fmt.Errorf("reading logical switch %q: %w", n.Switch(), err)
	}
	seen := ovn.ReadLook(results)
	n.Database = seen.Database
	p, err := n.Plan(seen)
	if err != nil {
		return err
	}
	if err := r.putNetwork(n, store.Pending); err != nil {
		return err
	}
	if err = r.Run.Apply(ctx, p); err != nil {
		err = fmt.Errorf("making logical switch %q: %w", n.Switch(), err)
	} else if err = r.putNetwork(n, store.Ready); err != nil {
		err = r.undo(ctx, err, p)
	}
	if err != nil {
		return errors.Join(err, r.Networks.Delete(n.ID))
	}
	return nil
}

// removalTries bounds how often a switch is looked at again because somebody
// changed it between the look and its removal.
const removalTries = 5

// RemoveNetwork removes the network and what is left of its endpoints. It is
// no error that there is none. When OVN does not answer, the record stays as
// "deleting".
func (r *Records) RemoveNetwork(ctx context.Context, id string) error {
	have, ok := r.Networks.Get(id)
	if !ok {
		return nil
	}
	n := have.Data
	unlock, err := r.lockSwitch(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	if have.Phase != store.Deleting {
		if err := r.putNetwork(n, store.Deleting); err != nil {
			return err
		}
	}
	for id, e := range r.Endpoints.List() {
		if e.Data.NetworkID == n.ID {
			if err := r.Detach(ctx, id); err != nil {
				return err
			}
		}
	}
	if err := r.removeSwitch(ctx, n); err != nil {
		r.Outages.Report(n.NB)
		return fmt.Errorf("removing logical switch %q: %w", n.Switch(), err)
	}
	if err := r.Networks.Delete(n.ID); err != nil {
		return fmt.Errorf("removing the record of network %q: %w", n.ID, err)
	}
	r.Changed()
	return nil
}

func (r *Records) removeSwitch(ctx context.Context, n topology.Network) error {
	for try := 1; ; try++ {
		results, err := r.Run.Transact(ctx, n.Look())
		if err != nil {
			return err
		}
		err = r.Run.Apply(ctx, n.Removal(ovn.ReadLook(results)))
		if err == nil || try == removalTries || !errors.Is(err, ovsdb.ErrTimedOut) {
			return err
		}
	}
}
