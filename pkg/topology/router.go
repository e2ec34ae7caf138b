package topology

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// The names of a router's place on a switch. Names of users have no colon, so
// that no two pairs share one.
func portName(r ovn.Router, s ovn.Switch) ovn.RouterPort {
	return ovn.RouterPort(string(r) + ":" + string(s))
}

func linkName(s ovn.Switch, r ovn.Router) ovn.SwitchPort {
	return ovn.SwitchPort(string(s) + ":" + string(r))
}

// router sees to the network's router, and its port on the switch.
func (w *wiring) router(s switchAt) (routerAt, error) {
	n, name := w.n, w.n.Router()
	row, err := w.onlyRouter(name)
	if err != nil {
		return routerAt{}, err
	}
	r := routerAt{name: name, row: row}
	switch {
	case row == nil:
		w.c.None("Logical_Router", string(name))
		r.ref = w.c.SpokeInsert(name, w.row(w.user(), n.Instance))
	case row.ExternalIDs["owner"] == Owner:
		r.ref = ovn.At(row.UUID)
		if at := row.ExternalIDs["transit"]; at != "" {
			return r, fmt.Errorf("router %q is the gateway of the transit network on logical switch %q: use another ovn.router", name, at)
		}
		if have := row.ExternalIDs["tenant_id"]; have != n.Options.TenantID {
			return r, fmt.Errorf("router %q belongs to %s, and this network to %s: use another ovn.router", name, tenantText(have), tenantText(n.Options.TenantID))
		}
		w.c.There("Logical_Router", row.UUID, string(name))
		if lacking := lacks(row.ExternalIDs, map[string]string{w.user(): n.Instance}); len(lacking) > 0 {
			w.c.Mark("Logical_Router", row.UUID, lacking)
		}
	default:
		r.ref = ovn.At(row.UUID)
		w.c.There("Logical_Router", row.UUID, string(name))
	}
	if err := w.connect(r, s, n.Gateways(), w.mtuMark(w.uses(n.Gateways()))); err != nil {
		return r, err
	}
	w.advertise(r, s)
	return r, nil
}

func (w *wiring) onlyRouter(name ovn.Router) (*ovn.RouterRow, error) {
	rows := w.seen.RoutersNamed(name)
	switch len(rows) {
	case 0:
		return nil, nil //nolint:nilnil // that there is none is an answer
	case 1:
		return &rows[0], nil
	}
	return nil, fmt.Errorf("router %q is there %d times: remove all but one (ovn-nbctl lr-list, then lr-del by UUID)", name, len(rows))
}

// place is a router's port on a switch, and the switch's end of it, as seen.
type place struct {
	port *ovn.RouterPortRow
	link *ovn.LinkRow
}

// on reports whether the place is on the switch.
func (p place) on(s ovn.SwitchRow) bool {
	return p.link != nil && slices.Contains(s.Ports, p.link.UUID)
}

// places returns the ports of the router that is there, each with the link that
// leads to it, if any.
func places(seen ovn.Seen, r *ovn.RouterRow) []place {
	if r == nil {
		return nil
	}
	var all []place
	for _, p := range seen.PortsOf(*r) {
		all = append(all, place{port: p, link: seen.LinkTo(p.Name)})
	}
	return all
}

// on returns the router's place on the switch: by what connects the two,
// whoever made it, or by the names of what is left of ours.
func on(seen ovn.Seen, r routerAt, s switchAt) place {
	var have place
	for _, at := range places(seen, r.row) {
		if s.row != nil && at.on(*s.row) {
			return at
		}
		if at.port.Name == portName(r.name, s.name) {
			have.port = at.port
		}
	}
	for i, l := range seen.Links {
		if l.Name == linkName(s.name, r.name) && s.row != nil && slices.Contains(s.row.Ports, l.UUID) {
			have.link = &seen.Links[i]
		}
	}
	return have
}

// uses returns the mark of a port that the network uses.
func (w *wiring) uses(addresses []netip.Prefix) map[string]string {
	return map[string]string{w.user(): strings.Join(append([]string{w.n.Instance}, texts(addresses)...), " ")}
}

// connect sees to a port of the router on the switch that owns the addresses, and
// has the marks.
func (w *wiring) connect(r routerAt, s switchAt, addresses []netip.Prefix, marks map[string]string) error {
	have := on(w.seen, r, s)
	if err := w.free(r, s, have, addresses); err != nil {
		return err
	}
	if have.port == nil {
		return w.newPort(r, s, have.link, addresses, marks)
	}
	missing := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Prefix) bool { return slices.Contains(have.port.Networks, a) })
	ours := have.port.ExternalIDs["owner"] == Owner
	switch {
	case len(missing) > 0 && !ours:
		return fmt.Errorf("router %q has port %q on logical switch %q, made by somebody else and without address %s: add it to that port (ovn-nbctl), or use another router",
			r.name, have.port.Name, s.name, missing[0])
	case len(missing) > 0:
		w.guard(r, missing)
		w.c.RouterPortStill(*have.port)
		w.c.RouterPortNetworks(*have.port, have.link, append(slices.Clone(have.port.Networks), missing...))
	}
	if lacking := lacks(have.port.ExternalIDs, marks); ours && len(lacking) > 0 {
		w.c.RouterPortStill(*have.port)
		w.c.Mark("Logical_Router_Port", have.port.UUID, lacking)
	}
	if have.link == nil {
		w.there(s)
		w.link(r, s, have.port.Name, have.port.MAC, append(slices.Clone(have.port.Networks), missing...))
	}
	return nil
}

