package topology

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// Uplink is a router's place on a provider network, through which it leads out
// with OVN's own NAT. It is all that is needed to make it again: the provider
// network's own Docker network may be gone.
type Uplink struct {
	Switch   ovn.Switch   `json:"switch"`
	Physical string       `json:"physical_network"`
	VLAN     string       `json:"vlan,omitempty"`
	Tenant   string       `json:"tenant_id,omitempty"`
	Address  netip.Prefix `json:"address"`  // the router's, and of all that leaves
	NextHop  netip.Addr   `json:"next_hop"` // the provider network's gateway
}

// ErrNoRouter is why a floating address has to wait: the router is being made again.
var ErrNoRouter = errors.New("there is no router")

const (
	// uplinkKey marks the port and the route of an uplink, with the name of the switch
	// that it is on.
	uplinkKey = "uplink"
	// firstChassis is the priority of the first gateway chassis; each that comes
	// later takes over from those before it.
	firstChassis = 100
)

// settleUplink finds the provider network that the network's router leads out
// through: the one with the address that ovn.nat asks for, or the one that the
// router leads out through already. One that has been settled stays.
func (n Network) settleUplink(seen ovn.Seen, known []Network) (Network, error) {
	address := n.Options.SNAT
	if n.Internal || !n.Routed() || n.Options.TransitNetwork != "" || n.Transit != nil {
		n.Uplink = nil
		return n, nil
	}
	have := n.uplinkOf(seen, known)
	switch {
	case have == nil && !address.IsValid():
		n.Uplink = nil
		return n, nil
	case have == nil || address.IsValid() && have.Address.Addr() != address && n.aloneOut(seen, known):
	case address.IsValid() && have.Address.Addr() != address:
		return n, fmt.Errorf("ovn.nat %q contradicts that of router %q, which leads out with %q: a router has one", address, n.Router(), have.Address.Addr())
	case n.Options.NoNAT:
		return n, fmt.Errorf("ovn.nat %q contradicts that of router %q, which leads out with %q: use another ovn.router", n.Options.NAT(), n.Router(), have.Address.Addr())
	default:
		n.Uplink = have
		return n, nil
	}
	if n.Uplink != nil && n.Uplink.Address.Addr() == address {
		return n, nil
	}
	for _, other := range n.beside(known) {
		if other.LeadsOut() {
			return n, fmt.Errorf("ovn.nat %q: router %q leads out through the host for network %.12s: give that network the same ovn.nat, or use another ovn.router", address, n.Router(), other.ID)
		}
	}
	for _, s := range seen.Switches {
		if s.ExternalIDs["role"] != "provider" || s.ExternalIDs["owner"] != Owner {
			continue
		}
		for _, out := range ways(s) {
			switch {
			case !out.subnet.Contains(address):
				continue
			case out.gateway == address:
				return n, fmt.Errorf("ovn.nat %q is the gateway of the network on physical network %q: choose an address that is free there", address, s.ExternalIDs["physical_network"])
			}
			if tenant := s.ExternalIDs["tenant_id"]; tenant != "" && tenant != n.Options.TenantID {
				return n, fmt.Errorf("ovn.nat %q is on logical switch %q, which belongs to %s, and this network to %s", address, s.Name, tenantText(tenant), tenantText(n.Options.TenantID))
			}
			n.Uplink = &Uplink{
				Switch: s.Name, Physical: s.ExternalIDs["physical_network"], VLAN: s.ExternalIDs["vlan"], Tenant: s.ExternalIDs["tenant_id"],
				Address: netip.PrefixFrom(address, out.subnet.Bits()), NextHop: out.gateway,
			}
			return n, nil
		}
	}
	return n, fmt.Errorf("ovn.nat %q is in no subnet of a network with ovn.physical_network and a gateway: create that network first", address)
}

// beside are the other networks of the router.
func (n Network) beside(known []Network) []Network {
	if !n.IsTransit() {
		return n.siblings(known)
	}
	return slices.DeleteFunc(slices.Clone(known), func(o Network) bool {
		return o.ID == n.ID || o.NB != n.NB || !o.IsTransit() || o.GatewayRouter != n.GatewayRouter
	})
}

// aloneOut reports whether no other network uses the router's place on a provider
// network.
func (n Network) aloneOut(seen ovn.Seen, known []Network) bool {
	if slices.ContainsFunc(n.beside(known), func(o Network) bool { return o.Uplink != nil }) {
		return false
	}
	for _, r := range seen.RoutersNamed(n.Router()) {
		for _, at := range places(seen, &r) {
			if at.port.ExternalIDs[uplinkKey] != "" && len(others(at.port.ExternalIDs, n.ID)) > 0 {
				return false
			}
		}
	}
	return true
}

