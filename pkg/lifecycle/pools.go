package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// poolFile is the id of a pool's record. A tenant has one for a subnet, and which range
// of it a network prefers is said by each request.
func poolFile(k ipam.Key) string {
	k.Range = netip.Prefix{}
	sum := sha256.Sum256([]byte(k.String()))
	return hex.EncodeToString(sum[:16])
}

// lockPool takes the lock of who leases addresses of a pool, which takes a round trip.
// What is stored of pools changes under r.poolsMu alone, which nobody waits under.
func (r *Records) lockPool(ctx context.Context, k ipam.Key) (func(), error) {
	return r.Locks.Lock(ctx, "pool "+poolFile(k))
}

// errNoPool says that no network has the pool, and that nobody has asked for it.
var errNoPool = errors.New("this plugin has no such address pool")

// changePool changes what is stored of a pool.
func (r *Records) changePool(k ipam.Key, change func(*ipam.Pool) error) error {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	p, err := r.pool(k)
	if err == nil {
		err = change(&p)
	}
	if err != nil {
		return err
	}
	return r.putPool(p)
}

func (r *Records) putPool(p ipam.Pool) error {
	if err := r.Pools.Put(poolFile(p.Key), store.Record[ipam.Pool]{Phase: store.Ready, Data: p}); err != nil {
		return fmt.Errorf("storing the address pool of subnet %s: %w", p.Subnet, err)
	}
	return nil
}

func (r *Records) dropPool(k ipam.Key) error {
	if err := r.Pools.Delete(poolFile(k)); err != nil {
		return fmt.Errorf("removing the address pool of subnet %s: %w", k.Subnet, err)
	}
	return nil
}

// allPools returns the pools that somebody has: those whose records were lost too.
func (r *Records) allPools() []ipam.Pool {
	var all []ipam.Pool
	for _, p := range r.Pools.List() {
		if !r.abandoned(p.Data) {
			all = append(all, p.Data.Clone())
		}
	}
	stored := len(all)
	for _, n := range r.Known() {
		for _, s := range n.Subnets {
			k := keyOf(n, s)
			if !n.Gives() || r.Leaving(n.ID, store.Ready) || slices.ContainsFunc(all[:stored], func(p ipam.Pool) bool { return p.Tenant == k.Tenant && p.Subnet == k.Subnet }) {
				continue
			}
			p := ipam.Pool{Key: k}
			r.fill(&p, n, s)
			all = append(all, p)
		}
	}
	return all
}

// keyOf is the key of the pool that a network has for a subnet.
func keyOf(n topology.Network, s topology.Subnet) ipam.Key {
	return ipam.Key{Tenant: n.Options.TenantID, Subnet: s.Pool}
}

// OpenPool makes an address pool, before there is a network that has it, or finds it
// again: dockerd repeats what it asked for when it restarts. Pools of one tenant do
// not overlap, as little as those of Docker's own IPAM do.
func (r *Records) OpenPool(k ipam.Key) error {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	for _, have := range r.allPools() {
		switch {
		case have.Tenant != k.Tenant || !have.Subnet.Overlaps(k.Subnet):
		case have.Subnet == k.Subnet && (have.Network != "" || have.Range == k.Range):
			return r.putPool(have) // if it is a second network's, that is refused by name
		default:
			return fmt.Errorf("subnet %s overlaps with %s, which %s has: choose another one, or another tenant (--ipam-opt tenant_id=…)", k.Subnet, have.Subnet, poolOwner(have))
		}
	}
	return r.putPool(ipam.Pool{Key: k})
}

func poolOwner(p ipam.Pool) string {
	if p.Network == "" {
		return "a network that is being made"
	}
	return fmt.Sprintf("network %.12s", p.Network)
}

// defaultPools are where subnets come from when none is asked for, and how long the
// prefixes of these are. Other drivers' defaults lie elsewhere
// (moby, daemon/libnetwork/ipamutils/utils.go).
var (
	defaultPools = netip.MustParsePrefix("10.201.0.0/16")
	defaultBits  = 24
)

// OpenAnyPool makes a pool in a subnet of its choice.
func (r *Records) OpenAnyPool(tenant string, v6 bool) (ipam.Key, error) {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	in, bits := defaultPools, defaultBits
	if v6 {
		in, bits = r.uniqueLocal(), 64
	}
	var have []netip.Prefix
	for _, p := range r.Pools.List() { // the abandoned too: their rows may be there
		have = append(have, p.Data.Subnet)
	}
	for _, n := range r.Known() {
		for _, s := range n.Subnets {
			have = append(have, s.Pool)
		}
	}
	subnet, err := ipam.Subnet(in, bits, func(p netip.Prefix) bool { return slices.ContainsFunc(have, p.Overlaps) })
	if err != nil {
		return ipam.Key{}, fmt.Errorf("no subnet was asked for, and none is left in %s: give one with --subnet", in)
	}
	k := ipam.Key{Tenant: tenant, Subnet: subnet}
	return k, r.putPool(ipam.Pool{Key: k})
}

