package topology

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
)

// Owner is the value of external_ids:owner of every row that is ours.
const Owner = "ovs-container-network"

// Subnet is one address pool of a network.
type Subnet struct {
	Pool    netip.Prefix          `json:"pool"`
	Gateway netip.Addr            `json:"gateway,omitzero"`
	Aux     map[string]netip.Addr `json:"aux,omitempty"` // --aux-address
	// Range is --ip-range, which only a network that is rebuilt from what Docker
	// tells has.
	Range netip.Prefix `json:"-"`
}

// Network is the desired state of a Docker network, as it is stored.
type Network struct {
	ID           string          `json:"id"`
	Instance     string          `json:"instance"` // of the data directory that made it
	Host         string          `json:"host"`     // system-id of the chassis
	Options      options.Network `json:"options"`
	AddressSpace string          `json:"address_space,omitempty"`
	Subnets      []Subnet        `json:"subnets"` // of both families, in no order
	Internal     bool            `json:"internal,omitempty"`

	// Changed are options that were changed since, by name: Docker tells the old ones.
	Changed map[string]string `json:"changed,omitempty"`

	// What Docker tells only after the network was made.
	Name    string `json:"name,omitempty"`
	Compose string `json:"compose,omitempty"` // "project/network", of a network made by Compose

	// What was settled when the network was made, or since.
	NB       string `json:"nb_connection"` // in use, which auto-create may have moved
	SB       string `json:"sb_connection"`
	Database string `json:"nb_database"` // UUID of NB_Global: the identity of NB
	Datapath string `json:"datapath"`    // of the bridge: "system" or "netdev"
	MTU      int    `json:"mtu"`

	GatewayRouter ovn.Router  `json:"gateway_router,omitempty"` // of a transit network
	Transit       *Attachment `json:"transit,omitempty"`        // of the network's router
	// Exit are the addresses, on the join switch, of the network's router when it
	// leads out, or is led in to, through the host.
	Exit []netip.Prefix `json:"exit,omitempty"`
	// Apart says that there its endpoints have addresses of their own, since a tenant
	// with the same subnet may lead out too.
	Apart bool `json:"apart,omitempty"`
	// DHCP are the rows of DHCP_Options, by subnet, that the network's ports refer to.
	DHCP map[netip.Prefix]string `json:"dhcp_options,omitempty"`
	// Leases are the spans of addresses that the plugin's IPAM driver gives away on
	// this host.
	Leases []netipx.IPRange `json:"leases,omitempty"`
	// Uplink is the network's router's place on a provider network, when it leads out
	// through that.
	Uplink *Uplink `json:"uplink,omitempty"`
}

// Attachment is a router's place on a transit network. It is all that is needed
// to make the transit network's objects again, also when its Docker network is
// gone: what is in use stays.
type Attachment struct {
	Switch    ovn.Switch     `json:"switch"`
	Router    ovn.Router     `json:"gateway_router"`
	Tenant    string         `json:"tenant_id,omitempty"`
	VLAN      string         `json:"vlan,omitempty"`
	External  netip.Addr     `json:"external_gateway,omitzero"` // next hop of the gateway router
	Gateways  []netip.Prefix `json:"gateways"`                  // addresses of the gateway router, with the length of the subnets
	Addresses []netip.Prefix `json:"addresses"`                 // of the attached router
	Exit      []netip.Prefix `json:"exit,omitempty"`            // of the gateway router, on the join switch
	Uplink    *Uplink        `json:"uplink,omitempty"`          // of the gateway router
	NoNAT     bool           `json:"no_nat,omitempty"`          // what leaves through the host keeps its address
}

// leadsElsewhere reports whether the way out of the transit network is not this
// host.
func (to Attachment) leadsElsewhere() bool { return to.External.IsValid() && len(to.Exit) == 0 }

// through returns the gateway router's address, and the attached router's, in
// one subnet of the family; false when the transit network does not have it.
func (to Attachment) through(family netip.Addr) (gateway, address netip.Addr, ok bool) {
	for _, g := range to.Gateways {
		for _, a := range to.Addresses {
			if a.Addr().Is4() == family.Is4() && g.Masked() == a.Masked() {
				return g.Addr(), a.Addr(), true
			}
		}
	}
	return netip.Addr{}, netip.Addr{}, false
}

