package topology

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Removal returns what takes the network out of OVN: its marks, and the rows of
// ours that nobody else has a mark on. A switch or router that holds what others
// made stays, as do those that a plugin did not make. It is one transaction,
// which fails when what goes has changed since it was seen.
func (n Network) Removal(seen ovn.Seen) plan.Plan {
	d := &dismantling{seen: seen, c: ovn.NewChange(n.NB), network: n.ID, user: userPrefix + n.ID}
	for _, row := range seen.Routers {
		for _, at := range places(seen, &row) {
			d.unusePort(row, at)
		}
		for _, route := range routes(seen, &row) {
			d.unuseRoute(row, route)
		}
		d.unuseRules(row)
		if _, used := row.ExternalIDs[d.user]; used {
			d.unmarkRouter = append(d.unmarkRouter, row)
		}
	}
	for _, row := range seen.Switches {
		for _, key := range []string{d.user, transitPrefix + n.ID, composePrefix + n.ID, providerPrefix + n.ID} {
			if _, used := row.ExternalIDs[key]; used && row.ExternalIDs["owner"] == Owner {
				d.unmarkSwitch(row, key)
			}
		}
		d.unlease(row)
	}
	for _, row := range n.dhcpRows(seen) {
		d.c.DHCPDelete(row)
	}
	d.finish()
	return d.c.Plan()
}

// dismantling puts together what goes; finish then deletes what that leaves
// without a user.
type dismantling struct {
	seen    ovn.Seen
	c       *ovn.Change
	network string // that goes, and its key
	user    string

	ports        map[string][]string        // router's UUID -> its ports that go
	routes       map[string][]string        // router's UUID -> its routes that go
	nats         map[string][]string        // router's UUID -> its NAT rules that go
	policies     map[string][]string        // router's UUID -> its policies that go
	links        map[string][]string        // switch's UUID -> its links that go
	unmarked     map[string]map[string]bool // switch's UUID -> keys that go
	unmarkRouter []ovn.RouterRow
	touched      map[string]bool // UUIDs of gateway routers that lose a user
}

func (d *dismantling) unmarkSwitch(s ovn.SwitchRow, key string) {
	if d.unmarked == nil {
		d.unmarked = map[string]map[string]bool{}
	}
	if d.unmarked[s.UUID] == nil {
		d.unmarked[s.UUID] = map[string]bool{}
	}
	d.unmarked[s.UUID][key] = true
}

func (d *dismantling) drop(of *map[string][]string, row, what string) {
	if *of == nil {
		*of = map[string][]string{}
	}
	if !slices.Contains((*of)[row], what) {
		(*of)[row] = append((*of)[row], what)
	}
}

// drops reports whether a row goes.
func (d *dismantling) drops(all map[string][]string, row string) bool {
	for _, some := range all {
		if slices.Contains(some, row) {
			return true
		}
	}
	return false
}

func (d *dismantling) touch(g ovn.RouterRow) {
	if d.touched == nil {
		d.touched = map[string]bool{}
	}
	d.touched[g.UUID] = true
}

// unusePort ends the network's use of a router's port.
func (d *dismantling) unusePort(r ovn.RouterRow, at place) {
	value, used := at.port.ExternalIDs[d.user]
	if !used || at.port.ExternalIDs["owner"] != Owner {
		return
	}
	rest := others(at.port.ExternalIDs, d.network)
	s := switchOf(d.seen, at.link)
	gateway := at.port.ExternalIDs["transit"] != ""
	switch {
	case gateway:
		d.touch(r)
	case len(rest) == 0:
		d.c.RouterPortStill(*at.port)
		if s != nil && isAttached(d.seen, r, *s) {
			d.detach(r, at, *s)
		} else {
			d.dropPort(r, at)
		}
		return
	}
	d.c.RouterPortStill(*at.port)
	d.c.Unmark("Logical_Router_Port", at.port.UUID, d.user, mtuPrefix+d.network)
	kept := map[string]bool{}
	for _, v := range rest {
		for _, a := range strings.Fields(v)[1:] {
			kept[a] = true
		}
	}
	mine := strings.Fields(value)
	networks := slices.DeleteFunc(slices.Clone(at.port.Networks), func(p netip.Prefix) bool {
		return slices.Contains(mine, p.String()) && !kept[p.String()] && (!gateway || !d.reached(s, at, p))
	})
	if len(networks) > 0 && len(networks) < len(at.port.Networks) {
		d.c.RouterPortNetworks(*at.port, at.link, networks)
	}
}

