package options

import (
	"errors"
	"fmt"
	"net/netip"
)

// The errors that the README promises word for word. ErrTransitConnectionsRequired says for transit networks, which
// need no switch, what ErrConnectionsRequired says for the others.
var (
	ErrSwitchRequired             = errors.New("ovn.switch is required - this plugin requires OVN configuration")
	ErrConnectionsRequired        = errors.New("ovn.nb_connection and ovn.sb_connection are required when using ovn.switch")
	ErrTransitConnectionsRequired = errors.New("ovn.nb_connection and ovn.sb_connection are required when using ovn.role=transit")
)

// Role is the part that a network plays beside carrying its own endpoints.
type Role string

// RoleTransit marks a network that joins the routers of others and leads out through a gateway.
const RoleTransit Role = "transit"

// Encap is the tunnel type between hosts, in the words of OVS (external_ids:ovn-encap-type, ovn-controller(8)).
type Encap string

// The tunnel types of the option ovn.encap.
const (
	EncapGeneve Encap = "geneve"
	EncapVXLAN  Encap = "vxlan"
)

// IPAM says who hands out the addresses of a network.
type IPAM string

// The modes of the option ipam.
const (
	IPAMDocker   IPAM = "docker"
	IPAMStatic   IPAM = "static"
	IPAMExternal IPAM = "external"
	IPAMOVN      IPAM = "ovn"
)

// DHCP says who answers DHCP requests on a network.
type DHCP string

// The modes of the option dhcp.
const (
	DHCPNone     DHCP = "none"
	DHCPOVN      DHCP = "ovn"
	DHCPExternal DHCP = "external"
)

// Network is what the options of one network ask for. It is stored as JSON in the network's state file: a
// renamed tag needs a new schema version there.
type Network struct {
	// Bridge is the integration bridge, at most 15 characters (the kernel's limit for interface names).
	Bridge string `json:"bridge"`

	// Switch and Router are names of OVN rows. Switch may be empty for a transit network only.
	Switch string `json:"switch,omitempty"`
	Router string `json:"router,omitempty"`

	Role            Role       `json:"role,omitempty"`
	TransitNetwork  string     `json:"transit_network,omitempty"`
	ExternalGateway netip.Addr `json:"external_gateway,omitzero"`

	// PhysicalNetwork is that which the switch leads to, by the name that ovn-bridge-mappings has for it.
	PhysicalNetwork string `json:"physical_network,omitempty"`

	// NoNAT lets what leaves through the host keep its source address. SNAT is the address that what leaves through a
	// provider network has. Neither is the default: the host's address.
	NoNAT bool       `json:"no_nat,omitempty"`
	SNAT  netip.Addr `json:"snat,omitzero"`

	// NB and SB are canonical OVSDB connection lists, e.g. "tcp:172.30.0.5:6641" or "tcp:[fd00::1]:6641,tcp:db2:6641".
	NB string `json:"nb"`
	SB string `json:"sb"`

	// AutoCreate asks for OVN central to be made when NB is not reachable; OverlayNetwork is the Docker network that
	// it is put on.
	AutoCreate     bool   `json:"auto_create,omitempty"`
	OverlayNetwork string `json:"overlay_network"`

	// Encap and EncapIP set up the chassis. An invalid EncapIP (the zero value) leaves the choice to the plugin.
	Encap    Encap      `json:"encap"`
	EncapSet bool       `json:"encap_set,omitempty"`
	EncapIP  netip.Addr `json:"encap_ip,omitzero"`

	TenantID string `json:"tenant_id,omitempty"`

	// VLAN is 1 to 4094, or 0 for none.
	VLAN int `json:"vlan,omitempty"`

	// MTU is in bytes, without the Ethernet header. MTUSet tells a value that the user gave from the default, which
	// may be lowered to fit a tunnel.
	MTU    int  `json:"mtu"`
	MTUSet bool `json:"mtu_set,omitempty"`

	IPAM IPAM `json:"ipam"`
	DHCP DHCP `json:"dhcp"`

	// Subnet is that of a network whose addresses OVN chooses; not valid for any other.
	Subnet netip.Prefix `json:"subnet,omitzero"`

	// What OVN's DHCP tells: name servers, a domain, and for how many seconds; 0 is the default.
	DHCPDNS    []netip.Addr `json:"dhcp_dns,omitempty"`
	DHCPDomain string       `json:"dhcp_domain,omitempty"`
	DHCPLease  int          `json:"dhcp_lease_time,omitempty"`

	// MirrorPorts are addresses, MAC addresses and names of containers, or just MirrorAll. MirrorDest is as it was given;
	// without ports it is for containers that ask for it themselves.
	MirrorPorts []string `json:"mirror_ports,omitempty"`
	MirrorDest  string   `json:"mirror_dest,omitempty"`
}

