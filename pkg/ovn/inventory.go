package ovn

import (
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// PortRow is a logical switch port that is there.
type PortRow struct {
	Switch      Switch // that it is on
	Addresses   []string
	ExternalIDs map[string]string
	DHCPv4      string // UUID of its DHCP_Options, "" for none
	DHCPv6      string
}

// Inventory is one read of all switches, of what routes between them, and of
// the ports that one owner made.
type Inventory struct {
	Seen
	Ports map[SwitchPort]PortRow
}

// TakeInventory is the read; ReadInventory reads its answer. It costs the
// database a pass over its ports, so no request makes it.
func TakeInventory(conn, owner string) ovsdb.Transaction {
	return northbound(conn, append(routing(), ovsdb.Select("Logical_Switch", nil, switchColumns...), ovsdb.Select("Logical_Switch_Port",
		[]ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})}, "_uuid", "name", "type", "addresses", "external_ids", "dhcpv4_options", "dhcpv6_options"))...)
}

// ReadInventory reads the answer to TakeInventory.
func ReadInventory(results []ovsdb.Result) Inventory {
	i := Inventory{Ports: map[SwitchPort]PortRow{}}
	if len(results) == 0 {
		return i
	}
	last := len(results) - 1
	i.Seen = ReadRouting(results[:last])
	on := map[string]Switch{}
	for _, s := range i.Switches {
		for _, port := range s.Ports {
			on[port] = s.Name
		}
	}
	for _, r := range results[last].Rows {
		if r.String("type") != "" {
			continue // one of Links, Localports or Localnets
		}
		i.Ports[SwitchPort(r.String("name"))] = PortRow{
			Switch: on[first(r.UUIDs("_uuid"))], Addresses: r.Strings("addresses"), ExternalIDs: r.Map("external_ids"),
			DHCPv4: first(r.UUIDs("dhcpv4_options")), DHCPv6: first(r.UUIDs("dhcpv6_options")),
		}
	}
	return i
}

// Holders is the read of who has an address on a switch; ReadHolders reads its
// answer. It costs the database a pass over its ports, so only a refusal makes it.
func Holders(conn string, s Switch) ovsdb.Transaction {
	return northbound(conn, switchNamed(s), ovsdb.Select("Logical_Switch_Port", nil, "_uuid", "name", "addresses", "external_ids"))
}

// ReadHolders returns the ports of the switch that have the address.
func ReadHolders(results []ovsdb.Result, a netip.Addr) []PortRow {
	if len(results) < 2 {
		return nil
	}
	on := map[string]Switch{}
	for _, r := range results[0].Rows {
		for _, port := range r.UUIDs("ports") {
			on[port] = Switch(r.String("name"))
		}
	}
	var all []PortRow
	for _, r := range results[1].Rows {
		p := PortRow{Switch: on[first(r.UUIDs("_uuid"))], Addresses: r.Strings("addresses"), ExternalIDs: r.Map("external_ids")}
		if p.Switch != "" && slices.Contains(Addresses(p.Addresses), a) {
			all = append(all, p)
		}
	}
	return all
}

// Kinds are what there is to watch besides switches and their ports: each table costs
// a program.
type Kinds struct{ Routing, NAT, DHCP bool }

// Watches are what has to be watched to notice that somebody deleted a switch
// of the owner, or a port of one of its instances; with routing, also routers,
// their ports and their routes.
func Watches(conn, owner, instance string, also Kinds) []ovsdb.Watch {
	on := func(table, column string, ids map[string]string) ovsdb.Watch {
		return ovsdb.Watch{
			Server: conn, Database: ovsdb.Northbound, Table: table, Column: column,
			Where: []ovsdb.Condition{ovsdb.Includes("external_ids", ids)},
		}
	}
	all := []ovsdb.Watch{
		on("Logical_Switch", "name", map[string]string{"owner": owner}),
		on("Logical_Switch_Port", "name", map[string]string{"owner": owner, "instance": instance}),
	}
	if also.NAT {
		all = append(all, on("NAT", "external_ip", map[string]string{"owner": owner}))
	}
	if also.DHCP {
		all = append(all, on("DHCP_Options", "cidr", map[string]string{"owner": owner}))
	}
	if also.Routing {
		all = append(all,
			on("Logical_Router", "name", map[string]string{"owner": owner}),
			on("Logical_Router_Port", "name", map[string]string{"owner": owner}),
			on("Logical_Router_Static_Route", "ip_prefix", map[string]string{"owner": owner}),
		)
	}
	return all
}
