package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// external marks, as external_ids:role, the default route of a gateway router.
// It stays while routers are attached, whatever becomes of the Docker network.
const external = "external"

// transit sees to the gateway router of a transit network.
func (w *wiring) transit(s switchAt) error {
	n := w.n
	g, err := w.gatewayRouter(n.GatewayRouter, s)
	if err != nil {
		return err
	}
	marks := w.mtuMark(w.uses(n.Gateways()))
	marks["transit"] = string(s.name)
	if err := w.connect(g, s, n.Gateways(), marks); err != nil {
		return err
	}
	if len(n.Exit) > 0 {
		marks := w.uses(n.Exit)
		if n.LeadsOut() { // also for the routers that are attached
			marks["transit"] = string(s.name)
		}
		if n.Options.NoNAT {
			marks["nat"] = options.NATNone
		}
		if err := w.meet(g, n.Exit, marks); err != nil {
			return err
		}
	}
	if n.Uplink != nil {
		if err := w.uplink(g, *n.Uplink, w.uses([]netip.Prefix{n.Uplink.Address}), w.used("transit", string(s.name))); err != nil {
			return err
		}
	}
	return w.external(g, s.name)
}

// gatewayRouter sees to the router of that name. It goes with the last that uses
// the transit network.
func (w *wiring) gatewayRouter(name ovn.Router, s switchAt) (routerAt, error) {
	row, err := w.onlyRouter(name)
	switch {
	case err != nil:
		return routerAt{}, err
	case row == nil:
		w.c.None("Logical_Router", string(name))
		return routerAt{name: name, ref: w.c.RouterInsert(name, w.row("transit", string(s.name)))}, nil
	case row.ExternalIDs["owner"] == Owner && row.ExternalIDs["transit"] != string(s.name):
		return routerAt{}, fmt.Errorf("router %q is another network's, and cannot be the gateway of logical switch %q: choose another name with ovn.router", name, s.name)
	}
	w.c.There("Logical_Router", row.UUID, string(name))
	return routerAt{name: name, ref: ovn.At(row.UUID), row: row}, nil
}

// external sees to the way out of a transit network, a next hop on it, and that
// there is none that an earlier one had.
func (w *wiring) external(g routerAt, s ovn.Switch) error {
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if err := w.externalOf(family, g, s); err != nil {
			return err
		}
	}
	return nil
}

// hops are the next hops by which a gateway router leads out, one of each family: to
// the host where both do that.
func hops(next netip.Addr, exit []netip.Prefix) []netip.Addr {
	switch {
	case !next.IsValid():
		return nil
	case next != exitAddress.Addr():
		return []netip.Addr{next}
	}
	var all []netip.Addr
	for _, a := range exit {
		all = append(all, hostOn(a.Addr()).Addr())
	}
	return all
}

func (w *wiring) externalOf(family netip.Addr, g routerAt, s ovn.Switch) error {
	var next netip.Addr
	for _, a := range hops(w.n.wayOut(), w.n.Exit) {
		if a.Is4() == family.Is4() {
			next = a
		}
	}
	for _, have := range routes(w.seen, g.row) {
		if have.ExternalIDs["owner"] != Owner || have.ExternalIDs["role"] != external || have.Prefix != anywhere(family).String() {
			continue
		}
		if at := have.ExternalIDs["transit"]; at != string(s) {
			if next.IsValid() {
				return fmt.Errorf("router %q leads out of the transit network on logical switch %q already: use another ovn.router, or leave ovn.external_gateway out", g.name, at)
			}
			continue
		}
		if have.NextHop == next.String() {
			continue
		}
		for id := range users(have.ExternalIDs, userPrefix) {
			if id != w.n.ID && next.IsValid() {
				return fmt.Errorf("ovn.external_gateway %q contradicts that of network %.12s on logical switch %q, which is %q: one transit network has one", next, id, s, have.NextHop)
			}
			if id != w.n.ID {
				return nil
			}
		}
		w.c.RouteStill(have)
		w.c.RoutesDelete(*g.row, have.UUID)
	}
	if next.IsValid() {
		w.wayOut(g, s, next, true)
	}
	return nil
}

// wayOut sees to the gateway router's route to the next hop, unless an
// administrator has made it a default route.
func (w *wiring) wayOut(g routerAt, s ovn.Switch, next netip.Addr, mark bool) {
	var have *ovn.RouteRow
	for _, row := range routes(w.seen, g.row) {
		if row.Prefix == anywhere(next).String() && (row.ExternalIDs["owner"] != Owner || row.NextHop == next.String()) {
			have = &row
		}
	}
	ids := []string{"role", external, "transit", string(s)}
	if mark {
		ids = append(ids, w.user(), w.n.Instance)
	}
	switch {
	case have == nil:
		w.addRoute(g, anywhere(next), next, w.row(ids...))
	case have.ExternalIDs["owner"] == Owner && mark:
		w.markRoute(*have)
	}
}