// guard makes sure that the router gets no other port, and that nobody else gets
// the addresses, meanwhile: that they are free was seen, and no more.
func (w *wiring) guard(r routerAt, addresses []netip.Prefix) {
	if r.row != nil {
		w.c.RouterPorts(*r.row)
	}
	for _, a := range addresses {
		w.c.Owners(a, w.read.RouterPorts)
	}
}

// there makes sure that the switch is, if it is not made by this change.
func (w *wiring) there(s switchAt) {
	if s.row != nil {
		w.c.There("Logical_Switch", s.row.UUID, string(s.name))
	}
}

// newPort makes both ends of a router's place on a switch. An end of the link
// that is left over has the address of a port that is gone.
func (w *wiring) newPort(r routerAt, s switchAt, left *ovn.LinkRow, addresses []netip.Prefix, marks map[string]string) error {
	name, end := portName(r.name, s.name), linkName(s.name, r.name)
	for _, p := range w.seen.RouterPorts {
		if p.Name == name {
			return fmt.Errorf("router port %q belongs to another router than %q: remove it (ovn-nbctl lrp-del)", name, r.name)
		}
	}
	for _, l := range w.seen.Links {
		if l.Name == end && left == nil {
			return fmt.Errorf("logical switch port %q is on another switch than %q: remove it (ovn-nbctl lsp-del)", end, s.name)
		}
	}
	w.guard(r, addresses)
	if left != nil {
		w.c.PortsDelete(*s.row, left.UUID)
	}
	w.there(s)
	mac, rows := w.routerMAC(s, addresses), w.row()
	maps.Copy(rows, marks)
	if w.made == nil {
		w.made = map[ovn.RouterPort]ovn.Ref{}
	}
	w.made[name] = w.c.RouterPortInsert(r.ref, name, mac, addresses, rows)
	w.link(r, s, name, mac, addresses)
	return nil
}

// link makes the switch's end of a router's place there.
func (w *wiring) link(r routerAt, s switchAt, port ovn.RouterPort, mac string, addresses []netip.Prefix) {
	if w.n.Apart && s.name == JoinSwitch {
		addresses = nil // those of its endpoints, too
	}
	w.c.LinkInsert(s.ref, linkName(s.name, r.name), port, mac, addresses, w.row())
}

// free refuses addresses that something else on the router or on the switch
// stands in the way of.
func (w *wiring) free(r routerAt, s switchAt, have place, addresses []netip.Prefix) error {
	for _, at := range places(w.seen, r.row) {
		for _, is := range at.port.Networks {
			for _, a := range addresses {
				switch {
				case !is.Overlaps(a):
				case have.port == nil || at.port.UUID != have.port.UUID:
					return fmt.Errorf("subnet %s overlaps %s, which router %q has on %s: choose another subnet, or another router",
						a.Masked(), is.Masked(), r.name, where(at))
				case is != a:
					return fmt.Errorf("router %q owns %s on logical switch %q already: create the network with --subnet %s and --gateway %s",
						r.name, is, s.name, is.Masked(), is.Addr())
				}
			}
		}
	}
	for _, other := range w.neighbours(s) {
		for _, is := range other.port.Networks {
			if (have.port == nil || other.port.UUID != have.port.UUID) && slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr() == is.Addr() }) {
				return fmt.Errorf("address %s is owned by router port %q on logical switch %q: choose another --gateway", is.Addr(), other.port.Name, s.name)
			}
		}
	}
	return nil
}

// RouterAt returns the router that has the address on the network's switch; ""
// when none has.
func (n Network) RouterAt(seen ovn.Seen, a netip.Addr) ovn.Router {
	for i := range seen.Routers {
		for _, at := range places(seen, &seen.Routers[i]) {
			s := switchOf(seen, at.link)
			if s != nil && s.Name == n.Switch() && slices.ContainsFunc(at.port.Networks, func(p netip.Prefix) bool { return p.Addr() == a }) {
				return seen.Routers[i].Name
			}
		}
	}
	return ""
}

// where says which switch a router's port is on.
func where(at place) string {
	if at.link != nil {
		if s, _, ok := strings.Cut(string(at.link.Name), ":"); ok {
			return fmt.Sprintf("logical switch %q", s)
		}
	}
	return fmt.Sprintf("port %q", at.port.Name)
}

// neighbours are all router ports on the switch.
func (w *wiring) neighbours(s switchAt) []place {
	if s.row == nil {
		return nil
	}
	var all []place
	for i := range w.seen.Links {
		l := &w.seen.Links[i]
		if at := w.seen.SwitchOf(*l); at == nil || at.UUID != s.row.UUID {
			continue
		}
		if p := w.seen.PortNamed(l.Peer); p != nil {
			all = append(all, place{port: p, link: l})
		}
	}
	return all
}

// routerMAC returns the MAC address of a router's port: 0a:01 and its first IPv4
// address, which no endpoint has and no two ports of a switch; the second byte
// goes up for a port that has kept the MAC address of an address that it lost.
func (w *wiring) routerMAC(s switchAt, addresses []netip.Prefix) string {
	hash := sha256.Sum256([]byte(addresses[0].Addr().String()))
	four := hash[:4]
	for _, a := range addresses {
		if a.Addr().Is4() {
			b := a.Addr().As4()
			four = b[:]
			break
		}
	}
	neighbours := w.neighbours(s)
	for second := byte(1); ; second++ {
		mac := fmt.Sprintf("0a:%02x:%02x:%02x:%02x:%02x", second, four[0], four[1], four[2], four[3])
		if second == 5 || !slices.ContainsFunc(neighbours, func(n place) bool { return n.port.MAC == mac }) {
			return mac
		}
	}
}

func texts(prefixes []netip.Prefix) []string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}
