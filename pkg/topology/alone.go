package topology

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// Alone refuses a chassis that takes another host's place: of two that have one system-id
// or one tunnel address, ovn-controller would serve now the one, now the other. Name is
// this host's own name, "" when it is not known.
func (s Settled) Alone(name string, hosts []ovn.Host) error {
	for _, h := range hosts {
		if h.SystemID == s.SystemID && name != "" && h.Name != "" && h.Name != name {
			return fmt.Errorf("system-id %q of this host's Open vSwitch is that of host %q too, was one copied from the other? give this one its own: ovs-vsctl set Open_vSwitch . external_ids:system-id=$(uuidgen), and the same in /etc/openvswitch/system-id.conf",
				s.SystemID, h.Name)
		}
	}
	for _, h := range hosts {
		// An administrator may name several, which are not compared.
		if h.SystemID != s.SystemID && slices.ContainsFunc(h.Encaps, func(e ovn.Encap) bool { return e.Address.String() == s.EncapIP }) {
			return fmt.Errorf("tunnels to %s end at host %q (chassis %q), and this host would have the same address: name another with ovn.encap_ip; if that host is gone for good, or is this one with another system-id, remove what is left of it: docker exec ovn-central ovn-sbctl chassis-del %[3]s, where OVN central runs",
				s.EncapIP, cmp.Or(h.Name, "without a name"), h.SystemID)
		}
	}
	return nil
}
