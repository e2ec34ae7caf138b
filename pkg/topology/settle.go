package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Settle returns the network with what follows from other networks and from
// the database: its gateway router, and its router's place on a transit network.
// Known are the other networks of this plugin. A transit network that is not
// there yet is no error: the router is attached once it is.
func (n Network) Settle(seen ovn.Seen, known []Network) (Network, error) {
	n.Database = seen.Database
	n = n.settleDHCP(seen).settleLeases(seen)
	switch {
	case n.IsTransit():
		n.GatewayRouter = n.gatewayName(seen)
		if asked := ovn.Router(n.Options.Router); asked != "" && asked != n.GatewayRouter {
			return n, fmt.Errorf("the transit network on logical switch %q has gateway router %q, not ovn.router %q: leave that option out, or use another ovn.switch", n.Switch(), n.GatewayRouter, asked)
		}
	case n.Options.Router != "":
		var err error
		if n, err = n.settleTransit(seen, known); err != nil {
			return n, err
		}
	}
	n, err := n.settleUplink(seen, known)
	if err != nil {
		return n, err
	}
	if n, err = n.settleApart(seen, known); err != nil {
		return n, err
	}
	return n.settleExit(seen)
}

// Mend settles a complete network again, and returns what of it is missing. What
// contradicts other networks, or what an administrator has made, is left out, with
// the reason: the rest is worth having all the same.
func (n Network) Mend(seen ovn.Seen, known []Network) (settled Network, missing plan.Plan, unsettled error) {
	settled, unsettled = n.Settle(seen, known)
	missing, err := settled.Plan(seen)
	if err != nil && settled.Transit != nil {
		unsettled = errors.Join(unsettled, err)
		without := settled
		without.Transit, without.Exit = nil, nil
		missing, err = without.Plan(seen)
		settled.Transit = n.Transit
	}
	return settled, missing, errors.Join(unsettled, err)
}

// gatewayName chooses the gateway router: the one that has the gateway address
// on the switch; the one that ovn.router names; lr-gateway, unless that is
// another transit network's.
func (n Network) gatewayName(seen ovn.Seen) ovn.Router {
	for _, s := range seen.Named(n.Switch()) {
		if name := s.ExternalIDs["gateway_router"]; name != "" {
			return ovn.Router(name)
		}
		if r := gatewayOn(seen, s, n.Gateways()); r != nil {
			return r.Name
		}
	}
	const usual = "lr-gateway"
	if n.Options.Router != "" {
		return ovn.Router(n.Options.Router)
	}
	if n.GatewayRouter != "" {
		return n.GatewayRouter
	}
	for _, row := range seen.RoutersNamed(usual) {
		if row.ExternalIDs["owner"] != Owner || row.ExternalIDs["transit"] != string(n.Switch()) {
			return ovn.Router(usual + "-" + strings.TrimPrefix(string(n.Switch()), "ls-transit-"))
		}
	}
	return usual
}

// gatewayOn returns the router that has one of the addresses on the switch.
func gatewayOn(seen ovn.Seen, s ovn.SwitchRow, addresses []netip.Prefix) *ovn.RouterRow {
	for i := range seen.Routers {
		for _, at := range places(seen, &seen.Routers[i]) {
			if at.on(s) && slices.ContainsFunc(at.port.Networks, func(p netip.Prefix) bool { return slices.Contains(addresses, p) }) {
				return &seen.Routers[i]
			}
		}
	}
	return nil
}

