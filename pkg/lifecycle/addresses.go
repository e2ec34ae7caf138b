package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// TakeAddress gives an address of the pool away: the one that is asked for, or any.
// The gateway's, and others that are asked for before the network is there, are kept
// for it.
func (r *Records) TakeAddress(ctx context.Context, k ipam.Key, asked netip.Addr, gateway bool) (netip.Addr, error) {
	unlock, err := r.lockPool(ctx, k)
	if err != nil {
		return asked, err
	}
	defer unlock()
	bound := false
	err = r.changePool(k, func(p *ipam.Pool) error {
		switch {
		case gateway:
			asked, err = r.takeGateway(p, asked)
			return err
		case slices.Contains(p.Reserved, asked) && r.holder(p.Network, asked) != "":
			return fmt.Errorf("%w: %q is that of endpoint %.12s", ipam.ErrTaken, asked, r.holder(p.Network, asked))
		case slices.Contains(p.Reserved, asked):
			// After a restart dockerd asks for auxiliary addresses again, and its 20.10 crashes
			// later when it does not get them. They are kept from whoever asks for any.
			return nil
		case p.Network != "":
			bound = true
			return nil
		case !asked.IsValid():
			return fmt.Errorf("subnet %s is that of no network of this plugin: it is still being made, or its driver is another one, which these addresses are not for", k.Subnet)
		}
		if err := p.CheckAsked(asked); err != nil {
			return err
		}
		p.Reserve(asked)
		return nil
	})
	if err != nil || !bound {
		return asked, err
	}
	return r.takeLeased(ctx, k, asked)
}

// takeGateway gives the gateway's address away. Of a network that is there, dockerd asks
// for it again when it restarts, and for another one when that is to be a second
// network's.
func (r *Records) takeGateway(p *ipam.Pool, asked netip.Addr) (netip.Addr, error) {
	if !asked.IsValid() {
		if asked = p.Gateway; !asked.IsValid() {
			asked = ipam.First(p.Subnet)
		}
	}
	if err := p.CheckAsked(asked); err != nil {
		return asked, err
	}
	_, taken := p.Taken[asked]
	if p.Network != "" && asked != p.Gateway && (taken || p.Gateway.IsValid()) {
		return asked, fmt.Errorf("%w: %q cannot be the gateway's in subnet %s, which %s has", ipam.ErrTaken, asked, p.Subnet, poolOwner(*p))
	}
	p.Gateway = asked
	return asked, nil
}

// looked is how old what is known of the leases may be when an address is given:
// another host may have taken one out of them, by --ip. Whoever does so waits until
// this one must know, and has made its endpoint if it had given that address before.
const (
	looked = time.Second
	told   = looked + 500*time.Millisecond
)