// uplinkOf returns the way out, through a provider network, that the network's
// router has, whoever asked for it; nil when it has none.
func (n Network) uplinkOf(seen ovn.Seen, known []Network) *Uplink {
	for _, other := range n.beside(known) {
		if other.Uplink != nil {
			return other.Uplink
		}
	}
	for _, r := range seen.RoutersNamed(n.Router()) {
		if u := uplinkAt(seen, &r); u != nil {
			return u
		}
	}
	return nil
}

// uplinkAt returns what a router's rows say of its place on a provider network; nil
// when it has none.
func uplinkAt(seen ovn.Seen, r *ovn.RouterRow) *Uplink {
	for _, at := range places(seen, r) {
		s := switchOf(seen, at.link)
		if s == nil || at.port.ExternalIDs[uplinkKey] == "" || at.port.ExternalIDs["owner"] != Owner || len(at.port.Networks) == 0 {
			continue
		}
		ids := s.ExternalIDs
		u := Uplink{Switch: s.Name, Physical: ids["physical_network"], VLAN: ids["vlan"], Tenant: ids["tenant_id"], Address: at.port.Networks[0]}
		for _, row := range routes(seen, r) {
			if row.ExternalIDs["owner"] == Owner && (row.ExternalIDs[uplinkKey] != "" || row.ExternalIDs["role"] == external) {
				u.NextHop, _ = netip.ParseAddr(row.NextHop)
			}
		}
		if u.NextHop.IsValid() {
			return &u
		}
	}
	return nil
}

// uplinks are the places on provider networks that the network needs.
func (n Network) uplinks() []Uplink {
	var all []Uplink
	if n.Uplink != nil {
		all = append(all, *n.Uplink)
	}
	if n.Transit != nil && n.Transit.Uplink != nil {
		all = append(all, *n.Transit.Uplink)
	}
	return all
}

// throughProvider has the router lead out through a provider network, and the host
// lead in to it.
func (w *wiring) throughProvider(r routerAt) error {
	u := *w.n.Uplink
	if err := w.uplink(r, u, w.uses([]netip.Prefix{u.Address}), w.used()); err != nil {
		return err
	}
	if err := w.uplinkRoute(r, u); err != nil {
		return err
	}
	w.fence(r, w.beside(r), "")
	if len(w.n.Exit) == 0 {
		return nil
	}
	return w.meet(r, w.n.Exit, w.uses(w.n.Exit))
}

// leadsOut reports whether the router leads out through a provider network, for
// whatever network.
func (w *wiring) leadsOut(r routerAt) bool {
	return slices.ContainsFunc(places(w.seen, r.row), func(at place) bool {
		return at.port.ExternalIDs["owner"] == Owner && at.port.ExternalIDs[uplinkKey] != ""
	})
}

// uplinkRoute sees to the default route of a router that is no gateway router.
func (w *wiring) uplinkRoute(r routerAt, u Uplink) error {
	for _, row := range routes(w.seen, r.row) {
		switch {
		case row.Prefix != anywhere(u.NextHop).String():
		case row.ExternalIDs["owner"] != Owner:
			return fmt.Errorf("router %q has a default route of its own, to %s, and cannot lead out with ovn.nat %q: remove that route (ovn-nbctl lr-route-del), or use another router", r.name, row.NextHop, u.Address.Addr())
		case row.ExternalIDs[uplinkKey] == "":
			w.c.RouteStill(row)
			w.c.RoutesDelete(*r.row, row.UUID)
		case row.NextHop != u.NextHop.String():
			w.markRoute(row)
			w.c.RouteNextHop(row, u.NextHop)
			return nil
		default:
			w.markRoute(row)
			return nil
		}
	}
	w.addRoute(r, anywhere(u.NextHop), u.NextHop, w.used(uplinkKey, string(u.Switch)))
	return nil
}

