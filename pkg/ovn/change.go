package ovn

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Change is one transaction on the northbound database that is being put
// together. First it makes sure that what it builds on is still as it was
// seen; when it is not, somebody else was faster, and the whole fails with
// ovsdb.ErrTimedOut and changes nothing.
type Change struct {
	conn    string
	guards  []ovsdb.Operation
	ops     []ovsdb.Operation
	inserts int
	guarded map[string]bool
}

// NewChange returns a change of the database at conn that does nothing yet.
func NewChange(conn string) *Change { return &Change{conn: conn} }

// Ref is a row of a change: one that is there, or one that it inserts.
type Ref struct{ value any }

// At is the row that is there.
func At(uuid string) Ref { return Ref{ovsdb.Ref(uuid)} }

// Plan returns the transaction; empty when nothing is to be changed.
func (c *Change) Plan() plan.Plan {
	if len(c.ops) == 0 {
		return plan.Plan{}
	}
	return plan.New(northbound(c.conn, slices.Concat(c.guards, c.ops)...).Step())
}

// guard adds an operation that the change begins with, once.
func (c *Change) guard(key string, o ovsdb.Operation) {
	if c.guarded == nil {
		c.guarded = map[string]bool{}
	}
	if !c.guarded[key] {
		c.guarded[key] = true
		c.guards = append(c.guards, o)
	}
}

func (c *Change) insert(table string, row map[string]any) Ref {
	c.inserts++
	name := fmt.Sprintf("row%d", c.inserts)
	c.ops = append(c.ops, ovsdb.InsertAs(name, table, row))
	return Ref{ovsdb.Named(name)}
}

func (c *Change) mutate(table string, r Ref, changes ...ovsdb.Mutation) {
	c.ops = append(c.ops, ovsdb.Mutate(table, r.value, changes...))
}

// SwitchInsert makes a switch.
func (c *Change) SwitchInsert(s Switch, ids map[string]string) Ref {
	return c.insert("Logical_Switch", map[string]any{"name": string(s), "external_ids": ovsdb.Map(ids)})
}

// RouterInsert makes a router that knows all routers beside it.
func (c *Change) RouterInsert(r Router, ids map[string]string) Ref {
	return c.insert("Logical_Router", map[string]any{"name": string(r), "external_ids": ovsdb.Map(ids)})
}

// SpokeInsert makes a router that asks for the MAC address of another one when
// it first sends to it. Of the routers of a transit network each sends to one,
// and ovn-northd would prepare every one for all: flows by the square of their
// number, computed anew with every change (ovn-nb(5), Logical_Router,
// options:dynamic_neigh_routers).
func (c *Change) SpokeInsert(r Router, ids map[string]string) Ref {
	return c.insert("Logical_Router", map[string]any{
		"name": string(r), "options": ovsdb.Map(map[string]string{"dynamic_neigh_routers": "true"}), "external_ids": ovsdb.Map(ids),
	})
}

