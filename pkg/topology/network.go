package topology

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Keys, in external_ids of rows that a plugin made, that name their users.
const (
	// userPrefix: "network-<id>" = instance, on all rows that a network uses; on
	// router ports the addresses that it needs follow.
	userPrefix = "network-"
	// transitPrefix: "transit-<id>" = Docker's name of a transit network, on its
	// switch; "" until it is known.
	transitPrefix = "transit-"
	// composePrefix: "compose-<id>" = "project/network", beside transit-<id>.
	composePrefix = "compose-"
)

// Plan returns what makes the network in OVN, or what of it is missing: its
// logical switch, its router, and the router's place on a transit network, or
// its use of those that are there. It is one transaction, which fails when what
// it builds on has changed since it was seen. n is settled (Settle).
func (n Network) Plan(seen ovn.Seen) (plan.Plan, error) {
	w := &wiring{n: n, seen: seen, read: seen, c: ovn.NewChange(n.NB)}
	if err := w.all(); err != nil {
		return plan.Plan{}, err
	}
	if n.Routed() {
		w.fits()
	}
	return w.c.Plan(), nil
}

// wiring puts the change together that a network needs.
type wiring struct {
	n    Network
	seen ovn.Seen // less what the change itself takes away
	read ovn.Seen
	c    *ovn.Change
	made map[ovn.RouterPort]ovn.Ref // ports that the change inserts
}

// switchAt and routerAt are rows that the change works with: those that are
// there, or those that it inserts, which have no row yet.
type switchAt struct {
	name ovn.Switch
	ref  ovn.Ref
	row  *ovn.SwitchRow
}

type routerAt struct {
	name ovn.Router
	ref  ovn.Ref
	row  *ovn.RouterRow
}

func (w *wiring) all() error {
	n := w.n
	s, err := w.ownSwitch()
	if err == nil {
		err = w.allocates(s)
	}
	if err == nil {
		w.leases(s)
		w.dhcp()
	}
	if err == nil && n.IsProvider() {
		err = w.localnet(s, n.Options.PhysicalNetwork, n.Options.VLAN)
	}
	if err != nil || !n.Routed() {
		return err
	}
	if n.IsTransit() {
		return w.transit(s)
	}
	r, err := w.router(s)
	switch {
	case err != nil:
		return err
	case n.Uplink != nil:
		return w.throughProvider(r)
	case n.Internal && n.Transit == nil:
		if w.leadsOut(r) {
			w.fence(r, w.beside(r), "")
		}
		return nil
	case n.Transit != nil:
		if err := w.attach(r, *n.Transit); err != nil || len(n.Exit) == 0 {
			return err
		}
		return w.meet(r, n.Exit, w.uses(n.Exit))
	case len(n.Exit) > 0:
		return w.exit(r)
	}
	return nil
}

func (w *wiring) user() string { return userPrefix + w.n.ID }

// row returns external_ids of a row that this network makes. All rows that route
// are read whenever a network is made: they have what is needed, and no more.
func (w *wiring) row(pairs ...string) map[string]string {
	return ids(append([]string{"instance", w.n.Instance, "tenant_id", w.n.Options.TenantID}, pairs...)...)
}

