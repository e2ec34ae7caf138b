package options

import (
	"fmt"
	"strings"
)

// option is one row of the table that everything in this package reads.
type option struct {
	name string

	// alias is a second name for the same thing, known to users from other drivers.
	alias string

	// description is the README's text, in Markdown, in one line.
	description string

	// fallback is the default in the form that a user would type; "" is no default.
	fallback string

	// required options have no default and must be given; checkRequired knows the one exception and the promised errors.
	required bool

	// parse sets the field or fields of n. Its errors quote the value and say what is right; the caller adds the name.
	parse func(n *Network, value string) error

	// given, when set, is called after parse if the user gave the value, not the default.
	given func(n *Network)

	// clear takes back what parse and given have set, of an option that may be changed while the network is there.
	clear func(n *Network)
}

var parseRole = oneOf(func(n *Network) *Role { return &n.Role }, RoleTransit)

var networkOptions = []option{
	{
		name: "ovn.switch", required: true,
		description: "OVN logical switch name (not needed with `ovn.role=transit`)",
		parse:       name(func(n *Network) *string { return &n.Switch }, rowName),
	},
	{
		name: "ovn.nb_connection", required: true,
		description: "OVN Northbound DB connection (`tcp:host:port` or `ssl:host:port`, several separated by commas)",
		parse:       connection(func(n *Network) *string { return &n.NB }),
	},
	{
		name: "ovn.sb_connection", required: true,
		description: "OVN Southbound DB connection (`tcp:host:port` or `ssl:host:port`, several separated by commas)",
		parse:       connection(func(n *Network) *string { return &n.SB }),
	},
	{
		name: "bridge", fallback: "br-int",
		description: "OVS bridge name, at most 15 characters",
		parse:       name(func(n *Network) *string { return &n.Bridge }, bridgeName),
	},
	{
		name:        "tenant_id",
		description: "Tenant identifier for multi-tenancy",
		parse:       name(func(n *Network) *string { return &n.TenantID }, plainName),
	},
	{
		name:        "vlan",
		description: "VLAN tag for network isolation (1 to 4094)",
		parse:       number(func(n *Network) *int { return &n.VLAN }, "a VLAN tag", minVLAN, maxVLAN),
	},
	{
		name: "mtu", alias: "com.docker.network.driver.mtu", fallback: "1500",
		description: "Maximum transmission unit (576 to 9216); `com.docker.network.driver.mtu` means the same",
		parse:       number(func(n *Network) *int { return &n.MTU }, "an MTU", minMTU, maxMTU),
		given:       func(n *Network) { n.MTUSet = true },
		clear:       func(n *Network) { n.MTUSet = false },
	},
	{
		name: "ipam", fallback: string(IPAMDocker),
		description: "IPAM mode (docker/static/external/ovn)",
		parse:       oneOf(func(n *Network) *IPAM { return &n.IPAM }, IPAMDocker, IPAMStatic, IPAMExternal, IPAMOVN),
	},
	{
		name:        "mirror.ports",
		description: `Ports to mirror (comma-separated or "all"): addresses, MAC addresses, names of containers`,
		parse:       mirrorPorts,
		clear:       func(n *Network) { n.MirrorPorts = nil },
	},
	{
		name:        "mirror.dest",
		description: "Destination port for mirrored traffic: an OVS port, which is made if there is none, or `container:NAME`, `gre:ADDRESS`, `erspan:ADDRESS`",
		parse:       mirrorDest,
		clear:       func(n *Network) { n.MirrorDest = "" },
	},
	{
		name:        "ovn.router",
		description: "OVN logical router name for L3 connectivity; with `ovn.role=transit`, that of the gateway router (`lr-gateway` if left out)",
		parse:       name(func(n *Network) *string { return &n.Router }, rowName),
	},
	{
		name:        "ovn.role",
		description: `Network role ("transit" for gateway networks, which need no ovn.switch)`,
		parse:       parseRole,
	},
	{
		name:        "ovn.external_gateway",
		description: "IP address of external gateway for transit networks: the next hop of what leaves them",
		parse:       address(func(n *Network) *addr { return &n.ExternalGateway }),
	},
	{
		name:        "ovn.transit_network",
		description: "Name of transit network to connect the router to: Docker's name, that in the same Compose file, or its `ovn.switch`",
		parse:       name(func(n *Network) *string { return &n.TransitNetwork }, rowName),
	},
	{
		name: "ovn.nat", fallback: NATHost,
		description: "Source address of what leaves a router: that of the `host`, its own (`none`), or an IPv4 address on a network with `ovn.physical_network`, through which it leaves then",
		parse:       nat,
	},
	{
		name:        "ovn.physical_network",
		description: "Physical network that the switch leads to, with `vlan` as the tag; a name in `PLUGIN_BRIDGE_MAPPINGS`",
		parse:       name(func(n *Network) *string { return &n.PhysicalNetwork }, plainName),
	},
	{
		name:        "ovn.subnet",
		description: "IPv4 subnet of a network with `ipam=ovn`; its first address is the gateway's",
		parse:       subnet,
	},
	{
		name: "ovn.auto_create", fallback: "false",
		description: "Auto-create OVN central container and transit-overlay network if not running",
		parse:       boolean(func(n *Network) *bool { return &n.AutoCreate }),
	},
	{
		name: "ovn.transit_overlay_network", fallback: "transit-overlay",
		description: "Custom name for transit overlay Docker network",
		parse:       name(func(n *Network) *string { return &n.OverlayNetwork }, dockerNetworkName),
	},
	{
		name: "ovn.encap", fallback: string(EncapGeneve),
		description: "Encapsulation type (geneve/vxlan)",
		parse:       oneOf(func(n *Network) *Encap { return &n.Encap }, EncapGeneve, EncapVXLAN),
		given:       func(n *Network) { n.EncapSet = true },
	},
	{
		name:        "ovn.encap_ip",
		description: "Encapsulation endpoint IP",
		parse:       address(func(n *Network) *addr { return &n.EncapIP }),
	},
	{
		name: "dhcp", fallback: string(DHCPNone),
		description: "DHCP mode (none/ovn/external)",
		parse:       oneOf(func(n *Network) *DHCP { return &n.DHCP }, DHCPNone, DHCPOVN, DHCPExternal),
	},
	{
		name:        "dhcp.dns",
		description: "Name servers that OVN's DHCP tells, of either family, separated by commas",
		parse:       nameServers,
	},
	{
		name:        "dhcp.domain",
		description: "Domain name that OVN's DHCP tells",
		parse:       name(func(n *Network) *string { return &n.DHCPDomain }, domainName),
	},
	{
		name:        "dhcp.lease_time",
		description: "Seconds that an address of OVN's DHCP is good for (60 to 31536000); `3600` if left out",
		parse:       number(func(n *Network) *int { return &n.DHCPLease }, "a lease time in seconds", minLease, maxLease),
	},
}

// lookup finds the value under the option's name or its alias.
//
// An empty value is an error rather than the default: it comes from `--opt name` without "=", or from a variable
// that Compose found unset, and both mean something other than "as usual".
func (o option) lookup(opts map[string]string) (value string, given bool, err error) {
	value, given = opts[o.name]
	if second, ok := opts[o.alias]; ok && o.alias != "" {
		if given && value != second {
			return "", false, fmt.Errorf("options %q and %q are the same setting but say %s and %s; give one of them",
				o.name, o.alias, quote(value), quote(second))
		}
		value, given = second, true
	}
	if given && value == "" {
		return "", false, fmt.Errorf("option %q: the value is empty; write %s=VALUE or leave the option out", o.name, o.name)
	}
	return value, given, nil
}

// MarkdownTable gives the README's table of network options.
func MarkdownTable() string {
	var b strings.Builder
	b.WriteString("| Option | Description | Default |\n|--------|-------------|---------|\n")
	for _, o := range networkOptions {
		fallback := "none"
		if o.fallback != "" {
			fallback = "`" + o.fallback + "`"
		}
		description := o.description
		if o.required {
			description = "**REQUIRED** - " + description
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o.name, description, fallback)
	}
	return b.String()
}