// ParseNetwork reads the options of `docker network create`, as they arrive under com.docker.network.generic.
//
// Checks run in a fixed order, and the first that fails gives the error: unknown options, ovn.switch, the two
// connections, each value, values that contradict each other, and what is not supported yet. So a user who
// mistypes "ovn.switch" reads about the typing mistake, not that the option is missing.
func ParseNetwork(opts map[string]string) (Network, error) {
	if err := checkNames(opts); err != nil {
		return Network{}, err
	}
	if err := checkRequired(opts); err != nil {
		return Network{}, err
	}
	var n Network
	for _, o := range networkOptions {
		value, given, err := o.lookup(opts)
		if err != nil {
			return Network{}, err
		}
		if !given {
			if value = o.fallback; value == "" {
				continue
			}
		}
		if err := o.parse(&n, value); err != nil {
			return Network{}, fmt.Errorf("option %q: %w", o.name, err)
		}
		if given && o.given != nil {
			o.given(&n)
		}
	}
	if err := checkTogether(n); err != nil {
		return Network{}, err
	}
	return n, nil
}

func checkRequired(opts map[string]string) error {
	transit := opts["ovn.role"] == string(RoleTransit)
	if !transit && opts["ovn.switch"] == "" {
		if role := opts["ovn.role"]; role != "" { // a role with a mistake in it would spare the switch
			return fmt.Errorf("option %q: %w", "ovn.role", parseRole(&Network{}, role))
		}
		return ErrSwitchRequired
	}
	if opts["ovn.nb_connection"] != "" && opts["ovn.sb_connection"] != "" {
		return nil
	}
	if opts["ovn.switch"] == "" {
		return ErrTransitConnectionsRequired
	}
	return ErrConnectionsRequired
}

// checkTogether refuses options that are right alone and mean nothing, or two things, beside each other.
func checkTogether(n Network) error {
	if scheme(n.NB) != scheme(n.SB) {
		return fmt.Errorf("options %q and %q: %q and %q mix tcp: and ssl:; use one of them for both",
			"ovn.nb_connection", "ovn.sb_connection", n.NB, n.SB)
	}
	if n.ExternalGateway.IsValid() && n.Role != RoleTransit {
		return fmt.Errorf("option %q: only a network with ovn.role=transit has an external gateway; add that option or leave this one out",
			"ovn.external_gateway")
	}
	if n.TransitNetwork != "" && n.Role == RoleTransit {
		return fmt.Errorf("option %q: a transit network cannot itself connect to the transit network %q; leave one of ovn.role and ovn.transit_network out",
			"ovn.transit_network", n.TransitNetwork)
	}
	if n.TransitNetwork != "" && n.Router == "" {
		return fmt.Errorf("option %q: connecting to the transit network %q takes a router; name one with ovn.router",
			"ovn.transit_network", n.TransitNetwork)
	}
	if err := checkWayOut(n); err != nil {
		return err
	}
	if (n.IPAM == IPAMOVN) != n.Subnet.IsValid() {
		return errors.New("ipam=ovn and ovn.subnet are required together: that OVN chooses the addresses, and in which subnet")
	}
	for _, told := range []struct {
		option string
		given  bool
	}{{"dhcp.dns", len(n.DHCPDNS) > 0}, {"dhcp.domain", n.DHCPDomain != ""}, {"dhcp.lease_time", n.DHCPLease != 0}} {
		if told.given && n.DHCP != DHCPOVN {
			return fmt.Errorf("option %q: only OVN's DHCP server tells it, and dhcp is %q; add dhcp=ovn or leave the option out", told.option, n.DHCP)
		}
	}
	return checkMirror(n)
}

// checkWayOut refuses options that say two things about where a network leads.
func checkWayOut(n Network) error {
	routed := n.Router != "" || n.Role == RoleTransit
	switch nat := n.NAT(); {
	case n.PhysicalNetwork != "" && routed:
		return fmt.Errorf("option %q: a network on the physical network %q has its gateway there; leave ovn.router and ovn.role out, and have a network with a router lead out through this one with ovn.nat=ADDRESS",
			"ovn.physical_network", n.PhysicalNetwork)
	case nat == NATHost:
		return nil
	case !routed:
		return fmt.Errorf("option %q: %q is about what leaves through a router; name one with ovn.router or leave the option out", "ovn.nat", nat)
	case n.TransitNetwork != "":
		return fmt.Errorf("option %q: the router leads out through the transit network %q; give %q to that one", "ovn.nat", n.TransitNetwork, nat)
	case n.SNAT.IsValid() && n.ExternalGateway.IsValid():
		return fmt.Errorf("options %q and %q: %q and %q are two ways out; leave one of them out", "ovn.nat", "ovn.external_gateway", nat, n.ExternalGateway)
	}
	return nil
}

// The values of the option ovn.nat that are no address.
const (
	NATHost = "host"
	NATNone = "none"
)

// NAT returns the value of the option ovn.nat.
func (n Network) NAT() string {
	switch {
	case n.NoNAT:
		return NATNone
	case n.SNAT.IsValid():
		return n.SNAT.String()
	}
	return NATHost
}