// ownSwitch sees to the network's logical switch.
func (w *wiring) ownSwitch() (switchAt, error) {
	n, name := w.n, w.n.Switch()
	marks := map[string]string{w.user(): n.Instance}
	if n.IsTransit() {
		maps.Copy(marks, map[string]string{"role": "transit", "gateway_router": string(n.GatewayRouter), transitPrefix + n.ID: n.Name})
		if n.Compose != "" {
			marks[composePrefix+n.ID] = n.Compose
		}
	}
	maps.Copy(marks, n.providerMarks())
	vlan := n.vlan()
	row, err := w.onlySwitch(name)
	if err != nil {
		return switchAt{}, err
	}
	if row == nil {
		made := w.row("host", n.Host, "vlan", vlan)
		maps.Copy(made, marks)
		maps.Copy(made, n.leaseMarks())
		w.c.None("Logical_Switch", string(name))
		return switchAt{name: name, ref: w.c.SwitchInsert(name, made)}, nil
	}
	at := switchAt{name: name, ref: ovn.At(row.UUID), row: row}
	have := row.ExternalIDs
	if have["owner"] != Owner {
		if vlan != "" {
			return at, fmt.Errorf("vlan %s cannot be recorded on logical switch %q, which was not made by this plugin: leave the option out, or use a switch of its own", vlan, name)
		}
		if n.IsProvider() {
			return at, fmt.Errorf("ovn.physical_network %q cannot be recorded on logical switch %q, which was not made by this plugin: leave the option out if that switch has a localnet port, or use a switch of its own", n.Options.PhysicalNetwork, name)
		}
		return at, nil
	}
	if have["physical_network"] != n.Options.PhysicalNetwork {
		return at, fmt.Errorf("logical switch %q has %s, and this network asks for %s: use another ovn.switch", name, physicalText(have["physical_network"]), physicalText(n.Options.PhysicalNetwork))
	}
	if have["vlan"] != vlan {
		return at, fmt.Errorf("logical switch %q has %s, and this network asks for %s: one switch has one VLAN, use another ovn.switch", name, vlanText(have["vlan"]), vlanText(vlan))
	}
	if have["tenant_id"] != n.Options.TenantID {
		return at, fmt.Errorf("logical switch %q belongs to %s, and this network to %s: use another ovn.switch", name, tenantText(have["tenant_id"]), tenantText(n.Options.TenantID))
	}
	if have["gateway_router"] != "" {
		delete(marks, "gateway_router") // a switch keeps the one that it has
	}
	w.markSwitch(at, marks)
	return at, nil
}

// onlySwitch returns the switch of that name, nil when there is none.
func (w *wiring) onlySwitch(name ovn.Switch) (*ovn.SwitchRow, error) {
	rows := w.seen.Named(name)
	switch len(rows) {
	case 0:
		return nil, nil //nolint:nilnil // that there is none is an answer
	case 1:
		return &rows[0], nil
	}
	return nil, fmt.Errorf("logical switch %q is there %d times: remove all but one (ovn-nbctl ls-list, then ls-del by UUID)", name, len(rows))
}

// markSwitch adds the marks that a switch of ours lacks.
func (w *wiring) markSwitch(s switchAt, marks map[string]string) {
	if s.row == nil || s.row.ExternalIDs["owner"] != Owner {
		return
	}
	if lacking := lacks(s.row.ExternalIDs, marks); len(lacking) > 0 {
		w.c.There("Logical_Switch", s.row.UUID, string(s.name))
		w.c.Mark("Logical_Switch", s.row.UUID, lacking)
	}
}

// lacks returns the pairs of want that have does not have. A name that is not
// known is no reason to forget one that is.
func lacks(have, want map[string]string) map[string]string {
	m := map[string]string{}
	for k, v := range want {
		if got, there := have[k]; !there || got != v && v != "" {
			m[k] = v
		}
	}
	return m
}

func vlanText(v string) string {
	if v == "" {
		return "no vlan"
	}
	return "vlan " + v
}

func physicalText(p string) string {
	if p == "" {
		return "no physical network"
	}
	return fmt.Sprintf("physical network %q", p)
}

func tenantText(t string) string {
	if t == "" {
		return "no tenant"
	}
	return fmt.Sprintf("tenant %q", t)
}

// users returns the ids under a prefix of keys, and their values.
func users(ids map[string]string, prefix string) map[string]string {
	all := map[string]string{}
	for key, value := range ids {
		if id, ok := strings.CutPrefix(key, prefix); ok {
			all[id] = value
		}
	}
	return all
}

// others returns the networks, but for this one, that a row has marks of.
func others(ids map[string]string, network string) map[string]string {
	all := users(ids, userPrefix)
	delete(all, network)
	return all
}

// Users returns the networks that rows of ours name as their users, and their
// instances.
func Users(seen ovn.Seen) map[string]string {
	all := map[string]string{}
	add := func(ids map[string]string) {
		if ids["owner"] == Owner {
			for id, value := range users(ids, userPrefix) {
				all[id], _, _ = strings.Cut(value, " ")
			}
		}
	}
	for _, s := range seen.Switches {
		add(s.ExternalIDs)
		for _, l := range leasesOn(s) { // also on switches that are not ours
			all[l.network] = l.instance
		}
	}
	for _, r := range seen.Routers {
		add(r.ExternalIDs)
	}
	for _, p := range seen.RouterPorts {
		add(p.ExternalIDs)
	}
	for _, d := range seen.DHCP {
		add(d.ExternalIDs)
	}
	return all
}

