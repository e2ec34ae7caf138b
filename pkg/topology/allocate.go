package topology

import (
	"fmt"
	"net/netip"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Allocates reports whether OVN chooses the addresses of the network's endpoints.
func (n Network) Allocates() bool { return n.Options.IPAM == options.IPAMOVN }

// WithOwnSubnet returns the network with the subnet of its options, which Docker
// does not know of: one that it knows is of an IPAM driver that gives addresses too.
func (n Network) WithOwnSubnet() (Network, error) {
	if !n.Allocates() {
		return n, nil
	}
	p := n.Options.Subnet
	if len(n.Subnets) > 0 {
		return n, fmt.Errorf("ipam=ovn has OVN choose addresses in %s, and Docker's IPAM driver would too: create the network with --ipam-driver null, and without --subnet", p)
	}
	n.Subnets = []Subnet{{Pool: p, Gateway: p.Addr().Next()}}
	return n, nil
}

// allocates sees to the subnet of the network's switch.
func (w *wiring) allocates(s switchAt) error {
	if !w.n.Allocates() {
		return nil
	}
	subnet := w.n.Options.Subnet
	switch {
	case s.row == nil:
		w.c.SwitchSubnet(s.ref, subnet)
	case s.row.Subnet == "" && s.row.ExternalIDs["owner"] != Owner:
		return fmt.Errorf("ovn.subnet %q: logical switch %q was not made by this plugin, and has none: set it (ovn-nbctl set Logical_Switch %s other_config:subnet=%s), or use another ovn.switch", subnet, s.name, s.name, subnet)
	case s.row.Subnet == "":
		w.c.SwitchConfig(*s.row)
		w.c.SwitchSubnet(s.ref, subnet)
	case s.row.Subnet != subnet.String():
		return fmt.Errorf("ovn.subnet %q: logical switch %q has %q, and one switch has one: use that, or another ovn.switch", subnet, s.name, s.row.Subnet)
	}
	return nil
}

// Ask returns what has OVN choose an address for the endpoint.
func (e Endpoint) Ask(n Network) plan.Plan {
	p := e.SwitchPort()
	return plan.New(plan.Step{Target: ovn.Northbound(n.NB), Ops: []plan.Op{
		ovn.SwitchPortAdd(n.Switch(), p), ovn.SwitchPortDynamic(p, e.MAC), ovn.SwitchPortSet(p, e.marks(n)),
	}})
}

// At returns the endpoint with an address that OVN has chosen, and with the MAC address
// that follows from it, unless somebody asked for another one: neighbours know the
// former owner of the address by that.
func (e Endpoint) At(a netip.Prefix) Endpoint {
	if e.MAC == MAC(e.Addresses, e.ID) {
		e.MAC = MAC([]netip.Prefix{a}, e.ID)
	}
	e.Addresses = []netip.Prefix{a}
	return e
}

// Given returns an address that OVN has chosen, with the length of its subnet.
func (n Network) Given(all []netip.Addr) (netip.Prefix, bool) {
	for _, a := range all {
		if n.Options.Subnet.Contains(a) {
			return netip.PrefixFrom(a, n.Options.Subnet.Bits()), true
		}
	}
	return netip.Prefix{}, false
}