// RouterPortInsert makes a port of the router, with the addresses that it owns, and
// returns it.
func (c *Change) RouterPortInsert(on Ref, p RouterPort, mac string, networks []netip.Prefix, ids map[string]string) Ref {
	port := c.insert("Logical_Router_Port", map[string]any{
		"name": string(p), "mac": mac, "networks": texts(networks), "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router", on, ovsdb.Add("ports", ovsdb.Set(port.value)))
	return port
}

// RouterPortMTU has the router answer what is longer than the MTU, and would leave by
// the port, instead of forwarding it (ovn-nb(5), Logical_Router_Port,
// options:gateway_mtu): "fragmentation needed", "packet too big".
func (c *Change) RouterPortMTU(p Ref, mtu int) {
	c.mutate("Logical_Router_Port", p, ovsdb.Remove("options", ovsdb.Set("gateway_mtu")), ovsdb.Add("options", ovsdb.Map(map[string]string{"gateway_mtu": strconv.Itoa(mtu)})))
}

// LinkInsert makes a switch's port of type router, the other end of a router
// port. Its addresses are spelled out, "MAC IP…", where "router" would do for
// OVN: ovn-nbctl refuses to give them to another port of the switch only then.
// Without networks they are "router".
func (c *Change) LinkInsert(on Ref, name SwitchPort, peer RouterPort, mac string, networks []netip.Prefix, ids map[string]string) {
	link := c.insert("Logical_Switch_Port", map[string]any{
		"name": string(name), "type": "router", "addresses": linkAddress(mac, networks),
		"options": ovsdb.Map(map[string]string{"router-port": string(peer)}), "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Switch", on, ovsdb.Add("ports", ovsdb.Set(link.value)))
}

// LinkFollows has a link's addresses be those of its peer, and of NAT rules with a
// MAC address of their own.
func (c *Change) LinkFollows(l LinkRow) {
	c.ops = append(c.ops, ovsdb.Update("Logical_Switch_Port", l.UUID, map[string]any{"addresses": linkAddress("", nil)}))
}

// LocalportInsert makes a switch's port that every chassis binds to an interface
// of its own, and that no tunnel leads to (ovn-nb(5), Logical_Switch_Port,
// "localport").
func (c *Change) LocalportInsert(on Ref, name SwitchPort, mac string, addresses []netip.Prefix, ids map[string]string) {
	port := c.insert("Logical_Switch_Port", map[string]any{
		"name": string(name), "type": "localport", "addresses": linkAddress(mac, addresses), "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Switch", on, ovsdb.Add("ports", ovsdb.Set(port.value)))
}

// LocalportAddresses gives a localport other addresses.
func (c *Change) LocalportAddresses(p LinkRow, mac string, addresses []netip.Prefix) {
	c.ops = append(c.ops, ovsdb.Update("Logical_Switch_Port", p.UUID, map[string]any{"addresses": linkAddress(mac, addresses)}))
}

// LocalnetInsert makes a switch's port that leads to a physical network, on each
// chassis by the bridge that its ovn-bridge-mappings name (ovn-nb(5),
// Logical_Switch_Port, "localnet"). Tag is the VLAN; 0 for none.
func (c *Change) LocalnetInsert(on Ref, name SwitchPort, network string, tag int, ids map[string]string) {
	row := map[string]any{
		"name": string(name), "type": "localnet", "addresses": "unknown",
		"options": ovsdb.Map(map[string]string{"network_name": network}), "external_ids": ovsdb.Map(ids),
	}
	if tag != 0 {
		row["tag"] = tag
	}
	port := c.insert("Logical_Switch_Port", row)
	c.mutate("Logical_Switch", on, ovsdb.Add("ports", ovsdb.Set(port.value)))
}

// NATInsert makes a NAT rule of the router (ovn-nb(5), NAT): with "snat" what
// comes from the logical subnet leaves with the external address, with
// "dnat_and_snat" the external address is the logical one's both ways.
func (c *Change) NATInsert(on Ref, kind string, external netip.Addr, logical string, ids map[string]string) {
	rule := c.insert("NAT", map[string]any{
		"type": kind, "external_ip": external.String(), "logical_ip": logical, "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router", on, ovsdb.Add("nat", ovsdb.Set(rule.value)))
}

// DistributedInsert gives a logical switch port an external address of its own, with
// a MAC address of its own, which its own chassis translates and answers for
// (ovn-nb(5), NAT, logical_port and external_mac).
func (c *Change) DistributedInsert(on Ref, external, logical netip.Addr, port SwitchPort, mac string, ids map[string]string) {
	rule := c.insert("NAT", map[string]any{
		"type": "dnat_and_snat", "external_ip": external.String(), "logical_ip": logical.String(),
		"logical_port": string(port), "external_mac": mac, "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router", on, ovsdb.Add("nat", ovsdb.Set(rule.value)))
}

// PolicyInsert makes a routing policy (ovn-nb(5), Logical_Router_Policy); the one
// with the highest priority that matches decides.
func (c *Change) PolicyInsert(on Ref, priority int, match, action string, ids map[string]string) {
	policy := c.insert("Logical_Router_Policy", map[string]any{
		"priority": priority, "match": match, "action": action, "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router", on, ovsdb.Add("policies", ovsdb.Set(policy.value)))
}

// PolicyMatch changes what a policy is for.
func (c *Change) PolicyMatch(p PolicyRow, match string) {
	c.ops = append(c.ops, ovsdb.Update("Logical_Router_Policy", p.UUID, map[string]any{"match": match}))
}

// ChassisInsert lets the chassis have the router's port, which only one has at a
// time (ovn-nb(5), Gateway_Chassis). Its name is unique in the database.
func (c *Change) ChassisInsert(on Ref, p RouterPort, chassis string, priority int, ids map[string]string) {
	row := c.insert("Gateway_Chassis", map[string]any{
		"name": string(p) + "_" + chassis, "chassis_name": chassis, "priority": priority, "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router_Port", on, ovsdb.Add("gateway_chassis", ovsdb.Set(row.value)))
}

// DropInsert has a switch drop what the match says as it enters it (ovn-nb(5),
// ACL, direction from-lport).
func (c *Change) DropInsert(on Ref, match string, ids map[string]string) {
	acl := c.insert("ACL", map[string]any{
		"direction": "from-lport", "priority": 1000, "match": match, "action": "drop", "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Switch", on, ovsdb.Add("acls", ovsdb.Set(acl.value)))
}

// RouterPortNetworks sets the addresses of a router port and of its link.
func (c *Change) RouterPortNetworks(p RouterPortRow, link *LinkRow, networks []netip.Prefix) {
	c.ops = append(c.ops, ovsdb.Update("Logical_Router_Port", p.UUID, map[string]any{"networks": texts(networks)}))
	if link != nil && !link.Follows() {
		c.ops = append(c.ops, ovsdb.Update("Logical_Switch_Port", link.UUID, map[string]any{"addresses": linkAddress(p.MAC, networks)}))
	}
}

// RouteInsert makes a static route of the router (ovn-nb(5),
// Logical_Router_Static_Route).
func (c *Change) RouteInsert(on Ref, prefix netip.Prefix, next netip.Addr, ids map[string]string) {
	route := c.insert("Logical_Router_Static_Route", map[string]any{
		"ip_prefix": prefix.String(), "nexthop": next.String(), "external_ids": ovsdb.Map(ids),
	})
	c.mutate("Logical_Router", on, ovsdb.Add("static_routes", ovsdb.Set(route.value)))
}

// RouteNextHop changes where a route leads.
func (c *Change) RouteNextHop(r RouteRow, next netip.Addr) {
	c.ops = append(c.ops, ovsdb.Update("Logical_Router_Static_Route", r.UUID, map[string]any{"nexthop": next.String()}))
}

// Mark sets keys of external_ids that the row may have with other values.
func (c *Change) Mark(table, uuid string, ids map[string]string) {
	c.mutate(table, At(uuid), ovsdb.Remove("external_ids", ovsdb.Set(keys(ids)...)), ovsdb.Add("external_ids", ovsdb.Map(ids)))
}

// Unmark removes keys of external_ids.
func (c *Change) Unmark(table, uuid string, names ...string) {
	if len(names) > 0 {
		c.mutate(table, At(uuid), ovsdb.Remove("external_ids", ovsdb.Set(names...)))
	}
}

// SwitchDelete deletes a switch and its ports.
func (c *Change) SwitchDelete(s SwitchRow) {
	c.ops = append(c.ops, ovsdb.Delete("Logical_Switch", ovsdb.This(s.UUID)))
}

// RouterDelete deletes a router, its ports and its routes.
func (c *Change) RouterDelete(r RouterRow) {
	c.ops = append(c.ops, ovsdb.Delete("Logical_Router", ovsdb.This(r.UUID)))
}

// PortsDelete deletes ports of a switch.
func (c *Change) PortsDelete(of SwitchRow, ports ...string) {
	c.remove("Logical_Switch", of.UUID, "ports", ports)
}

// RouterPortsDelete deletes ports of a router.
func (c *Change) RouterPortsDelete(of RouterRow, ports ...string) {
	c.remove("Logical_Router", of.UUID, "ports", ports)
}

// RoutesDelete deletes static routes of a router.
func (c *Change) RoutesDelete(of RouterRow, routes ...string) {
	c.remove("Logical_Router", of.UUID, "static_routes", routes)
}

// NATsDelete deletes NAT rules of a router.
func (c *Change) NATsDelete(of RouterRow, rules ...string) {
	c.remove("Logical_Router", of.UUID, "nat", rules)
}

// PoliciesDelete deletes policies of a router.
func (c *Change) PoliciesDelete(of RouterRow, policies ...string) {
	c.remove("Logical_Router", of.UUID, "policies", policies)
}

// ChassisDelete takes chassis from a router's port.
func (c *Change) ChassisDelete(of RouterPortRow, chassis ...string) {
	c.remove("Logical_Router_Port", of.UUID, "gateway_chassis", chassis)
}

// remove takes references out of a set; a row that nothing refers to is gone.
func (c *Change) remove(table, uuid, column string, refs []string) {
	if len(refs) == 0 {
		return
	}
	var values []any
	for _, id := range refs {
		values = append(values, ovsdb.Ref(id))
	}
	c.mutate(table, At(uuid), ovsdb.Remove(column, ovsdb.Set(values...)))
}

func linkAddress(mac string, networks []netip.Prefix) string {
	if len(networks) == 0 {
		return peerAddresses
	}
	text := mac
	for _, n := range networks {
		text += " " + n.Addr().String()
	}
	return text
}

func texts(networks []netip.Prefix) any {
	var all []string
	for _, n := range networks {
		all = append(all, n.String())
	}
	return ovsdb.Set(all...)
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
