package ovn

import (
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// SwitchRow is what a request needs to know of a logical switch that is there.
type SwitchRow struct {
	UUID        string
	Name        Switch
	ExternalIDs map[string]string
	Ports       []string // UUIDs of its ports
	Guarded     bool     // has access control lists
	Subnet      string   // in which ovn-northd chooses addresses, "" for none

	row ovsdb.Row
}

// RouterRow is a logical router that is there.
type RouterRow struct {
	UUID        string
	Name        Router
	ExternalIDs map[string]string
	Ports       []string // UUIDs
	Routes      []string // UUIDs
	NATs        []string // UUIDs
	Policies    []string // UUIDs
	// More says that it holds what no builder here makes: load balancers.
	More bool

	row ovsdb.Row
}

// RouterPortRow is a logical router port that is there.
type RouterPortRow struct {
	UUID        string
	Name        RouterPort
	MAC         string
	Networks    []netip.Prefix // addresses with the length of their subnets
	ExternalIDs map[string]string
	Chassis     []string // UUIDs of its rows of Gateway_Chassis
	// Advertises are the options of its router advertisements (ovn-nb(5),
	// Logical_Router_Port, ipv6_ra_configs).
	Advertises map[string]string
	MTU        int // of what it forwards there (options:gateway_mtu); 0 for any

	row ovsdb.Row
}

// LinkRow is a logical switch port of type router: the switch's end of a
// router port.
type LinkRow struct {
	UUID      string
	Name      SwitchPort
	Peer      RouterPort
	Addresses []string
}

// peerAddresses is what a link has for its addresses when they are those of its peer
// (ovn-nb(5), Logical_Switch_Port, addresses, "router"). Only then does the switch
// know those of the router's distributed NAT rules too (northd.c,
// build_lswitch_ip_unicast_lookup).
const peerAddresses = "router"

// Follows reports whether the link's addresses are those of its peer.
func (l LinkRow) Follows() bool { return slices.Contains(l.Addresses, peerAddresses) }

// LocalnetRow is a logical switch port that leads to a physical network.
type LocalnetRow struct {
	UUID    string
	Name    SwitchPort
	Network string // as ovn-bridge-mappings name it
	Tag     int    // VLAN; 0 for none
}

// NATRow is a rule of a router's that is there.
type NATRow struct {
	UUID        string
	Type        string // "snat" or "dnat_and_snat"
	External    string // address
	Logical     string // address or subnet
	ExternalIDs map[string]string

	row ovsdb.Row
}

// PolicyRow is a routing policy of a router that is there.
type PolicyRow struct {
	UUID        string
	Match       string
	Action      string // "allow", "drop" or "reroute"
	ExternalIDs map[string]string

	row ovsdb.Row
}

// ChassisRow is a chassis that a router's port may be on, the one with the highest
// priority of those that live.
type ChassisRow struct {
	UUID        string
	Chassis     string // system-id
	Priority    int
	ExternalIDs map[string]string

	row ovsdb.Row
}

// RouteRow is a static route of a router that is there.
type RouteRow struct {
	UUID        string
	Prefix      string // "10.0.0.0/24"
	NextHop     string
	Table       string // "" for the main one
	ExternalIDs map[string]string

	row ovsdb.Row
}