// wanted returns the transit network that the option names: by Docker's name,
// by the name in a file of the same Compose project, by its logical switch. Nil
// when there is none yet.
func (n Network) wanted(all []candidate) (*candidate, error) {
	name := n.Options.TransitNetwork
	if name == "" {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	// Before the network's own name is known, nor is whether Compose made it: then
	// only a name that comes first whatever that says is taken.
	known := n.Name != ""
	project, _, composed := strings.Cut(n.Compose, "/")
	for _, is := range []func(candidate) bool{
		func(c candidate) bool { return slices.Contains(c.names, name) },
		func(c candidate) bool { return composed && slices.Contains(c.composes, project+"/"+name) },
		func(c candidate) bool { return known && string(c.Switch) == name },
	} {
		var found, open []candidate
		for _, c := range all {
			if c.lives && c.Router != "" && len(c.Gateways) > 0 && is(c) {
				found = append(found, c)
				if c.Tenant == "" || c.Tenant == n.Options.TenantID {
					open = append(open, c)
				}
			}
		}
		if len(open) > 0 {
			found = open // those of other tenants may have any name
		}
		switch len(found) {
		case 0:
		case 1:
			return &found[0], nil
		default:
			return nil, fmt.Errorf("ovn.transit_network %q is the name of %d networks, on logical switches %q and %q: name the switch instead", name, len(found), found[0].Switch, found[1].Switch)
		}
	}
	return nil, nil //nolint:nilnil // that there is none is an answer
}

// settleTransit finds the transit network of the network's router.
func (n Network) settleTransit(seen ovn.Seen, known []Network) (Network, error) {
	all := n.candidates(seen, known)
	wanted, err := n.wanted(all)
	if err != nil {
		return n, err
	}
	if wanted != nil && wanted.Router == n.Router() {
		return n, fmt.Errorf("router %q is the gateway router of the transit network on logical switch %q, and needs no attachment: leave ovn.transit_network out, or use another ovn.router", n.Router(), wanted.Switch)
	}
	on, have := n.current(seen, known, all)
	switch {
	case wanted != nil && on != nil && wanted.Switch != on.Switch && on.lives && !n.alone(seen, known):
		return n, fmt.Errorf("router %q is on the transit network of logical switch %q, and ovn.transit_network %q is that of logical switch %q: a router has one, use another ovn.router",
			n.Router(), on.Switch, n.Options.TransitNetwork, wanted.Switch)
	case wanted != nil && (on == nil || wanted.Switch != on.Switch):
		on, have = wanted, place{}
	case on == nil && n.Transit != nil:
		on = &candidate{Attachment: *n.Transit}
	case on == nil:
		return n, nil
	}
	to := on.Attachment
	for _, other := range append(slices.Clone(known), n) {
		if len(to.Gateways) == 0 && other.Transit != nil && other.Transit.Switch == to.Switch {
			at := *other.Transit
			at.Addresses, at.Switch, at.Tenant = to.Addresses, to.Switch, to.Tenant
			to = at
		}
	}
	if len(to.Gateways) == 0 {
		return n, fmt.Errorf("attaching router %q: nothing tells the gateway address of the transit network on logical switch %q", n.Router(), to.Switch)
	}
	if to.Addresses, err = n.addressesOn(seen, *on, to, have); err != nil {
		return n, err
	}
	n.Transit = &to
	return n, nil
}

// siblings are the other networks of the same router.
func (n Network) siblings(known []Network) []Network {
	var all []Network
	for _, o := range known {
		if o.ID != n.ID && o.NB == n.NB && o.Options.Router == n.Options.Router && !o.IsTransit() {
			all = append(all, o)
		}
	}
	return all
}

// current returns the transit network that the router is on, whoever asked for it,
// and its place there; nil when it is on none.
func (n Network) current(seen ovn.Seen, known []Network, all []candidate) (*candidate, place) {
	for _, row := range seen.RoutersNamed(n.Router()) {
		for i := range all {
			if all[i].Router == n.Router() || all[i].Switch == n.Switch() {
				continue // its own
			}
			for _, s := range seen.Named(all[i].Switch) {
				at := on(seen, routerAt{name: row.Name, row: &row}, switchAt{name: s.Name, row: &s})
				if at.port != nil && all[i].holds(at.port.Networks) {
					return &all[i], at
				}
			}
		}
	}
	for _, other := range n.siblings(known) {
		if other.Transit != nil {
			return &candidate{Attachment: *other.Transit}, place{}
		}
	}
	return nil, place{}
}

// alone reports whether nobody else uses the router.
func (n Network) alone(seen ovn.Seen, known []Network) bool {
	if len(n.siblings(known)) > 0 {
		return false
	}
	for _, row := range seen.RoutersNamed(n.Router()) {
		if len(others(row.ExternalIDs, n.ID)) > 0 {
			return false
		}
		for _, at := range places(seen, &row) {
			if len(others(at.port.ExternalIDs, n.ID)) > 0 {
				return false
			}
		}
	}
	return true
}

// addressesOn returns the router's addresses on the transit network, one in each
// subnet: those that it has, those that it had, or free ones from the top.
func (n Network) addressesOn(seen ovn.Seen, on candidate, to Attachment, have place) ([]netip.Prefix, error) {
	taken := n.takenOn(seen, on, to)
	var all []netip.Prefix
	if have.port != nil {
		all = slices.Clone(have.port.Networks)
	}
	before := on.Addresses // of another network of this router
	if n.Transit != nil && n.Transit.Switch == to.Switch {
		before = n.Transit.Addresses
	}
	for _, g := range to.Gateways {
		in := func(p netip.Prefix) bool { return p.Masked() == g.Masked() }
		if slices.ContainsFunc(all, in) {
			continue
		}
		if i := slices.IndexFunc(before, in); i >= 0 && !taken[before[i].Addr()] {
			all = append(all, before[i])
			continue
		}
		a, err := ipam.FromTop(g.Masked(), func(a netip.Addr) bool { return taken[a] })
		if err != nil {
			return nil, fmt.Errorf("attaching router %q to the transit network of logical switch %q: %w", n.Router(), to.Switch, err)
		}
		all = append(all, netip.PrefixFrom(a, g.Bits()))
	}
	return all, nil
}

// takenOn returns the addresses of the transit network that the router must not
// be given.
func (n Network) takenOn(seen ovn.Seen, on candidate, to Attachment) map[netip.Addr]bool {
	taken := map[netip.Addr]bool{to.External: true}
	for _, a := range slices.Concat(on.avoid, seen.Taken[to.Switch]) {
		taken[a] = true
	}
	for _, g := range to.Gateways {
		taken[g.Addr()] = true
	}
	for i := range seen.Links {
		l := &seen.Links[i]
		if s := switchOf(seen, l); s == nil || s.Name != to.Switch {
			continue
		}
		for _, a := range ovn.Addresses(l.Addresses) {
			if l.Name == linkName(to.Switch, n.Router()) {
				delete(taken, a) // left over, of this router
			} else {
				taken[a] = true
			}
		}
		if p := seen.PortNamed(l.Peer); p != nil && l.Name != linkName(to.Switch, n.Router()) { // its link may just say "router"
			for _, a := range p.Networks {
				taken[a.Addr()] = true
			}
		}
	}
	return taken
}