// uplink sees to the router's place on the provider network, with its NAT and the
// chassis that may have it. Uses are the marks of its port, marks those of the
// other rows, when they are made.
func (w *wiring) uplink(r routerAt, u Uplink, uses, marks map[string]string) error {
	row, err := w.onlySwitch(u.Switch)
	if err != nil {
		return err
	}
	w.forsake(r, u)
	vlan, _ := strconv.Atoi(u.VLAN)
	s := switchAt{name: u.Switch, row: row}
	if row == nil {
		w.c.None("Logical_Switch", string(s.name))
		s.ref = w.c.SwitchInsert(s.name, ids("instance", w.n.Instance, "host", w.n.Host, "tenant_id", u.Tenant, "vlan", u.VLAN, "role", "provider", "physical_network", u.Physical))
	} else {
		s.ref = ovn.At(row.UUID)
	}
	if err := w.localnet(s, u.Physical, vlan); err != nil {
		return err
	}
	have := on(w.seen, r, s).port
	if have == nil && slices.Contains(w.seen.Taken[u.Switch], u.Address.Addr()) {
		return fmt.Errorf("ovn.nat %q is the address of a container on logical switch %q: choose another one", u.Address.Addr(), u.Switch)
	}
	if have == nil && row != nil {
		w.c.SwitchPorts(*row) // an address is free as long as no port is added
	}
	all := map[string]string{uplinkKey: string(u.Switch)}
	maps.Copy(all, uses)
	if transit := marks["transit"]; transit != "" {
		all["transit"] = transit
	}
	if err := w.connect(r, s, []netip.Prefix{u.Address}, all); err != nil {
		return err
	}
	name := portName(r.name, s.name)
	port := w.made[name]
	if have != nil {
		port, name = ovn.At(have.UUID), have.Name
	}
	w.gatewayChassis(port, have, name, marks)
	w.masquerade(r, u, marks)
	return nil
}

// forsake takes the router off a provider network that it does not lead out
// through any more.
func (w *wiring) forsake(r routerAt, u Uplink) {
	if r.row == nil {
		return
	}
	d := &dismantling{seen: w.seen, c: w.c}
	for _, at := range places(w.seen, r.row) {
		if at.port.ExternalIDs["owner"] == Owner && at.port.ExternalIDs[uplinkKey] != "" && !slices.Contains(at.port.Networks, u.Address) {
			d.dropPort(*r.row, at)
		}
	}
	if len(d.ports) == 0 {
		return
	}
	for _, rule := range w.seen.NATsOf(*r.row) {
		if rule.ExternalIDs["owner"] == Owner {
			d.drop(&d.nats, r.row.UUID, rule.UUID)
		}
	}
	d.finish()
	w.seen = w.seen.Without(func(id string) bool { return d.drops(d.ports, id) || d.drops(d.links, id) || d.drops(d.nats, id) })
}

// used are the marks of a row that is made, and that this network uses.
func (w *wiring) used(pairs ...string) map[string]string {
	return w.row(append(pairs, w.user(), w.n.Instance)...)
}

// gatewayChassis lets this host have the router's port: beside others, if this
// network uses the uplink itself.
func (w *wiring) gatewayChassis(port ovn.Ref, have *ovn.RouterPortRow, name ovn.RouterPort, marks map[string]string) {
	priority := firstChassis
	if have != nil {
		there := w.seen.ChassisOf(*have)
		for _, c := range there {
			if c.Chassis == w.n.Host {
				w.markUser("Gateway_Chassis", c.UUID, c.ExternalIDs, marks)
				return
			}
			priority = max(1, min(priority, c.Priority-1))
		}
		if marks[w.user()] == "" && len(there) > 0 {
			return
		}
		w.c.RouterPortChassis(*have)
	}
	w.c.ChassisInsert(port, name, w.n.Host, priority, marks)
}

// masquerade gives all that leaves by the uplink its address.
func (w *wiring) masquerade(r routerAt, u Uplink, marks map[string]string) {
	if r.row != nil {
		for _, rule := range w.seen.NATsOf(*r.row) {
			if rule.Type == "snat" && rule.ExternalIDs["owner"] == Owner {
				w.markUser("NAT", rule.UUID, rule.ExternalIDs, marks)
				return
			}
		}
		w.c.RouterNATs(*r.row)
	}
	w.c.NATInsert(r.ref, "snat", u.Address.Addr(), netip.PrefixFrom(netip.IPv4Unspecified(), 0).String(), marks)
}

// markUser adds this network's mark to a row of ours that lacks it, if it is among
// the marks.
func (w *wiring) markUser(table, uuid string, have, marks map[string]string) {
	if have["owner"] == Owner && marks[w.user()] != "" && have[w.user()] != marks[w.user()] {
		w.c.Mark(table, uuid, map[string]string{w.user(): marks[w.user()]})
	}
}