// anywhere is the default route's prefix, in the family of the next hop.
func anywhere(next netip.Addr) netip.Prefix {
	if next.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// routes are the static routes of the router's main table.
func routes(seen ovn.Seen, r *ovn.RouterRow) []ovn.RouteRow {
	if r == nil {
		return nil
	}
	return seen.RoutesOf(*r)
}

// addRoute makes a route, if the router has the routes that were seen.
func (w *wiring) addRoute(r routerAt, prefix netip.Prefix, next netip.Addr, row map[string]string) {
	if r.row != nil {
		w.c.RouterRoutes(*r.row)
	}
	w.c.RouteInsert(r.ref, prefix, next, row)
}

func (w *wiring) markRoute(row ovn.RouteRow) {
	if lacking := lacks(row.ExternalIDs, map[string]string{w.user(): w.n.Instance}); len(lacking) > 0 {
		w.c.RouteStill(row)
		w.c.Mark("Logical_Router_Static_Route", row.UUID, lacking)
	}
}

// attach sees to the router's place on the transit network, and to the routes of
// both sides.
func (w *wiring) attach(r routerAt, to Attachment) error {
	if to.Tenant != "" && to.Tenant != w.n.Options.TenantID {
		return fmt.Errorf("the transit network on logical switch %q belongs to %s, and this network to %s: use another ovn.transit_network", to.Switch, tenantText(to.Tenant), tenantText(w.n.Options.TenantID))
	}
	if to.Switch == w.n.Switch() {
		return fmt.Errorf("logical switch %q is that of the transit network itself, where router %q would have two places: use another ovn.switch", to.Switch, r.name)
	}
	w.leave(r, to.Switch)
	x, g, err := w.join(to)
	if err != nil {
		return err
	}
	have := on(w.seen, r, x).port
	if x.row != nil && (have == nil || !within(texts(to.Addresses), texts(have.Networks))) {
		w.c.SwitchPorts(*x.row) // an address is free as long as no port is added
	}
	if err := w.connect(r, x, to.Addresses, w.uses(to.Addresses)); err != nil {
		return err
	}
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		gateway, address, ok := to.through(family)
		if !ok {
			continue // the transit network does not have it
		}
		if err := w.defaultRoute(r, to, gateway, have != nil); err != nil {
			return err
		}
		for _, subnet := range w.n.Subnets {
			if subnet.Pool.Addr().Is4() != family.Is4() {
				continue
			}
			if err := w.returnRoute(r, g, to, subnet.Pool, address); err != nil {
				return err
			}
		}
	}
	if to.leadsElsewhere() {
		w.fence(g, w.insideOf(g, to), string(to.Switch))
	}
	return nil
}

// join sees to the transit network's objects, which may have lost their Docker
// network.
func (w *wiring) join(to Attachment) (switchAt, routerAt, error) {
	row, err := w.onlySwitch(to.Switch)
	if err != nil {
		return switchAt{}, routerAt{}, err
	}
	x := switchAt{name: to.Switch, row: row}
	if row == nil {
		made := ids("instance", w.n.Instance, "host", w.n.Host, "tenant_id", to.Tenant, "vlan", to.VLAN, "role", "transit", "gateway_router", string(to.Router))
		w.c.None("Logical_Switch", string(x.name))
		x.ref = w.c.SwitchInsert(x.name, made)
	} else {
		x.ref = ovn.At(row.UUID)
		marks := map[string]string{"role": "transit"}
		if row.ExternalIDs["gateway_router"] == "" {
			marks["gateway_router"] = string(to.Router)
		}
		w.markSwitch(x, marks)
	}
	g, err := w.gatewayRouter(to.Router, x)
	if err != nil {
		return x, g, err
	}
	if err := w.connect(g, x, to.Gateways, map[string]string{"transit": string(x.name)}); err != nil {
		return x, g, err
	}
	if len(to.Exit) > 0 {
		if err := w.meet(g, to.Exit, map[string]string{"transit": string(x.name)}); err != nil {
			return x, g, err
		}
	}
	if to.Uplink != nil {
		if err := w.uplink(g, *to.Uplink, nil, w.row("transit", string(x.name))); err != nil {
			return x, g, err
		}
	}
	for _, next := range hops(to.External, to.Exit) {
		w.wayOut(g, x.name, next, false)
	}
	return x, g, nil
}

