package topology

import (
	"fmt"
	"slices"
)

// Clash refuses a network whose way out through the host would be that of another
// one with the same addresses, which a tenant of its own may have, and neither of
// which is apart: the host has one route to them.
func (n Network) Clash(known []Network) error {
	if !n.NeedsHost() {
		return nil
	}
	for _, o := range known {
		if o.ID == n.ID || !o.NeedsHost() {
			continue
		}
		if small, large := smaller(n, o); small.MTU < minimumIPv6 && large.hasIPv6() {
			return fmt.Errorf("mtu %d of network %.12s is less than IPv6 needs (%d), which network %.12s has, and this host leads both out by one link: give the one a larger mtu, or one of the two --internal",
				small.MTU, small.ID, minimumIPv6, large.ID)
		}
		if n.Apart || o.Apart {
			continue
		}
		for _, s := range n.Subnets {
			if slices.ContainsFunc(o.Subnets, func(t Subnet) bool { return s.Pool.Overlaps(t.Pool) }) {
				return fmt.Errorf("subnet %s is also that of network %.12s, of %s, and this host cannot lead both out: add --internal, leave ovn.router out, or choose another --subnet", s.Pool, o.ID, tenantText(o.Options.TenantID))
			}
		}
	}
	return nil
}

// smaller returns two networks, that with the smaller MTU first.
func smaller(a, b Network) (small, large Network) {
	if a.MTU < b.MTU {
		return a, b
	}
	return b, a
}

func (n Network) hasIPv6() bool {
	return slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Pool.Addr().Is6() })
}
