package topology

import (
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Host is what an endpoint's plan needs to know of the host.
type Host struct {
	OVSDB string
	IPv6  bool   // the kernel has IPv6
	Run   string // where this process sees the host's /run
}

// Lanes are the two plans of an endpoint, which need nothing of each other and
// may run side by side.
type Lanes struct {
	North plan.Plan // the logical switch port
	Host  plan.Plan // the veth pair and the OVS port
}

// Attached is what is there of an endpoint.
type Attached struct {
	Port      *ovn.PortRow // nil when there is none
	Interface *ovs.InterfaceRow
	Link      bool // the host's end of the veth pair
}

// Work is what attaches an endpoint, or what of it is missing: the commands of
// each invocation, so that many endpoints can share one.
type Work struct {
	North   []plan.Op
	Unplug  []plan.Op // of a port whose device is another one than when it was added
	Veth    []plan.Op
	Offload []plan.Op
	Plug    []plan.Op
}

// Plan returns what attaches the endpoint.
func (e Endpoint) Plan(n Network, h Host) Lanes {
	e.Sandbox = "" // also of one that has joined, to be taken back
	w := e.Missing(n, h, Attached{})
	return Lanes{North: North(n.NB, w), Host: h.Plan(w)}
}

// Missing returns what the endpoint lacks. What is there stays as it is, also
// when an administrator has changed it; only what binds the parts together is
// set right. The veth pair of a container that runs cannot be made again, for
// its other end was in the container: then nothing of the host is worth making.
func (e Endpoint) Missing(n Network, h Host, seen Attached) Work {
	return Work{North: e.north(n, seen.Port)}.with(e.host(n, h, seen))
}

func (w Work) with(host Work) Work {
	host.North = w.North
	return host
}

// Nothing reports whether the endpoint lacks nothing.
func (w Work) Nothing() bool {
	return len(w.North)+len(w.Unplug)+len(w.Veth)+len(w.Offload)+len(w.Plug) == 0
}

// North returns the work in the northbound database as one plan.
func North(nb string, all ...Work) plan.Plan {
	var ops []plan.Op
	for _, w := range all {
		ops = append(ops, w.North...)
	}
	return plan.New(plan.Step{Target: ovn.Northbound(nb), Ops: ops})
}

// Plan returns the work on the host as one plan.
func (h Host) Plan(all ...Work) plan.Plan {
	local := ovs.LocalNoWait(h.OVSDB)
	// Two transactions: ovs-vswitchd would not see that a port was removed and
	// added in one, and keep the device that is gone.
	unplug, veth := plan.Step{Target: local}, plan.Step{Target: link.Batch()}
	offload, plug := plan.Step{Target: link.Ethtool()}, plan.Step{Target: local}
	for _, w := range all {
		unplug.Ops = append(unplug.Ops, w.Unplug...)
		veth.Ops = append(veth.Ops, w.Veth...)
		offload.Ops = append(offload.Ops, w.Offload...)
		plug.Ops = append(plug.Ops, w.Plug...)
	}
	plug.Beside = len(offload.Ops) > 0 // which is of the other end
	return plan.New(unplug, veth, offload, plug)
}

// marks are those of the endpoint's port in OVN.
func (e Endpoint) marks(n Network) map[string]string {
	return ids("instance", e.Instance, "host", n.Host, "network_id", n.ID, "endpoint_id", e.ID, "tenant_id", n.Options.TenantID)
}

func (e Endpoint) north(n Network, have *ovn.PortRow) []plan.Op {
	p := e.SwitchPort()
	marks := e.marks(n)
	v4, v6 := n.dhcpOf(e)
	var ops []plan.Op
	if have != nil {
		moved := have.Switch != n.Switch()
		if !moved && len(have.Addresses) > 0 && holds(have.ExternalIDs, marks) {
			if n.ServesDHCP() && (have.DHCPv4 != v4 || have.DHCPv6 != v6) {
				return []plan.Op{ovn.SwitchPortDHCP(p, v4, v6)}
			}
			return nil
		}
		if moved {
			ops = append(ops, ovn.SwitchPortDelete(p))
		}
	}
	words := []string{e.MAC}
	for _, a := range e.Addresses {
		words = append(words, a.Addr().String())
	}
	address := strings.Join(words, " ")
	security := ovn.SwitchPortSecurity(p, address)
	switch {
	case n.ForwardsAt(e.Addresses):
		security = ovn.SwitchPortUnguarded(p)
	case n.Options.DHCP == options.DHCPExternal:
		// Which address a server of somebody's gives it is not known.
		security = ovn.SwitchPortSecurity(p, e.MAC)
	}
	ops = append(ops,
		ovn.SwitchPortAdd(n.Switch(), p),
		ovn.SwitchPortAddresses(p, address),
		security,
		ovn.SwitchPortSet(p, marks),
	)
	if v4 != "" || v6 != "" {
		ops = append(ops, ovn.SwitchPortDHCP(p, v4, v6))
	}
	return ops
}

func (e Endpoint) host(n Network, h Host, seen Attached) Work {
	name, peer, port := e.HostLink(), e.PeerLink(), ovs.Port(e.HostLink())
	var w Work
	if !seen.Link {
		if seen.Interface != nil {
			w.Unplug = []plan.Op{ovs.PortDelete(port)}
		}
		if e.Sandbox != "" {
			return w
		}
		w.Veth = []plan.Op{link.VethAdd(name, peer, e.MAC, n.MTU)}
		if h.IPv6 {
			w.Veth = append(w.Veth, link.NoLinkLocal(name))
		}
		w.Veth = append(w.Veth, link.Up(name))
		if n.Datapath == Userspace {
			w.Offload = []plan.Op{link.TxOff(peer)}
		}
	}
	marks := ids("instance", e.Instance, "iface-id", string(e.SwitchPort()), "attached-mac", e.MAC,
		"network_id", n.ID, "endpoint_id", e.ID, "container_id", e.ID, "tenant_id", n.Options.TenantID)
	if have := seen.Interface; have != nil && seen.Link {
		switch {
		case have.Bridge == n.Bridge() && have.Error == "" && holds(have.ExternalIDs, marks):
			return w
		case have.Bridge != n.Bridge() || have.Error != "":
			w.Unplug = []plan.Op{ovs.PortDelete(port)}
		}
	}
	w.Plug = []plan.Op{ovs.PortAdd(n.Bridge(), port), ovs.InterfaceSet(port, marks)}
	return w
}

// holds reports whether all the pairs are there.
func holds(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}
