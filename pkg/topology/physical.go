package topology

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// providerPrefix begins the keys, on the switch of a provider network, that tell
// routers of the way out there: "provider-<id>" = "SUBNET GATEWAY …".
const providerPrefix = "provider-"

// localnetName is the switch's port to its physical network. No name of a user has
// a colon.
func localnetName(s ovn.Switch) ovn.SwitchPort { return ovn.SwitchPort(string(s) + "::localnet") }

// IsProvider reports whether the network's switch leads to a physical network.
func (n Network) IsProvider() bool { return n.Options.PhysicalNetwork != "" }

// providerMarks are those of the network on its switch.
func (n Network) providerMarks() map[string]string {
	if !n.IsProvider() {
		return nil
	}
	var ways []string
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() && !n.Internal {
			ways = append(ways, s.Pool.String(), s.Gateway.String())
		}
	}
	return map[string]string{"role": "provider", "physical_network": n.Options.PhysicalNetwork, providerPrefix + n.ID: strings.Join(ways, " ")}
}

// localnet sees to the switch's port to its physical network.
func (w *wiring) localnet(s switchAt, physical string, vlan int) error {
	name := localnetName(s.name)
	if s.row != nil {
		if have := w.seen.LocalnetOf(*s.row); have != nil {
			if have.Network != physical || have.Tag != vlan {
				return fmt.Errorf("logical switch %q leads to physical network %q by port %q with tag %d, and this network asks for %q with tag %d: one switch has one, use another ovn.switch",
					s.name, have.Network, have.Name, have.Tag, physical, vlan)
			}
			return nil
		}
	}
	for _, l := range w.seen.Localnets {
		if l.Name == name {
			return fmt.Errorf("logical switch port %q is on another switch than %q: remove it (ovn-nbctl lsp-del)", name, s.name)
		}
	}
	w.there(s)
	w.c.LocalnetInsert(s.ref, name, physical, vlan, w.row())
	return nil
}

// way is a way out of a provider network.
type way struct {
	subnet  netip.Prefix
	gateway netip.Addr
}

// ways reads the marks of a provider network's switch.
func ways(s ovn.SwitchRow) []way {
	var all []way
	for _, text := range users(s.ExternalIDs, providerPrefix) {
		words := strings.Fields(text)
		for i := 0; i+1 < len(words); i += 2 {
			subnet, err := netip.ParsePrefix(words[i])
			gateway, errGateway := netip.ParseAddr(words[i+1])
			if err == nil && errGateway == nil {
				all = append(all, way{subnet, gateway})
			}
		}
	}
	return all
}