// reached reports whether another router on the switch has an address in the
// subnet.
func (d *dismantling) reached(s *ovn.SwitchRow, but place, subnet netip.Prefix) bool {
	if s == nil {
		return false
	}
	w := &wiring{seen: d.seen}
	return slices.ContainsFunc(w.neighbours(switchAt{name: s.Name, row: s}), func(n place) bool {
		return n.port.UUID != but.port.UUID && slices.ContainsFunc(n.port.Networks, subnet.Overlaps)
	})
}

func (d *dismantling) dropPort(r ovn.RouterRow, at place) {
	d.drop(&d.ports, r.UUID, at.port.UUID)
	if s := switchOf(d.seen, at.link); s != nil {
		d.drop(&d.links, s.UUID, at.link.UUID)
	}
}

// dropExit takes away a router's own way out through the host, and its place there
// unless that is the way in.
func (d *dismantling) dropExit(r ovn.RouterRow, at place, whole bool) {
	if whole {
		d.dropPort(r, at)
	}
	for _, route := range routes(d.seen, &r) {
		if route.ExternalIDs["owner"] == Owner && route.ExternalIDs["role"] == "host" {
			d.drop(&d.routes, r.UUID, route.UUID)
		}
	}
}

// detach takes a router off a transit network: its port, and the routes of both
// sides.
func (d *dismantling) detach(r ovn.RouterRow, at place, x ovn.SwitchRow) {
	d.dropPort(r, at)
	for _, route := range routes(d.seen, &r) {
		if route.ExternalIDs["owner"] == Owner && route.ExternalIDs["transit"] == string(x.Name) && route.ExternalIDs["router"] == "" && route.ExternalIDs["role"] == "" {
			d.drop(&d.routes, r.UUID, route.UUID)
		}
	}
	for i := range d.seen.Routers {
		g := d.seen.Routers[i]
		if !isGateway(d.seen, g, x) {
			continue
		}
		d.touch(g)
		for _, route := range routes(d.seen, &g) {
			if route.ExternalIDs["owner"] == Owner && route.ExternalIDs["router"] == string(r.Name) && route.ExternalIDs["transit"] == string(x.Name) {
				d.drop(&d.routes, g.UUID, route.UUID)
			}
		}
	}
}

// unuseRoute ends the network's use of a route. The way out of a transit network
// goes with its gateway router.
func (d *dismantling) unuseRoute(r ovn.RouterRow, route ovn.RouteRow) {
	if _, used := route.ExternalIDs[d.user]; !used || route.ExternalIDs["owner"] != Owner {
		return
	}
	if route.ExternalIDs["router"] != "" || route.ExternalIDs["role"] == external {
		d.touch(r)
	}
	d.c.RouteStill(route)
	if len(others(route.ExternalIDs, d.network)) == 0 && route.ExternalIDs["role"] != external {
		d.drop(&d.routes, r.UUID, route.UUID)
		return
	}
	d.c.Unmark("Logical_Router_Static_Route", route.UUID, d.user)
}

// unuseRules ends the network's use of NAT rules, policies and gateway chassis of a
// router. Those of a gateway router go with it.
func (d *dismantling) unuseRules(r ovn.RouterRow) {
	mine := func(ids map[string]string) bool { return ids["owner"] == Owner && ids[d.user] != "" }
	goes := func(ids map[string]string) bool {
		return len(others(ids, d.network)) == 0 && (ids["transit"] == "" || ids[fenceKey] != "")
	}
	for _, rule := range d.seen.NATsOf(r) {
		switch {
		case !mine(rule.ExternalIDs):
			continue
		case goes(rule.ExternalIDs):
			d.drop(&d.nats, r.UUID, rule.UUID)
		default:
			d.c.Unmark("NAT", rule.UUID, d.user)
		}
		d.c.NATStill(rule)
	}
	for _, p := range d.seen.PoliciesOf(r) {
		switch {
		case !mine(p.ExternalIDs):
			continue
		case goes(p.ExternalIDs):
			d.drop(&d.policies, r.UUID, p.UUID)
		default:
			d.c.Unmark("Logical_Router_Policy", p.UUID, d.user)
		}
		d.c.PolicyStill(p)
	}
	for _, port := range d.seen.PortsOf(r) {
		all := d.seen.ChassisOf(*port)
		for _, g := range all {
			last := !slices.ContainsFunc(all, func(o ovn.ChassisRow) bool { return len(others(o.ExternalIDs, d.network)) > 0 })
			switch {
			case !mine(g.ExternalIDs):
				continue
			case len(others(g.ExternalIDs, d.network)) == 0 && !last:
				d.c.ChassisDelete(*port, g.UUID)
			default:
				d.c.Unmark("Gateway_Chassis", g.UUID, d.user)
			}
			d.c.ChassisStill(g)
		}
	}
}

