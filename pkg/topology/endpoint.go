package topology

import (
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Host is what an endpoint's plan needs to know of the host.
type Host struct {
	OVSDB string
	IPv6  bool // the kernel has IPv6
}

// Lanes are the two plans of an endpoint, which need nothing of each other and
// may run side by side.
type Lanes struct {
	North plan.Plan // the logical switch port
	Host  plan.Plan // the veth pair and the OVS port
}

// Plan returns what attaches the endpoint.
func (e Endpoint) Plan(n Network, h Host) Lanes {
	return Lanes{North: e.north(n), Host: e.host(n, h)}
}

func (e Endpoint) north(n Network) plan.Plan {
	p := e.SwitchPort()
	words := []string{e.MAC}
	for _, a := range e.Addresses {
		words = append(words, a.Addr().String())
	}
	address := strings.Join(words, " ")
	return plan.New(plan.Step{Target: ovn.Northbound(n.NB), Ops: []plan.Op{
		ovn.SwitchPortAdd(n.Switch(), p),
		ovn.SwitchPortAddresses(p, address),
		ovn.SwitchPortSecurity(p, address),
		ovn.SwitchPortSet(p, ids("instance", e.Instance, "host", n.Host, "network_id", n.ID, "endpoint_id", e.ID, "tenant_id", n.Options.TenantID)),
	}})
}

func (e Endpoint) host(n Network, h Host) plan.Plan {
	name, peer := e.HostLink(), e.PeerLink()
	veth := []plan.Op{link.VethAdd(name, peer, e.MAC, n.MTU)}
	if h.IPv6 {
		veth = append(veth, link.NoLinkLocal(name))
	}
	veth = append(veth, link.Up(name))
	var offload []plan.Op
	if n.Datapath == Userspace {
		offload = append(offload, link.TxOff(peer))
	}
	port := ovs.Port(name)
	return plan.New(
		plan.Step{Target: link.Batch(), Ops: veth},
		plan.Step{Target: link.Ethtool(), Ops: offload},
		plan.Step{Target: ovs.LocalNoWait(h.OVSDB), Ops: []plan.Op{
			ovs.PortAdd(n.Bridge(), port),
			ovs.InterfaceSet(port, ids("instance", e.Instance, "iface-id", string(e.SwitchPort()), "attached-mac", e.MAC,
				"network_id", n.ID, "endpoint_id", e.ID, "container_id", e.ID, "tenant_id", n.Options.TenantID)),
		}},
	)
}