// Endpoint is the desired state of one container's attachment to a network, as
// it is stored.
type Endpoint struct {
	ID        string         `json:"id"`
	NetworkID string         `json:"network_id"`
	Instance  string         `json:"instance"`
	MAC       string         `json:"mac"`
	Addresses []netip.Prefix `json:"addresses"`         // with the length of their subnets
	Sandbox   string         `json:"sandbox,omitempty"` // set while joined
	// Ports are those of the host that lead to it.
	Ports []Port `json:"ports,omitempty"`
	// FloatingIP is an address on a provider network that is the endpoint's own
	// there.
	FloatingIP netip.Addr `json:"floating_ip,omitzero"`
	// Outside is its address on the join switch, on a network that is apart.
	Outside netip.Addr `json:"outside,omitzero"`
	// Container is the name of its container, as far as its network's mirror asks for
	// that: dockerd does not tell it.
	Container string `json:"container,omitempty"`
	// Mirror says whether it is mirrored; nil leaves that to its network.
	Mirror *bool `json:"mirror,omitempty"`
	// Deferred is true while the northbound database does not have the
	// endpoint's port because it could not be reached.
	Deferred bool `json:"deferred,omitempty"`
}

// Switch returns the logical switch of the network. That of a transit network
// that names none is named after its first subnet, so that one that is made
// again, or on another host, finds it.
func (n Network) Switch() ovn.Switch {
	if n.Options.Switch != "" || len(n.Subnets) == 0 {
		return ovn.Switch(n.Options.Switch)
	}
	return ovn.Switch("ls-transit-" + strings.NewReplacer("/", "-", ":", "-").Replace(n.Subnets[0].Pool.String()))
}

// IsTransit reports whether the network joins the routers of others.
func (n Network) IsTransit() bool { return n.Options.Role == options.RoleTransit }

// Router returns the logical router that owns the network's gateway address;
// "" when there is none.
func (n Network) Router() ovn.Router {
	if n.IsTransit() {
		return n.GatewayRouter
	}
	return ovn.Router(n.Options.Router)
}

// Routed reports whether a logical router owns the network's gateway address.
func (n Network) Routed() bool { return n.IsTransit() || n.Options.Router != "" }

// Validate refuses what cannot be made, whatever is there.
func (n Network) Validate() error {
	if err := errors.Join(n.validateAddresses(), n.validateMirror()); err != nil {
		return err
	}
	if n.Internal && n.Options.SNAT.IsValid() {
		return fmt.Errorf("ovn.nat %q: an --internal network has no way out: leave one of the two out", n.Options.SNAT)
	}
	if !n.Routed() {
		return nil
	}
	if len(n.Gateways()) == 0 {
		what := fmt.Sprintf("ovn.router %q", n.Options.Router)
		if n.IsTransit() {
			what = "the gateway router of a transit network"
		}
		return fmt.Errorf("%s needs an address in the network: create it with --subnet (and --gateway)", what)
	}
	next := n.Options.ExternalGateway
	if next.IsValid() && !slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Pool.Contains(next) }) {
		return fmt.Errorf("ovn.external_gateway %q is in no subnet of the network: give the address that the gateway has on it", next)
	}
	return nil
}

// validateAddresses refuses ways to get addresses that cannot work together.
func (n Network) validateAddresses() error {
	switch {
	case n.Options.IPAM == options.IPAMExternal && n.Gives():
		return errors.New("ipam=external: somebody else gives the addresses, and the IPAM driver would too: create the network with --ipam-driver null, or leave ipam=external out")
	case n.Options.IPAM == options.IPAMStatic && len(n.Subnets) == 0:
		return errors.New("ipam=static: without a subnet there is no address to give with --ip: create the network with --subnet, without --ipam-driver null")
	}
	if n.ServesDHCP() && !slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Gateway.IsValid() }) {
		return errors.New("dhcp=ovn needs a subnet: create the network with --subnet, without --ipam-driver null")
	}
	return nil
}

// wayOut returns the next hop that leads out of a transit network; not valid when
// it has none. With the network's own gateway address as the external gateway that
// is the host, for no machine on the network can have that address.
func (n Network) wayOut() netip.Addr {
	switch next := n.Options.ExternalGateway; {
	case n.IsTransit() && n.Uplink != nil:
		return n.Uplink.NextHop
	case !n.IsTransit() || !next.IsValid():
		return netip.Addr{}
	case n.LeadsOut():
		return exitAddress.Addr()
	case n.hasGateway(next):
		return netip.Addr{} // --internal
	default:
		return next
	}
}

