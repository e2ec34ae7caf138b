package lifecycle

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// float gives the endpoint the floating address that it asked for, and the one
// outside that its network may be led out with.
func (r *Records) float(ctx context.Context, n topology.Network, e topology.Endpoint) (topology.Endpoint, error) {
	if !e.FloatingIP.IsValid() && !n.Apart {
		return e, nil
	}
	return r.floatAgain(ctx, n, e)
}

// floatAgain does so for an endpoint that may have had others, which it loses.
func (r *Records) floatAgain(ctx context.Context, n topology.Network, e topology.Endpoint) (topology.Endpoint, error) {
	err := r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		for try := 1; ; try++ {
			seen, err := r.lookToFloat(ctx, n)
			if err != nil {
				return err
			}
			given, p, err := n.Outside(e, seen)
			if err == nil && e.FloatingIP.IsValid() {
				p, err = n.Float(e, seen)
			}
			if err != nil {
				return err
			}
			err = r.Run.Apply(ctx, oneWay(p))
			switch {
			case err == nil:
				if n.Apart && !p.Empty() {
					r.Translated()
				}
				e = given
				return nil
			case r.again(ctx, try, err):
			case e.FloatingIP.IsValid():
				return fmt.Errorf("giving ovn.floating_ip %q to the endpoint: %w", e.FloatingIP, err)
			case !n.Apart:
				return fmt.Errorf("taking address %q, which nothing leads to any more, from the endpoint: %w", e.Outside, err)
			default:
				return fmt.Errorf("giving the endpoint address %q to lead out with: %w", given.Outside, err)
			}
		}
	})
	return e, err
}

func (r *Records) lookToFloat(ctx context.Context, n topology.Network) (ovn.Seen, error) {
	results, err := r.Run.Transact(ctx, n.Look(nil))
	if err != nil {
		return ovn.Seen{}, fmt.Errorf("reading NAT rules: %w", err)
	}
	seen := n.Seen(results)
	if s := n.FloatsAt(seen); s != nil {
		if results, err = r.Run.Transact(ctx, ovn.TakenOn(n.NB, seen.Containers(*s))); err != nil {
			return seen, fmt.Errorf("reading the addresses on logical switch %q: %w", s.Name, err)
		}
		seen.Taken = map[ovn.Switch][]netip.Addr{s.Name: ovn.ReadTaken(results)}
	}
	return seen, nil
}

// unfloat takes floating addresses from an endpoint that goes.
func (r *Records) unfloat(ctx context.Context, nb, endpoint string) error {
	return r.onNorth(ctx, nb, func(ctx context.Context) error {
		results, err := r.Run.Transact(ctx, ovn.LookAtRouting(nb))
		if err == nil {
			err = r.Run.Apply(ctx, oneWay(topology.Unfloat(nb, endpoint, ovn.ReadRouting(results))))
		}
		if err != nil {
			return fmt.Errorf("taking the addresses that endpoint %q has outside back: %w", endpoint, err)
		}
		return nil
	})
}

// Refloat gives an endpoint that is complete the floating address of its record, and
// its address outside, or takes that when its network is not apart any more.
func (r *Records) Refloat(ctx context.Context, id string) error {
	unlock, err := r.lockEndpoint(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	have, ok := r.Endpoints.Get(id)
	if !ok || r.Leaving(id, have.Phase) {
		return nil
	}
	n, err := r.Network(have.Data.NetworkID)
	if err != nil {
		return nil // its removal has begun
	}
	e, err := r.floatAgain(ctx, n, have.Data)
	if err != nil || e.Outside == have.Data.Outside {
		return err
	}
	r.recall(&e, n.Reached(e)...) // Adopt could not know
	if err := r.putEndpoint(e, store.Ready); err != nil {
		return err
	}
	return r.moved(ctx, have.Data, e)
}

// moved has published ports lead to where the endpoint is now, whose lock is held.
func (r *Records) moved(ctx context.Context, was, is topology.Endpoint) error {
	if was.Outside == is.Outside || len(is.Ports) == 0 {
		return nil
	}
	if _, err := r.leadPorts(ctx); err != nil {
		return fmt.Errorf("leading the published ports of endpoint %q to %q: %w", is.ID, is.Outside, err)
	}
	r.cut(ctx, was)
	r.turn(ctx, is.ID, is.Ports)
	return nil
}
