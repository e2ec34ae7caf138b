package ovn

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// None makes sure that there is no row of that name.
func (c *Change) None(table, name string) {
	c.guard("none "+table+" "+name, ovsdb.Wait(0, table, []ovsdb.Condition{ovsdb.Is("name", name)}))
}

// There makes sure that the row is still there.
func (c *Change) There(table, uuid, name string) {
	c.guard("there "+uuid, ovsdb.Wait(0, table, []ovsdb.Condition{ovsdb.This(uuid)}, map[string]any{"name": name}))
}

// guardable is how many references a guard may name: a transaction is one argument
// of ovsdb-client, for which Linux has 128 KiB (MAX_ARG_STRLEN, execve(2)).
const guardable = 1000

// still guards columns of a row, but for sets that are too large to name.
func (c *Change) still(table, uuid string, row ovsdb.Row, columns ...string) {
	values := map[string]any{}
	for _, column := range columns {
		if len(row.UUIDs(column)) <= guardable {
			values[column] = row.Value(column)
		}
	}
	if len(values) > 0 {
		c.guard(fmt.Sprint("still ", uuid, columns), ovsdb.Wait(0, table, []ovsdb.Condition{ovsdb.This(uuid)}, values))
	}
}

// SwitchPorts makes sure that the switch has the ports that were seen.
func (c *Change) SwitchPorts(s SwitchRow) { c.still("Logical_Switch", s.UUID, s.row, "ports") }

// SwitchStill makes sure that the switch has the ports and marks that were
// seen.
func (c *Change) SwitchStill(s SwitchRow) {
	c.still("Logical_Switch", s.UUID, s.row, "external_ids", "ports")
}

// RouterPorts makes sure that the router has the ports that were seen.
func (c *Change) RouterPorts(r RouterRow) { c.still("Logical_Router", r.UUID, r.row, "ports") }

// Owners makes sure that just these router ports own the address, wherever they
// are.
func (c *Change) Owners(of netip.Prefix, seen []RouterPortRow) {
	var rows []map[string]any
	for _, p := range seen {
		if slices.Contains(p.row.Strings("networks"), of.String()) { // as the database compares
			rows = append(rows, map[string]any{"name": string(p.Name)})
		}
	}
	c.guard("owners "+of.String(), ovsdb.Wait(0, "Logical_Router_Port", []ovsdb.Condition{{"networks", "includes", of.String()}}, rows...))
}

// RouteStill makes sure that the route is there, leads where it did, and has the
// marks that were seen.
func (c *Change) RouteStill(r RouteRow) {
	c.still("Logical_Router_Static_Route", r.UUID, r.row, "ip_prefix", "nexthop", "external_ids")
}

// SwitchMarks makes sure that the switch has the marks that were seen.
func (c *Change) SwitchMarks(s SwitchRow) {
	c.still("Logical_Switch", s.UUID, s.row, "external_ids")
}

// SwitchConfig makes sure that the switch has the other_config that was seen.
func (c *Change) SwitchConfig(s SwitchRow) {
	c.still("Logical_Switch", s.UUID, s.row, "other_config")
}

// RouterMarks makes sure that the router has the marks that were seen.
func (c *Change) RouterMarks(r RouterRow) {
	c.still("Logical_Router", r.UUID, r.row, "external_ids")
}

// RouterRoutes makes sure that the router has the static routes that were seen.
func (c *Change) RouterRoutes(r RouterRow) {
	c.still("Logical_Router", r.UUID, r.row, "static_routes")
}

// RouterStill makes sure that the router has what was seen.
func (c *Change) RouterStill(r RouterRow) {
	c.still("Logical_Router", r.UUID, r.row, "external_ids", "ports", "static_routes", "nat", "policies")
}

// RouterNATs makes sure that the router has the NAT rules that were seen.
func (c *Change) RouterNATs(r RouterRow) { c.still("Logical_Router", r.UUID, r.row, "nat") }

// RouterPolicies makes sure that the router has the policies that were seen.
func (c *Change) RouterPolicies(r RouterRow) { c.still("Logical_Router", r.UUID, r.row, "policies") }

// RouterPortChassis makes sure that the port has the gateway chassis that were
// seen.
func (c *Change) RouterPortChassis(p RouterPortRow) {
	c.still("Logical_Router_Port", p.UUID, p.row, "gateway_chassis")
}

// NoNAT makes sure that no rule of any router has the external address.
func (c *Change) NoNAT(external netip.Addr) {
	c.guard("nat "+external.String(), ovsdb.Wait(0, "NAT", []ovsdb.Condition{ovsdb.Is("external_ip", external.String())}))
}

// NATStill makes sure that the rule has the marks that were seen.
func (c *Change) NATStill(n NATRow) { c.still("NAT", n.UUID, n.row, "external_ids") }

// PolicyStill makes sure that the policy has the marks that were seen.
func (c *Change) PolicyStill(p PolicyRow) {
	c.still("Logical_Router_Policy", p.UUID, p.row, "external_ids")
}

// ChassisStill makes sure that the row has the marks that were seen.
func (c *Change) ChassisStill(g ChassisRow) {
	c.still("Gateway_Chassis", g.UUID, g.row, "external_ids")
}

// RouterPortStill makes sure that the port has the addresses and marks that were
// seen.
func (c *Change) RouterPortStill(p RouterPortRow) {
	c.still("Logical_Router_Port", p.UUID, p.row, "external_ids", "networks")
}