// finish deletes what has no user left, and takes what goes from what stays.
func (d *dismantling) finish() {
	gone := map[string]bool{} // UUIDs of routers that go
	for _, r := range d.unmarkRouter {
		if r.ExternalIDs["owner"] == Owner && len(others(r.ExternalIDs, d.network)) == 0 && d.empties(r) {
			d.delete(r, gone)
			continue
		}
		d.c.RouterMarks(r)
		d.c.Unmark("Logical_Router", r.UUID, d.user)
	}
	for i := range d.seen.Routers {
		if d.touched[d.seen.Routers[i].UUID] {
			d.finishGateway(d.seen.Routers[i], gone)
		}
	}
	for _, s := range d.seen.Switches {
		d.finishSwitch(s)
	}
	for _, r := range d.seen.Routers {
		if !gone[r.UUID] {
			d.c.RouterPortsDelete(r, d.ports[r.UUID]...)
			d.c.RoutesDelete(r, d.routes[r.UUID]...)
			d.c.NATsDelete(r, d.nats[r.UUID]...)
			d.c.PoliciesDelete(r, d.policies[r.UUID]...)
		}
	}
}

func (d *dismantling) delete(r ovn.RouterRow, gone map[string]bool) {
	d.c.RouterStill(r)
	d.c.RouterDelete(r)
	gone[r.UUID] = true
}

// empties reports whether a router has nothing but what goes, or goes with it: rules
// of ours.
func (d *dismantling) empties(r ovn.RouterRow) bool {
	foreign := slices.ContainsFunc(d.seen.NATsOf(r), func(n ovn.NATRow) bool { return n.ExternalIDs["owner"] != Owner }) ||
		slices.ContainsFunc(d.seen.PoliciesOf(r), func(p ovn.PolicyRow) bool { return p.ExternalIDs["owner"] != Owner })
	return !r.More && !foreign && within(r.Ports, d.ports[r.UUID]) && within(r.Routes, d.routes[r.UUID])
}

func within(all, some []string) bool {
	return !slices.ContainsFunc(all, func(x string) bool { return !slices.Contains(some, x) })
}

// left reports whether the switch keeps a key of one of the kinds.
func (d *dismantling) left(s ovn.SwitchRow, prefixes ...string) bool {
	for key := range s.ExternalIDs {
		if !d.unmarked[s.UUID][key] && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			return true
		}
	}
	return false
}

// finishSwitch deletes a switch that nobody uses any more.
func (d *dismantling) finishSwitch(s ovn.SwitchRow) {
	if len(d.unmarked[s.UUID]) == 0 && len(d.links[s.UUID]) == 0 {
		return
	}
	ours := s.ExternalIDs["owner"] == Owner
	goes := d.links[s.UUID]
	if l := d.seen.LocalnetOf(s); l != nil && l.Name == localnetName(s.Name) {
		goes = append(slices.Clone(goes), l.UUID)
	}
	if s.Name == JoinSwitch {
		goes = slices.Clone(goes)
		for _, p := range d.seen.Localports {
			goes = append(goes, p.UUID)
		}
	}
	if ours && !d.left(s, userPrefix, transitPrefix) && within(s.Ports, goes) {
		d.c.SwitchStill(s)
		d.c.SwitchDelete(s)
		return
	}
	d.c.PortsDelete(s, d.links[s.UUID]...)
	keys := slices.Sorted(maps.Keys(d.unmarked[s.UUID]))
	if !ours { // only leases are marked on others'
		keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, leasePrefix) })
	}
	if ours || len(keys) > 0 {
		d.c.SwitchMarks(s)
		d.c.Unmark("Logical_Switch", s.UUID, keys...)
	}
}