func (n Network) vlan() string {
	if n.Options.VLAN == 0 {
		return ""
	}
	return strconv.Itoa(n.Options.VLAN)
}

// hasGateway reports whether the network's router owns the address.
func (n Network) hasGateway(a netip.Addr) bool {
	return slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Gateway == a })
}

// ForwardsAt reports whether a container with one of these addresses is the
// external gateway of the transit network: it sends what others have sent to it.
func (n Network) ForwardsAt(addresses []netip.Prefix) bool {
	next := n.Options.ExternalGateway
	return n.IsTransit() && next.IsValid() && slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr() == next })
}

// GatewayOf returns the addresses that the endpoint's container sends through,
// of both families; "" for none. That of a provider network is a machine on the
// wire. With ipam=external somebody else tells the container. The external gateway of a transit network has
// its own way out.
func (n Network) GatewayOf(e Endpoint) (v4, v6 string) {
	if !n.gatewayServes() || n.ForwardsAt(e.Addresses) {
		return "", ""
	}
	for _, a := range e.Addresses {
		for _, s := range n.Subnets {
			switch {
			case !s.Gateway.IsValid() || !s.Pool.Contains(a.Addr()):
			case s.Gateway.Is4():
				v4 = s.Gateway.String()
			default:
				v6 = s.Gateway.String()
			}
		}
	}
	return v4, v6
}

// Gateways returns the network's gateway addresses, with the length of their
// subnets.
func (n Network) Gateways() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			all = append(all, netip.PrefixFrom(s.Gateway, s.Pool.Bits()))
		}
	}
	return all
}

// WithGateways returns the network with the gateway addresses that Docker chose,
// and does not tell of a network that it has already: as its router has them, or
// else by the rule that Docker goes by.
func (n Network) WithGateways(seen ovn.Seen) Network {
	n.Subnets = slices.Clone(n.Subnets)
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if s.Gateway.IsValid() || !n.Routed() && !n.Gives() {
			continue
		}
		s.Gateway = s.usualGateway()
		if n.Gives() {
			s.Gateway = ipam.First(s.Pool)
		}
		for r := range seen.Routers {
			for _, at := range places(seen, &seen.Routers[r]) {
				if on := switchOf(seen, at.link); on == nil || on.Name != n.Switch() {
					continue
				}
				_, mine := at.port.ExternalIDs[userPrefix+n.ID]
				for _, a := range at.port.Networks {
					if a.Masked() == s.Pool && (mine || seen.Routers[r].Name == n.Router()) {
						s.Gateway = a.Addr()
					}
				}
			}
		}
	}
	return n
}

// usualGateway is the first address that may be given away (libnetwork's
// ipam.Allocator, which reserves the first of a pool).
func (s Subnet) usualGateway() netip.Addr {
	if s.Range.IsValid() && s.Range.Addr() != s.Pool.Addr() {
		return s.Range.Addr()
	}
	return s.Pool.Addr().Next()
}

// Bridge returns the integration bridge of the network.
func (n Network) Bridge() ovs.Bridge { return ovs.Bridge(n.Options.Bridge) }

// SwitchPort returns the logical switch port of the endpoint. It is the
// endpoint's whole id: never used twice, and known from "docker inspect".
func (e Endpoint) SwitchPort() ovn.SwitchPort { return ovn.SwitchPort(e.ID) }

// HostLink returns the end of the veth pair that stays on the host, and is the
// OVS port.
func (e Endpoint) HostLink() string { return "ocn" + short(e.ID) }

// PeerLink returns the end that dockerd moves into the container.
func (e Endpoint) PeerLink() string { return "oci" + short(e.ID) }

// short cuts an id to what a device name has room for: 15 characters less a
// prefix of three (IFNAMSIZ, netdevice(7)).
func short(id string) string { return id[:min(12, len(id))] }

// MAC returns the MAC address of an endpoint: 0a:00 and its IPv4 address, so
// that no two ports of a switch share one, whichever host they are on, and
// that an address is all that is needed to know it. Without an IPv4 address
// the four bytes are hashed from what there is.
func MAC(addresses []netip.Prefix, endpointID string) string {
	seed := endpointID
	for _, a := range addresses {
		if a.Addr().Is4() {
			b := a.Addr().As4()
			return fmt.Sprintf("0a:00:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
		}
		seed = a.Addr().String()
	}
	b := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("0a:06:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// ids returns the external_ids of a row, empty values left out.
func ids(pairs ...string) map[string]string {
	m := map[string]string{"owner": Owner}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}