func (r *Records) takeLeased(ctx context.Context, k ipam.Key, asked netip.Addr) (netip.Addr, error) {
	p, err := r.pool(k)
	if err != nil {
		return asked, err
	}
	n, err := r.Network(p.Network)
	if err != nil {
		return asked, err
	}
	if n.Options.IPAM == options.IPAMStatic && !asked.IsValid() {
		return asked, fmt.Errorf("network %.12s has ipam=static: give the container its address with --ip", n.ID)
	}
	if at, ok := r.leasesSeen.Load(n.ID); !ok || time.Since(at.(time.Time)) > looked {
		if fresh, err := r.leases(ctx, n.ID, nil); err == nil {
			n = fresh
		}
	}
	theirs, free := false, false
	for until := time.Now().Add(leaseWithin); ; {
		var a netip.Addr
		err := r.changePool(k, func(p *ipam.Pool) (err error) {
			a, err = p.Take(asked, n.Leases, time.Now())
			return err
		})
		switch {
		case err == nil && theirs:
			if err := wait(ctx, told); err != nil {
				return asked, errors.Join(err, r.GiveBack(k, a))
			}
			return a, nil
		case err == nil:
			return a, nil
		case !errors.Is(err, ipam.ErrNotLeased):
			return asked, fmt.Errorf("giving an address of subnet %s: %w", k.Subnet, err)
		}
		before := n.Leases
		if n, err = r.leases(ctx, n.ID, func(n topology.Network, seen ovn.Seen, used []netip.Addr) (topology.Network, plan.Plan, error) {
			p, err := r.pool(k)
			if err != nil {
				return n, plan.Plan{}, err
			}
			// A crash, or another host, may have changed them.
			if probe := p.Clone(); n.Marked(seen) {
				if _, err := probe.Take(asked, n.Leases, time.Now()); err == nil {
					free = true
					return n, plan.Plan{}, nil
				}
			}
			free = false
			theirs = n.LeasedElsewhere(seen, asked)
			return n.Lease(seen, p, asked, used)
		}); isAway(err) && time.Now().Before(until) && r.soon(ctx, n.NB) {
			continue
		} else if isAway(err) {
			return asked, fmt.Errorf("this host has no address of subnet %s left, and gets others only when OVN is back: %w", k.Subnet, away(n.NB))
		} else if err != nil {
			return asked, fmt.Errorf("leasing addresses of subnet %s: %w", k.Subnet, err)
		}
		if !free && slices.Equal(before, n.Leases) {
			return asked, fmt.Errorf("leasing addresses of subnet %s: nothing was leased", k.Subnet)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// holder returns the endpoint of the network that has the address, "" if none has.
func (r *Records) holder(network string, a netip.Addr) string {
	for id, e := range r.Endpoints.List() {
		if e.Data.NetworkID == network && e.Phase != store.Deleting && slices.ContainsFunc(e.Data.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return id
		}
	}
	return ""
}

// leasing returns what changes the leases of a network, and the network with them.
type leasing func(n topology.Network, seen ovn.Seen, used []netip.Addr) (topology.Network, plan.Plan, error)

// leases reads which leases the network has, has them changed unless change is nil, and
// stores them. Of an emptied database it takes them again.
func (r *Records) leases(ctx context.Context, id string, change leasing) (topology.Network, error) {
	n, err := r.Network(id)
	if err != nil {
		return n, err
	}
	unlock, err := r.lockNorth(ctx, n.NB)
	if err != nil {
		return n, err
	}
	defer unlock()
	if n, err = r.Network(id); err != nil {
		return n, err
	}
	before, now := n.Leases, time.Now()
	err = r.onNorth(ctx, n.NB, func(ctx context.Context) error {
		for try := 1; ; try++ {
			leased, err := r.lease(ctx, n, change)
			if r.again(ctx, try, err) {
				continue
			}
			if err == nil {
				n = leased
			}
			return err
		}
	})
	if err != nil {
		return n, err
	}
	r.leasesSeen.Store(id, now)
	if slices.Equal(before, n.Leases) {
		return n, nil
	}
	return n, r.putNetwork(n, store.Ready)
}

func (r *Records) lease(ctx context.Context, n topology.Network, change leasing) (topology.Network, error) {
	results, err := r.Run.Transact(ctx, n.LookAtLeases(change != nil))
	if err != nil {
		return n, err
	}
	n, seen := n.SeenLeases(results, change != nil)
	var used []netip.Addr
	switch {
	case change != nil:
		used, err = r.usedOn(ctx, n, seen)
	case n.Marked(seen):
		return n, nil
	default:
		change = func(n topology.Network, seen ovn.Seen, _ []netip.Addr) (topology.Network, plan.Plan, error) {
			return n.Relet(seen, nil)
		}
	}
	if err != nil {
		return n, err
	}
	n, p, err := change(n, seen, used)
	if err != nil {
		return n, err
	}
	return n, r.Run.Apply(ctx, oneWay(p))
}

// usedOn reads the addresses of the switch's ports.
func (r *Records) usedOn(ctx context.Context, n topology.Network, seen ovn.Seen) ([]netip.Addr, error) {
	var used []netip.Addr
	for _, row := range seen.Named(n.Switch()) {
		ports := seen.Containers(row)
		if len(ports) == 0 {
			continue
		}
		results, err := r.Run.Transact(ctx, ovn.TakenOn(n.NB, ports))
		if err != nil {
			return nil, err
		}
		used = append(used, ovn.ReadTaken(results)...)
	}
	return used, nil
}

// holdAddresses sees to it that an endpoint's addresses are given to nobody else, also
// when the record of that was lost.
func (r *Records) holdAddresses(e topology.Endpoint) error {
	n, err := r.Network(e.NetworkID)
	if err != nil {
		return nil //nolint:nilerr // there is nothing to hold
	}
	return r.eachPool(n, e, r.holdAddress)
}

func (r *Records) holdAddress(k ipam.Key, a netip.Addr) error {
	return known(r.changePool(k, func(p *ipam.Pool) error {
		p.Hold(a, time.Now())
		return nil
	}))
}

// known is err, but that nobody knows the pool is none.
func known(err error) error {
	if errors.Is(err, errNoPool) {
		return nil
	}
	return err
}

// avoid has addresses that turned out to be somebody else's given to nobody for a while.
func (r *Records) avoid(n topology.Network, e topology.Endpoint) error {
	return r.eachPool(n, e, func(k ipam.Key, a netip.Addr) error {
		return known(r.changePool(k, func(p *ipam.Pool) error {
			p.Avoid(a, time.Now())
			return nil
		}))
	})
}

// eachPool calls do with each address of an endpoint, if it is of the driver's own.
func (r *Records) eachPool(n topology.Network, e topology.Endpoint, do func(ipam.Key, netip.Addr) error) error {
	if !n.Gives() {
		return nil
	}
	var all []error
	for _, s := range n.Subnets {
		for _, a := range e.Addresses {
			if s.Pool.Contains(a.Addr()) {
				all = append(all, do(keyOf(n, s), a.Addr()))
			}
		}
	}
	return errors.Join(all...)
}

// GiveBack takes an address back.
func (r *Records) GiveBack(k ipam.Key, a netip.Addr) error {
	return known(r.changePool(k, func(p *ipam.Pool) error {
		// The first goes with the network; the second comes from dockerd that asked for
		// it a second time, for another network.
		if p.Network == "" || a != p.Gateway && !slices.Contains(p.Reserved, a) && r.holder(p.Network, a) == "" {
			p.Release(a)
		}
		return nil
	}))
}

// takenFor is how long an address may be taken before its endpoint is made: dockerd
// asks for the one right after the other.
const takenFor = 5 * time.Minute

// CollectAddresses takes back addresses that were given to endpoints that never came
// to be, because dockerd, or this plugin, was killed in between; forgets pools that
// never got a network, or whose network is gone; and has idle leases given back to
// whoever needs them. It returns the addresses.
func (r *Records) CollectAddresses(ctx context.Context, gone func(network string) bool) ([]netip.Addr, error) {
	used := map[string]map[netip.Addr]bool{}
	for _, e := range r.Endpoints.List() {
		for _, a := range e.Data.Addresses {
			if used[e.Data.NetworkID] == nil {
				used[e.Data.NetworkID] = map[netip.Addr]bool{}
			}
			used[e.Data.NetworkID][a.Addr()] = true
		}
	}
	var unused []netip.Addr
	var all []error
	for _, record := range r.Pools.List() {
		p, idle := record.Data, time.Since(record.Updated) > takenFor
		if _, recorded := r.Networks.Get(p.Network); !recorded {
			switch {
			case idle && p.Network == "":
				all = append(all, r.ClosePool(p.Key))
			case idle && gone(p.Network):
				all = append(all, r.dropPools(p.Network))
			}
			continue
		}
		for a, since := range p.Taken {
			if time.Since(since) > takenFor && !used[p.Network][a] {
				unused = append(unused, a)
				all = append(all, known(r.changePool(p.Key, func(p *ipam.Pool) error {
					if p.Taken[a].Equal(since) && r.holder(p.Network, a) == "" { // or it was given again meanwhile
						p.Release(a)
					}
					return nil
				})))
			}
		}
		all = append(all, r.relet(ctx, p.Key))
	}
	return unused, errors.Join(all...)
}

// relet gives leases of a pool back that have lain idle, when they are many.
func (r *Records) relet(ctx context.Context, k ipam.Key) error {
	unlock, err := r.lockPool(ctx, k)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := r.pool(k)
	if err != nil {
		return known(err)
	}
	n, err := r.Network(p.Network)
	if err != nil || len(p.Idle(n.Leases)) == 0 || r.Outages.Down(n.NB) {
		return nil // its network is about to go, or to come
	}
	_, err = r.leases(ctx, n.ID, func(n topology.Network, seen ovn.Seen, _ []netip.Addr) (topology.Network, plan.Plan, error) {
		p, err := r.pool(k)
		if err != nil {
			return n, plan.Plan{}, err
		}
		return n.Relet(seen, p.Idle(n.Leases))
	})
	if err != nil {
		return fmt.Errorf("giving back idle leases of subnet %s: %w", k.Subnet, err)
	}
	return nil
}