// uniqueLocal is the part of fd00::/8 that this plugin instance makes subnets in,
// 40 bits at random (RFC 4193, 3.2).
func (r *Records) uniqueLocal() netip.Prefix {
	sum := sha256.Sum256([]byte(r.Instance))
	b := [16]byte{0: 0xfd}
	copy(b[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(b), 48)
}

// pool returns a copy of a pool. One whose record was lost is made of what the
// network's and its endpoints' say.
func (r *Records) pool(k ipam.Key) (ipam.Pool, error) {
	if have, ok := r.Pools.Get(poolFile(k)); ok && !r.abandoned(have.Data) {
		p := have.Data.Clone()
		p.Key = k
		return p, nil
	}
	for _, p := range r.allPools() {
		if p.Tenant == k.Tenant && p.Subnet == k.Subnet {
			p.Key = k
			return p, nil
		}
	}
	return ipam.Pool{Key: k}, fmt.Errorf("%w: subnet %s, tenant %q", errNoPool, k.Subnet, k.Tenant)
}

// fill notes what is known of a network's use of the pool.
func (r *Records) fill(p *ipam.Pool, n topology.Network, s topology.Subnet) {
	p.Network, p.Gateway = n.ID, s.Gateway
	for _, a := range s.Aux {
		if !slices.Contains(p.Reserved, a) {
			p.Reserved = append(p.Reserved, a)
		}
	}
	for _, e := range r.Endpoints.List() {
		for _, a := range e.Data.Addresses {
			if e.Data.NetworkID == n.ID && s.Pool.Contains(a.Addr()) && e.Phase != store.Deleting {
				p.Hold(a.Addr(), time.Now())
			}
		}
	}
}

// HasPool reports whether the pool, or the network that has it, is known.
func (r *Records) HasPool(k ipam.Key) bool {
	_, err := r.pool(k)
	return err == nil
}

// ClosePool forgets a pool that no network has. dockerd asks for it also when a
// second network was refused the subnet of the first.
func (r *Records) ClosePool(k ipam.Key) error {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	if have, ok := r.Pools.Get(poolFile(k)); !ok || have.Data.Network != "" {
		return nil
	}
	return r.dropPool(k)
}

// bindPools notes that the network has its pools, or leaves none with it.
func (r *Records) bindPools(n topology.Network) error {
	if !n.Gives() {
		return nil
	}
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	for _, s := range n.Subnets {
		p, err := r.poolFor(n, s)
		if err == nil {
			r.fill(&p, n, s)
			err = r.putPool(p)
		}
		if err != nil {
			return errors.Join(err, r.unbindPools(n.ID))
		}
	}
	return nil
}

// poolFor finds the pool of a network's subnet. dockerd does not tell a driver which
// pool it is: the tenant does, of which a network has to have the same.
func (r *Records) poolFor(n topology.Network, s topology.Subnet) (ipam.Pool, error) {
	mine := ipam.Pool{Key: keyOf(n, s)}
	var other *ipam.Pool
	for _, have := range r.allPools() {
		switch {
		case have.Subnet != s.Pool:
		case have.Tenant == n.Options.TenantID:
			if have.Network != "" && have.Network != n.ID {
				return have, fmt.Errorf("subnet %s is that of %s: choose another one, or another tenant (--ipam-opt tenant_id=… and --opt tenant_id=…)", s.Pool, poolOwner(have))
			}
			return have, nil
		case have.Network == "":
			other = &have
		}
	}
	if other != nil {
		return mine, fmt.Errorf("subnet %s was asked for with --ipam-opt tenant_id=%q, and the network has --opt tenant_id=%q: give both the same", s.Pool, other.Tenant, n.Options.TenantID)
	}
	return mine, nil // its record was lost
}

// abandoned reports whether the network that has the pool is being removed: that may
// take until its database is back, and Docker knows nothing of it any more.
func (r *Records) abandoned(p ipam.Pool) bool {
	if p.Network == "" {
		return false
	}
	n, ok := r.Networks.Get(p.Network)
	return r.Removed(p.Network) && n.Phase != store.Ready || ok && r.Leaving(p.Network, n.Phase)
}

// dropPools forgets the pools of a network that is gone.
func (r *Records) dropPools(network string) error {
	r.poolsMu.Lock()
	defer r.poolsMu.Unlock()
	return r.unbindPools(network)
}

func (r *Records) unbindPools(network string) error {
	var all []error
	for _, p := range r.Pools.List() {
		if p.Data.Network == network {
			all = append(all, r.dropPool(p.Data.Key))
		}
	}
	return errors.Join(all...)
}
