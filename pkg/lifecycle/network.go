package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// lockNorth takes the lock of a northbound database's switches and routers.
// Networks share them, and what one of them needs depends on the others.
func (r *Records) lockNorth(ctx context.Context, nb string) (func(), error) {
	return r.Locks.Lock(ctx, "northbound database "+nb)
}

// Known are the complete networks.
func (r *Records) Known() []topology.Network {
	var all []topology.Network
	for _, n := range r.Networks.List() {
		if n.Phase == store.Ready {
			all = append(all, n.Data)
		}
	}
	return all
}

// Ahead is a look at the northbound database that began before the network's
// turn came, while the host was seen to. What is made of any look is guarded
// against what changed since, so that an old one costs another try at most.
type Ahead struct {
	asked   ovsdb.Transaction
	results []ovsdb.Result
	err     error
	done    chan struct{}
}

// LookAhead begins the look that AddNetwork needs.
func (r *Records) LookAhead(ctx context.Context, n topology.Network) *Ahead {
	a := &Ahead{asked: n.Look(r.Known()), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.results, a.err = r.Run.Transact(ctx, a.asked)
	}()
	return a
}

// ask reads what a network is settled on; a look ahead serves if it asked for the
// same.
func (r *Records) ask(ctx context.Context, asked ovsdb.Transaction, ahead *Ahead) ([]ovsdb.Result, error) {
	if ahead == nil || !reflect.DeepEqual(asked, ahead.asked) {
		return r.Run.Transact(ctx, asked)
	}
	<-ahead.done
	if ahead.err != nil { // the database may have been made since
		return r.Run.Transact(ctx, asked)
	}
	return ahead.results, nil
}

// look reads what a network is settled on, together with the other networks.
func (r *Records) look(ctx context.Context, n topology.Network, ahead *Ahead) (ovn.Seen, []topology.Network, error) {
	known := r.Known()
	results, err := r.ask(ctx, n.Look(known), ahead)
	if err != nil {
		return ovn.Seen{}, nil, fmt.Errorf("reading logical switch %q: %w", n.Switch(), err)
	}
	seen := n.Seen(results)
	// Which addresses containers have is of interest only to a router that is to
	// be given one.
	settled, _ := n.Settle(seen, known)
	x := settled.Joins(seen)
	if x == nil {
		return seen, known, nil
	}
	if containers := seen.Containers(*x); len(containers) > 0 {
		if results, err = r.Run.Transact(ctx, ovn.TakenOn(n.NB, containers)); err != nil {
			return seen, nil, fmt.Errorf("reading the addresses on logical switch %q: %w", x.Name, err)
		}
		seen.Taken = map[ovn.Switch][]netip.Addr{x.Name: ovn.ReadTaken(results)}
	}
	return seen, known, nil
}

