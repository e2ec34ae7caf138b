package topology

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

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

	// What was settled when the network was made.
	NB       string `json:"nb_connection"` // in use, which auto-create may have moved
	SB       string `json:"sb_connection"`
	Database string `json:"nb_database"` // UUID of NB_Global: the identity of NB
	Datapath string `json:"datapath"`    // of the bridge: "system" or "netdev"
	MTU      int    `json:"mtu"`
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
	// Deferred is true while the northbound database does not have the
	// endpoint's port because it could not be reached.
	Deferred bool `json:"deferred,omitempty"`
}

// Switch returns the logical switch of the network.
func (n Network) Switch() ovn.Switch { return ovn.Switch(n.Options.Switch) }

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