// AttachedRouters returns the routers that a transit network serves; none of any
// other network.
func (n Network) AttachedRouters(seen ovn.Seen) []string {
	if !n.IsTransit() {
		return nil
	}
	var names []string
	for _, s := range seen.Named(n.Switch()) {
		for r := range attached(seen, s, nil) {
			names = append(names, string(r))
		}
	}
	slices.Sort(names)
	return names
}

// attached returns the routers that are on the switch of a transit network by a
// port of ours, or that its gateway router has a route of ours to; but for the
// gateway router itself, and for rows that go.
func attached(seen ovn.Seen, s ovn.SwitchRow, goes func(uuid string) bool) map[ovn.Router]bool {
	stays := func(owner map[string]string, uuid string) bool {
		return owner["owner"] == Owner && (goes == nil || !goes(uuid))
	}
	all := map[ovn.Router]bool{}
	for i := range seen.Routers {
		r := &seen.Routers[i]
		here := false
		for _, at := range places(seen, r) {
			if at.on(s) {
				here = true
				if !isGateway(seen, *r, s) && stays(at.port.ExternalIDs, at.port.UUID) {
					all[r.Name] = true
				}
			}
		}
		if !here && !isGateway(seen, *r, s) {
			continue
		}
		for _, route := range routes(seen, r) {
			if to := route.ExternalIDs["router"]; to != "" && route.ExternalIDs["transit"] == string(s.Name) && stays(route.ExternalIDs, route.UUID) {
				all[ovn.Router(to)] = true
			}
		}
	}
	return all
}

// isGateway reports whether the router is the gateway router of the switch: by its
// own mark, by the switch's, or, where neither is ours, by that of its port.
func isGateway(seen ovn.Seen, r ovn.RouterRow, s ovn.SwitchRow) bool {
	if r.ExternalIDs["transit"] == string(s.Name) || s.ExternalIDs["gateway_router"] == string(r.Name) {
		return true
	}
	return slices.ContainsFunc(seen.PortsOf(r), func(p *ovn.RouterPortRow) bool {
		return p.ExternalIDs["owner"] == Owner && p.ExternalIDs["transit"] == string(s.Name)
	})
}

// Look returns the read that Settle, Plan and Removal take; Seen reads its
// answer.
func (n Network) Look(known []Network) ovsdb.Transaction {
	if !n.looksWide() {
		return ovn.Look(n.NB, n.Switch())
	}
	names := map[ovn.Switch]bool{n.Switch(): true, JoinSwitch: true}
	if n.Transit != nil {
		names[n.Transit.Switch] = true
	}
	for _, u := range n.uplinks() {
		names[u.Switch] = true
	}
	for _, other := range known {
		if other.NB != n.NB {
			continue
		}
		if other.IsTransit() {
			names[other.Switch()] = true
		}
		if other.Transit != nil {
			names[other.Transit.Switch] = true
		}
	}
	return ovn.LookAtRouting(n.NB, slices.SortedFunc(maps.Keys(names), cmp.Compare)...)
}

// looksWide reports whether more than its own switch matters to the network.
func (n Network) looksWide() bool { return n.Routed() || n.IsProvider() || n.ServesDHCP() }

// Seen reads the answer to Look.
func (n Network) Seen(results []ovsdb.Result) ovn.Seen {
	if n.looksWide() {
		return ovn.ReadRouting(results)
	}
	return ovn.ReadSeen(results)
}

// Joins returns the switch, of a transit or provider network, that the network's
// router is to be on and is not, or not in all its subnets; nil when there is none,
// or when it is not there yet.
func (n Network) Joins(seen ovn.Seen) *ovn.SwitchRow {
	var name ovn.Switch
	var addresses []netip.Prefix
	switch {
	case n.Transit != nil:
		name, addresses = n.Transit.Switch, n.Transit.Addresses
	case n.Uplink != nil:
		name, addresses = n.Uplink.Switch, []netip.Prefix{n.Uplink.Address}
	default:
		return nil
	}
	there := seen.Named(name)
	if len(there) == 0 {
		return nil
	}
	for _, row := range seen.RoutersNamed(n.Router()) {
		at := on(seen, routerAt{name: row.Name, row: &row}, switchAt{name: there[0].Name, row: &there[0]})
		if at.port != nil && within(texts(addresses), texts(at.port.Networks)) {
			return nil
		}
	}
	return &there[0]
}
