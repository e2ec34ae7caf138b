package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Clash refuses a network whose way out through the host would be that of another
// one with the same addresses, which a tenant of its own may have, and neither of
// which is apart: the host has one route to them. So it does when another network
// would come to that by this one, which gives its router, or its transit network,
// a way out that it did not have.
func (n Network) Clash(known []Network) error {
	if err := n.clash(known, "add --internal, leave ovn.router out, or choose another --subnet"); err != nil {
		return err
	}
	become, led := append(slices.Clone(known), n), []Network{}
	for i, o := range known {
		if became := o.beyond(n); became.NeedsHost() && (!o.NeedsHost() || o.Apart && !became.Apart) {
			become[i], led = became, append(led, became)
		}
	}
	for _, o := range led {
		if err := o.clash(become, "leave out what gives the router, or the transit network, another way out"); err != nil {
			return fmt.Errorf("this would lead network %.12s out too: %w", o.ID, err)
		}
	}
	return nil
}

// beyond returns what becomes of the network's way out once the other one is there.
func (n Network) beyond(other Network) Network {
	switch {
	case n.NB != other.NB || n.IsTransit():
	case other.IsTransit():
		if n.Transit != nil && n.Transit.Switch == other.Switch() && other.LeadsOut() {
			to := *n.Transit
			to.Exit, to.External = other.Exit, exitAddress.Addr()
			n.Transit = &to
		}
	case n.Options.Router != "" && len(other.siblings([]Network{n})) > 0 && (other.Transit != nil || other.Uplink != nil):
		n.Transit, n.Uplink, n.Apart = other.Transit, other.Uplink, false
	}
	return n
}

// clash does so for this network alone, and says what to do about it.
func (n Network) clash(known []Network, instead string) error {
	if !n.NeedsHost() {
		return nil
	}
	for _, o := range known {
		if o.ID == n.ID || !o.NeedsHost() {
			continue
		}
		if n.Apart || o.Apart {
			continue
		}
		for _, s := range n.Subnets {
			if slices.ContainsFunc(o.Subnets, func(t Subnet) bool { return s.Pool.Overlaps(t.Pool) }) {
				return fmt.Errorf("subnet %s is also that of network %.12s, of %s, and this host cannot lead both out: %s", s.Pool, o.ID, tenantText(o.Options.TenantID), instead)
			}
		}
	}
	return nil
}

// behind is a subnet, and the router that it is behind.
type behind struct {
	subnet  netip.Prefix
	via     netip.Addr
	network string
}

// shared returns why subnets lead to nobody: they are behind two routers, as those of
// tenants may come to be by what is made on two hosts, neither of which knows all.
func shared(ways []behind) map[netip.Prefix]error {
	slices.SortFunc(ways, func(a, b behind) int {
		return cmp.Or(a.subnet.Compare(b.subnet), strings.Compare(a.network, b.network))
	})
	found := map[netip.Prefix]error{}
	for i, a := range ways {
		for _, b := range ways[i+1:] {
			if !a.subnet.Overlaps(b.subnet) {
				break // what is in a subnet follows it
			}
			if a.via == b.via {
				continue
			}
			why := fmt.Errorf("subnet %s of network %.12s meets %s of network %.12s, and this host cannot lead both out: it leads neither out until one of them is gone, or made again with another --subnet", a.subnet, a.network, b.subnet, b.network)
			for _, s := range []netip.Prefix{a.subnet, b.subnet} {
				if found[s] == nil {
					found[s] = why
				}
			}
		}
	}
	return found
}