// AddNetwork makes the network in OVN and stores it, or leaves nothing. What
// cannot be taken back after a failure is stored as "deleting". There need be no
// look ahead.
func (r *Records) AddNetwork(ctx context.Context, n topology.Network, ahead *Ahead) error {
	unlock, err := r.lockNorth(ctx, n.NB)
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
	if err := r.mirrorable(ctx, n); err != nil {
		return err
	}
	if err := r.bindPools(n); err != nil {
		return err
	}
	if n, err = r.makeSwitch(ctx, n, ahead); err != nil {
		var refused *refusal
		if errors.As(err, &refused) {
			return errors.Join(refused.reason, r.dropNetwork(n.ID)) // nothing was done
		}
	} else if err = r.putNetwork(n, store.Ready); err == nil {
		if err = r.leadOut(ctx, n); err == nil {
			err = r.mirrorNetwork(ctx, n)
		}
		if err == nil {
			// Whoever is gone takes the call for failed, and never removes it.
			err = gone(ctx)
		}
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
func (r *Records) makeSwitch(ctx context.Context, asked topology.Network, ahead *Ahead) (topology.Network, error) {
	for try := 1; ; try++ {
		seen, known, err := r.look(ctx, asked, ahead)
		ahead = nil
		if err != nil {
			return asked, &refusal{err}
		}
		n, err := asked.Settle(seen, known)
		if err != nil {
			return asked, &refusal{err}
		}
		p, err := n.Plan(seen)
		if err == nil {
			err = n.Clash(known)
		}
		if err != nil {
			return asked, &refusal{err}
		}
		if err := r.putNetwork(n, store.Pending); err != nil {
			return n, &refusal{err}
		}
		err = r.Run.Apply(ctx, oneWay(p))
		switch {
		case err == nil && n.ServesDHCP():
			return r.resettle(ctx, n)
		case err == nil:
			return n, nil
		case r.again(ctx, try, err):
		default:
			return n, fmt.Errorf("making logical switch %q: %w", n.Switch(), err)
		}
	}
}

// resettle looks again, at what only the database could name.
func (r *Records) resettle(ctx context.Context, n topology.Network) (topology.Network, error) {
	seen, known, err := r.look(ctx, n, nil)
	if err != nil {
		return n, err
	}
	return n.Settle(seen, known)
}

// abandonNetwork takes back a network that could not be made, in time of its
// own, and by the removal that minds other users of the switch: they may have
// come since the plan was made.
func (r *Records) abandonNetwork(ctx context.Context, n topology.Network, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	err := r.removeFromNorth(ctx, n, false)
	if err == nil {
		err := r.dropNetwork(n.ID)
		r.lookOut(ctx, n)
		r.unmirror(ctx, n)
		return errors.Join(cause, err)
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
	unlock, err := r.lockNorth(ctx, have.Data.NB)
	if err != nil {
		r.condemned.Store(id, true) // as with endpoints
		r.Outages.Retry(have.Data.NB)
		return err
	}
	if have, ok = r.Networks.Get(id); !ok {
		unlock()
		return nil
	}
	n := have.Data
	// As with endpoints, a full disk is no reason to keep what nobody asks to
	// remove again.
	var marked error
	if have.Phase != store.Deleting {
		marked = r.putNetwork(n, store.Deleting)
	}
	unlock() // nobody else waits for the endpoints
	if err = r.detachAll(ctx, n.ID); err == nil {
		err = r.endNetwork(ctx, n)
	}
	r.lookOut(ctx, n)
	r.unmirror(ctx, n)
	if err != nil {
		r.condemned.Store(n.ID, true)
		r.Outages.Retry(n.NB)
		return errors.Join(marked, fmt.Errorf("removing network %q (it will be tried again): %w", n.ID, err))
	}
	return nil
}

// endNetwork removes a network that has no endpoints any more.
func (r *Records) endNetwork(ctx context.Context, n topology.Network) error {
	unlock, err := r.lockNorth(ctx, n.NB)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.removeFromNorth(ctx, n, false); err != nil {
		return err
	}
	r.unremember(ctx, n)
	return r.dropNetwork(n.ID)
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
	r.leasesSeen.Delete(id)
	if err := r.Networks.Delete(id); err != nil {
		return fmt.Errorf("removing the record of network %q: %w", id, err)
	}
	r.Changed()
	return r.dropPools(id)
}

// tries bounds how often something is looked at again because somebody changed it
// between the look and what was to be done about it; aside is for how long at most
// whoever was slower steps aside.
const (
	tries = 15
	aside = 50 * time.Millisecond
)

// again reports whether a transaction failed because somebody else was faster, so
// that it is worth another try, a moment later.
func (r *Records) again(ctx context.Context, try int, err error) bool {
	if try >= tries || !errors.Is(err, ovsdb.ErrTimedOut) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rand.N(aside)):
		return true
	}
}

func (r *Records) lookForRemoval(ctx context.Context, n topology.Network, whole bool) (ovn.Seen, error) {
	if whole {
		results, err := r.Run.Transact(ctx, ovn.TakeInventory(n.NB, topology.Owner))
		return ovn.ReadInventory(results).Seen, err
	}
	results, err := r.Run.Transact(ctx, n.Look(r.Known()))
	return n.Seen(results), err
}

// removeFromNorth takes the network out of OVN. Whole looks at all rows, of a
// network of which no more is known than its id.
func (r *Records) removeFromNorth(ctx context.Context, n topology.Network, whole bool) error {
	return r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		for try := 1; ; try++ {
			seen, err := r.lookForRemoval(ctx, n, whole)
			if err == nil {
				err = r.Run.Apply(ctx, n.Removal(seen))
				if r.again(ctx, try, err) {
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("removing logical switch %q: %w", n.Switch(), err)
			}
			if used := n.AttachedRouters(seen); len(used) > 0 {
				r.Log.Warn("a transit network was removed that routers are attached to; it stays in OVN until they are gone",
					zap.String("network", n.ID), zap.String("name", n.Name), zap.Strings("routers", used))
			}
			return nil
		}
	})
}