// defaultRoute has the router send what it does not know to the gateway router.
// A router that an administrator has given another one would reach no other
// router: it is not attached, or, later, left as it is.
func (w *wiring) defaultRoute(r routerAt, to Attachment, gateway netip.Addr, is bool) error {
	var ours, other *ovn.RouteRow
	for _, row := range routes(w.seen, r.row) {
		switch {
		case row.Prefix != anywhere(gateway).String():
		case row.ExternalIDs["owner"] == Owner:
			ours = &row
		default:
			other = &row
		}
	}
	switch {
	case ours != nil:
		w.markRoute(*ours)
		if ours.NextHop != gateway.String() {
			w.c.RouteNextHop(*ours, gateway)
		}
	case other == nil:
		w.addRoute(r, anywhere(gateway), gateway, w.row("transit", string(to.Switch), w.user(), w.n.Instance))
	case !is:
		return fmt.Errorf("router %q has a default route of its own, to %s, and cannot be attached to the transit network of logical switch %q: remove that route (ovn-nbctl lr-route-del), or use another router", r.name, other.NextHop, to.Switch)
	}
	return nil
}

// returnRoute leads from the gateway router back to a subnet.
func (w *wiring) returnRoute(r, g routerAt, to Attachment, subnet netip.Prefix, next netip.Addr) error {
	for _, gateway := range to.Gateways {
		if gateway.Overlaps(subnet) {
			return fmt.Errorf("subnet %s of router %q overlaps %s of the transit network on logical switch %q: choose another subnet", subnet, r.name, gateway.Masked(), to.Switch)
		}
	}
	for _, row := range routes(w.seen, g.row) {
		prefix, err := netip.ParsePrefix(row.Prefix)
		if err != nil || prefix.Bits() == 0 || !prefix.Overlaps(subnet) {
			continue
		}
		ours := row.ExternalIDs["owner"] == Owner
		switch other := row.ExternalIDs["router"]; {
		case ours && row.ExternalIDs["transit"] != string(to.Switch):
			return fmt.Errorf("subnet %s of router %q overlaps %s of router %q, which has the same gateway router %q: choose another subnet", subnet, r.name, prefix, other, g.name)
		case ours && other != string(r.name):
			return fmt.Errorf("subnet %s of router %q overlaps %s of router %q, and both are on the transit network of logical switch %q: choose another subnet, or another ovn.transit_network",
				subnet, r.name, prefix, other, to.Switch)
		case prefix != subnet:
			continue // an administrator's, or of another network of this router
		case ours && row.NextHop != next.String():
			w.markRoute(row)
			w.c.RouteNextHop(row, next)
			return nil
		case ours:
			w.markRoute(row)
			return nil
		default:
			return nil
		}
	}
	w.addRoute(g, subnet, next, w.row("router", string(r.name), "transit", string(to.Switch), w.user(), w.n.Instance))
	return nil
}

// leave takes the router off the transit networks that it was on before.
func (w *wiring) leave(r routerAt, but ovn.Switch) {
	if r.row == nil {
		return
	}
	d := &dismantling{seen: w.seen, c: w.c}
	for _, at := range places(w.seen, r.row) {
		s := switchOf(w.seen, at.link)
		if s != nil && s.Name == JoinSwitch && at.port.ExternalIDs["owner"] == Owner && at.port.ExternalIDs["transit"] == "" {
			wayIn := w.n.LeadsIn() || w.n.Internal && w.n.Transit.leadsElsewhere() && len(others(at.port.ExternalIDs, w.n.ID)) > 0
			d.dropExit(*r.row, at, !wayIn)
			continue
		}
		if s != nil && s.Name != but && s.Name != w.n.Switch() && at.port.ExternalIDs["owner"] == Owner && at.port.ExternalIDs["transit"] == "" && isAttached(w.seen, *r.row, *s) {
			d.detach(*r.row, at, *s)
		}
	}
	if len(d.ports)+len(d.routes) == 0 {
		return
	}
	d.finish()
	// What goes is nothing to build on.
	w.seen = w.seen.Without(func(id string) bool { return d.drops(d.ports, id) || d.drops(d.links, id) || d.drops(d.routes, id) })
}

// isAttached reports whether the router's place on the switch is one on a transit
// network.
func isAttached(seen ovn.Seen, r ovn.RouterRow, s ovn.SwitchRow) bool {
	return s.ExternalIDs["role"] == "transit" || slices.ContainsFunc(routes(seen, &r), func(row ovn.RouteRow) bool {
		ids := row.ExternalIDs
		return ids["owner"] == Owner && ids["transit"] == string(s.Name) && ids["router"] == "" && ids["role"] == ""
	})
}

// switchOf returns the switch that the link is on, if it was seen.
func switchOf(seen ovn.Seen, l *ovn.LinkRow) *ovn.SwitchRow {
	if l == nil {
		return nil
	}
	return seen.SwitchOf(*l)
}
