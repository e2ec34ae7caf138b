package ovn

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Seen is one read of the northbound database.
type Seen struct {
	// Database identifies the database whatever address it is reached by: the
	// UUID of its one NB_Global row, which all members of a cluster share.
	Database string
	Switches []SwitchRow
	// The others are read for networks with a router only, and then are all
	// that there are.
	Routers     []RouterRow
	RouterPorts []RouterPortRow
	Links       []LinkRow
	Routes      []RouteRow
	// Localports are the logical switch ports that every chassis binds for itself.
	Localports []LinkRow
	Localnets  []LocalnetRow
	NATs       []NATRow
	Policies   []PolicyRow
	Chassis    []ChassisRow
	DHCP       []DHCPRow
	// Taken are the addresses of the ports, but for links, of the switches that
	// TakenOn was asked about.
	Taken map[Switch][]netip.Addr

	index *index
}

// Containers returns the ports of the switch but for links.
func (s Seen) Containers(of SwitchRow) []string {
	links := make(map[string]bool, len(s.Links))
	for _, l := range s.Links {
		links[l.UUID] = true
	}
	var ports []string
	for _, port := range of.Ports {
		if !links[port] {
			ports = append(ports, port)
		}
	}
	return ports
}

// Named returns the switches of that name: OVN allows several.
func (s Seen) Named(name Switch) []SwitchRow {
	var rows []SwitchRow
	for _, row := range s.Switches {
		if row.Name == name {
			rows = append(rows, row)
		}
	}
	return rows
}

// RoutersNamed returns the routers of that name.
func (s Seen) RoutersNamed(name Router) []RouterRow {
	var rows []RouterRow
	for _, row := range s.Routers {
		if row.Name == name {
			rows = append(rows, row)
		}
	}
	return rows
}

var (
	switchColumns     = []string{"_uuid", "name", "external_ids", "ports", "acls", "other_config"}
	routerColumns     = []string{"_uuid", "name", "external_ids", "ports", "static_routes", "nat", "policies", "load_balancer"}
	routerPortColumns = []string{"_uuid", "name", "mac", "networks", "external_ids", "gateway_chassis", "ipv6_ra_configs", "options"}
	linkColumns       = []string{"_uuid", "name", "type", "addresses", "options", "tag"}
	routeColumns      = []string{"_uuid", "ip_prefix", "nexthop", "route_table", "external_ids"}
)

// Look is the read of what is there under a switch name; ReadSeen reads its
// answer.
func Look(conn string, s Switch) ovsdb.Transaction {
	return northbound(conn, ovsdb.Select("NB_Global", nil, "_uuid"), switchNamed(s))
}

// LookAtRouting is the read of all that routes, of the switches of transit and
// provider networks, and of what is there under switch names; ReadRouting reads its answer. There
// are far fewer of these than of containers' ports.
func LookAtRouting(conn string, names ...Switch) ovsdb.Transaction {
	ops := routing()
	for _, role := range []string{"transit", "provider"} {
		ops = append(ops, ovsdb.Select("Logical_Switch", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"role": role})}, switchColumns...))
	}
	for _, s := range names {
		ops = append(ops, switchNamed(s))
	}
	return northbound(conn, ops...)
}

func switchNamed(s Switch) ovsdb.Operation {
	return ovsdb.Select("Logical_Switch", []ovsdb.Condition{ovsdb.Is("name", string(s))}, switchColumns...)
}

func routing() []ovsdb.Operation {
	return []ovsdb.Operation{
		ovsdb.Select("NB_Global", nil, "_uuid"),
		ovsdb.Select("Logical_Router", nil, routerColumns...),
		ovsdb.Select("Logical_Router_Port", nil, routerPortColumns...),
		ovsdb.Select("Logical_Switch_Port", []ovsdb.Condition{ovsdb.IsNot("type", "")}, linkColumns...),
		ovsdb.Select("Logical_Router_Static_Route", nil, routeColumns...),
		ovsdb.Select("NAT", nil, "_uuid", "type", "external_ip", "logical_ip", "external_ids"),
		ovsdb.Select("Logical_Router_Policy", nil, "_uuid", "match", "action", "external_ids"),
		ovsdb.Select("Gateway_Chassis", nil, "_uuid", "chassis_name", "priority", "external_ids"),
		ovsdb.Select("DHCP_Options", nil, "_uuid", "cidr", "options", "external_ids"),
	}
}

// TakenOn is the read of the addresses of a switch's ports; ReadTaken reads its
// answer. When they are very many it reads those of all switches: the request is
// one argument (see guardable).
func TakenOn(conn string, ports []string) ovsdb.Transaction {
	if len(ports) > guardable/2 {
		return northbound(conn, ovsdb.Select("Logical_Switch_Port", nil, "addresses", "dynamic_addresses"))
	}
	var ops []ovsdb.Operation
	for _, port := range ports {
		ops = append(ops, ovsdb.Select("Logical_Switch_Port", []ovsdb.Condition{ovsdb.This(port)}, "addresses", "dynamic_addresses"))
	}
	return northbound(conn, ops...)
}

// ReadTaken reads the answer to TakenOn.
func ReadTaken(results []ovsdb.Result) []netip.Addr {
	var all []netip.Addr
	for _, result := range results {
		for _, r := range result.Rows {
			all = append(all, Addresses(append(r.Strings("addresses"), r.String("dynamic_addresses")))...)
		}
	}
	return all
}

