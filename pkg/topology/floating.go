package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// dnatAndSNAT is the type of a NAT rule that gives an address its own outside.
const dnatAndSNAT = "dnat_and_snat"

// floatsOn returns the router that has the network's place on a provider network,
// and that place; false when there is none.
func (n Network) floatsOn() (ovn.Router, Uplink, bool) {
	switch {
	case n.Uplink != nil:
		return n.Router(), *n.Uplink, true
	case n.Transit != nil && n.Transit.Uplink != nil && !n.Internal:
		return n.Transit.Router, *n.Transit.Uplink, true
	}
	return "", Uplink{}, false
}

// Floatable refuses a floating address that no endpoint of the network can have.
func (n Network) Floatable(a netip.Addr) error {
	_, u, ok := n.floatsOn()
	switch {
	case !ok:
		return fmt.Errorf("ovn.floating_ip %q: the network does not lead out through a provider network: create it, or its transit network, with ovn.nat=ADDRESS", a)
	case !u.Address.Masked().Contains(a):
		return fmt.Errorf("ovn.floating_ip %q is not in %s, the subnet of the provider network on logical switch %q", a, u.Address.Masked(), u.Switch)
	case a == u.Address.Addr() || a == u.NextHop:
		return fmt.Errorf("ovn.floating_ip %q is the router's own address, or that of the provider network's gateway: choose another one", a)
	}
	return nil
}

// FloatsAt returns the switch of the provider network, if it is there: a floating
// address must be none of a container's on it.
func (n Network) FloatsAt(seen ovn.Seen) *ovn.SwitchRow {
	if _, u, ok := n.floatsOn(); ok {
		for _, s := range seen.Named(u.Switch) {
			return &s
		}
	}
	return nil
}

// Float returns what gives the endpoint its floating address; empty when it has it.
func (n Network) Float(e Endpoint, seen ovn.Seen) (plan.Plan, error) {
	if !e.FloatingIP.IsValid() {
		return plan.Plan{}, nil
	}
	if err := n.Floatable(e.FloatingIP); err != nil {
		return plan.Plan{}, err
	}
	name, u, _ := n.floatsOn()
	i := slices.IndexFunc(e.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() })
	if i < 0 {
		return plan.Plan{}, fmt.Errorf("ovn.floating_ip %q: the endpoint has no IPv4 address", e.FloatingIP)
	}
	w := &wiring{n: n, seen: seen, c: ovn.NewChange(n.NB)}
	for _, rule := range seen.NATs {
		switch {
		case rule.External != e.FloatingIP.String():
		case rule.ExternalIDs["endpoint_id"] == e.ID:
			w.markHost(rule)
			return w.c.Plan(), nil
		default:
			return plan.Plan{}, fmt.Errorf("ovn.floating_ip %q is in use already, for %s (endpoint %.12s): choose another one", e.FloatingIP, rule.Logical, rule.ExternalIDs["endpoint_id"])
		}
	}
	if slices.Contains(seen.Taken[u.Switch], e.FloatingIP) {
		return plan.Plan{}, fmt.Errorf("ovn.floating_ip %q is the address of a container on logical switch %q: choose another one", e.FloatingIP, u.Switch)
	}
	rows := seen.RoutersNamed(name)
	if len(rows) != 1 {
		return plan.Plan{}, fmt.Errorf("ovn.floating_ip %q: %w %q", e.FloatingIP, ErrNoRouter, name)
	}
	w.c.NoNAT(e.FloatingIP)
	w.c.RouterNATs(rows[0])
	w.c.NATInsert(ovn.At(rows[0].UUID), dnatAndSNAT, e.FloatingIP, e.Addresses[i].Addr().String(), w.used("host", n.Host, "network_id", n.ID, "endpoint_id", e.ID))
	return w.c.Plan(), nil
}

// Unfloat returns what takes floating addresses, and those outside, from the endpoint.
func Unfloat(nb, endpoint string, seen ovn.Seen) plan.Plan {
	c := ovn.NewChange(nb)
	for _, r := range seen.Routers {
		for _, rule := range seen.NATsOf(r) {
			if _, of := OutsideOf(rule); of == endpoint || Floating(rule) == endpoint {
				c.NATsDelete(r, rule.UUID)
			}
		}
	}
	return c.Plan()
}

// Floating returns the endpoint whose floating address the rule is for; "" for any
// other rule.
func Floating(rule ovn.NATRow) string {
	if rule.ExternalIDs["owner"] != Owner || rule.Type != dnatAndSNAT {
		return ""
	}
	if _, of := OutsideOf(rule); of != "" {
		return ""
	}
	return rule.ExternalIDs["endpoint_id"]
}