// Addresses returns the IP addresses in the addresses of a port, "MAC [IP]…".
func Addresses(of []string) []netip.Addr {
	var all []netip.Addr
	for _, text := range of {
		for w := range strings.FieldsSeq(text) {
			if a, err := netip.ParseAddr(w); err == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

func northbound(conn string, ops ...ovsdb.Operation) ovsdb.Transaction {
	return ovsdb.Transaction{Server: conn, Database: ovsdb.Northbound, Operations: ops}
}

// ReadSeen reads the answer to Look.
func ReadSeen(results []ovsdb.Result) Seen {
	var seen Seen
	if len(results) > 0 {
		seen.database(results[0])
		seen.switches(results[1:])
	}
	return seen
}

// ReadRouting reads the answer to LookAtRouting.
func ReadRouting(results []ovsdb.Result) Seen {
	var seen Seen
	if len(results) < len(routing()) {
		return seen
	}
	seen.database(results[0])
	for _, r := range results[1].Rows {
		seen.Routers = append(seen.Routers, routerRow(r))
	}
	for _, r := range results[2].Rows {
		seen.RouterPorts = append(seen.RouterPorts, routerPortRow(r))
	}
	for _, r := range results[3].Rows {
		switch r.String("type") {
		case "router":
			seen.Links = append(seen.Links, linkRow(r))
		case "localport":
			seen.Localports = append(seen.Localports, linkRow(r))
		case "localnet":
			seen.Localnets = append(seen.Localnets, localnetRow(r))
		}
	}
	for _, r := range results[4].Rows {
		seen.Routes = append(seen.Routes, routeRow(r))
	}
	for _, r := range results[5].Rows {
		seen.NATs = append(seen.NATs, natRow(r))
	}
	for _, r := range results[6].Rows {
		seen.Policies = append(seen.Policies, policyRow(r))
	}
	for _, r := range results[7].Rows {
		seen.Chassis = append(seen.Chassis, chassisRow(r))
	}
	for _, r := range results[8].Rows {
		seen.DHCP = append(seen.DHCP, dhcpRow(r))
	}
	seen.switches(results[len(routing()):])
	seen.index = newIndex(seen)
	return seen
}

func (s *Seen) database(result ovsdb.Result) {
	for _, r := range result.Rows {
		s.Database = first(r.UUIDs("_uuid"))
	}
}

// switches reads rows that more than one operation may have selected.
func (s *Seen) switches(results []ovsdb.Result) {
	known := map[string]bool{}
	for _, result := range results {
		for _, r := range result.Rows {
			if row := switchRow(r); !known[row.UUID] {
				known[row.UUID] = true
				s.Switches = append(s.Switches, row)
			}
		}
	}
}

func switchRow(r ovsdb.Row) SwitchRow {
	return SwitchRow{
		UUID: first(r.UUIDs("_uuid")), Name: Switch(r.String("name")), ExternalIDs: r.Map("external_ids"), Ports: r.UUIDs("ports"),
		Guarded: len(r.UUIDs("acls")) > 0, Subnet: r.Map("other_config")["subnet"], row: r,
	}
}

func routerRow(r ovsdb.Row) RouterRow {
	return RouterRow{
		UUID: first(r.UUIDs("_uuid")), Name: Router(r.String("name")), ExternalIDs: r.Map("external_ids"),
		Ports: r.UUIDs("ports"), Routes: r.UUIDs("static_routes"), NATs: r.UUIDs("nat"), Policies: r.UUIDs("policies"),
		More: len(r.UUIDs("load_balancer")) > 0, row: r,
	}
}

func routerPortRow(r ovsdb.Row) RouterPortRow {
	p := RouterPortRow{UUID: first(r.UUIDs("_uuid")), Name: RouterPort(r.String("name")), MAC: r.String("mac"), ExternalIDs: r.Map("external_ids"), Chassis: r.UUIDs("gateway_chassis"), Advertises: r.Map("ipv6_ra_configs"), row: r}
	p.MTU, _ = strconv.Atoi(r.Map("options")["gateway_mtu"])
	for _, text := range r.Strings("networks") {
		if network, err := netip.ParsePrefix(text); err == nil {
			p.Networks = append(p.Networks, network)
		}
	}
	return p
}

func linkRow(r ovsdb.Row) LinkRow {
	return LinkRow{
		UUID: first(r.UUIDs("_uuid")), Name: SwitchPort(r.String("name")), Peer: RouterPort(r.Map("options")["router-port"]),
		Addresses: r.Strings("addresses"),
	}
}

func localnetRow(r ovsdb.Row) LocalnetRow {
	return LocalnetRow{
		UUID: first(r.UUIDs("_uuid")), Name: SwitchPort(r.String("name")), Network: r.Map("options")["network_name"], Tag: r.Int("tag"),
	}
}

func natRow(r ovsdb.Row) NATRow {
	return NATRow{
		UUID: first(r.UUIDs("_uuid")), Type: r.String("type"), External: r.String("external_ip"), Logical: r.String("logical_ip"), ExternalIDs: r.Map("external_ids"), row: r,
	}
}

func policyRow(r ovsdb.Row) PolicyRow {
	return PolicyRow{UUID: first(r.UUIDs("_uuid")), Match: r.String("match"), Action: r.String("action"), ExternalIDs: r.Map("external_ids"), row: r}
}

func chassisRow(r ovsdb.Row) ChassisRow {
	return ChassisRow{UUID: first(r.UUIDs("_uuid")), Chassis: r.String("chassis_name"), Priority: r.Int("priority"), ExternalIDs: r.Map("external_ids"), row: r}
}

func routeRow(r ovsdb.Row) RouteRow {
	return RouteRow{
		UUID: first(r.UUIDs("_uuid")), Prefix: r.String("ip_prefix"), NextHop: r.String("nexthop"), Table: r.String("route_table"),
		ExternalIDs: r.Map("external_ids"), row: r,
	}
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
