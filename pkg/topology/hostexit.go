package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// ExitLink is the host's own interface on the join switch.
const ExitLink = "ovn-host0"

// Out is what the host does for the routers that lead out through it.
type Out struct {
	Instance string
	Bridge   ovs.Bridge
	Datapath string
	MTU      int
	Routes   map[netip.Prefix]netip.Addr // subnets, and the routers that they are behind
	In       map[netip.Prefix]bool       // subnets that have another way out, and get only what is published
	Bare     map[netip.Prefix]bool       // subnets whose packets leave with their own source addresses
	Apart    map[netip.Prefix]bool       // of outside: that which endpoints are translated to
	Ports    []Publication

	six    bool                   // there were IPv6 subnets
	shared map[netip.Prefix]error // subnets of two networks, which lead to neither
}

// Publication is a port of the host that leads to a container.
type Publication struct {
	Port
	To netip.Addr
}

// WayOut returns what the networks, and the endpoints on them, need of the host;
// it is idle when they need nothing.
func WayOut(instance string, networks []Network, endpoints []Endpoint) Out {
	out := Out{Instance: instance, Routes: map[netip.Prefix]netip.Addr{}, In: map[netip.Prefix]bool{}, Bare: map[netip.Prefix]bool{}, Apart: map[netip.Prefix]bool{}}
	leads, ways := map[string]Network{}, []behind{}
	for _, n := range networks {
		exit := n.exitOf()
		if len(exit) == 0 {
			continue
		}
		leads[n.ID] = n
		for _, s := range n.Subnets {
			via := ofFamily(exit, s.Pool.Addr())
			if !via.IsValid() {
				continue // the transit network does not have it
			}
			if n.Apart {
				continue
			}
			out.Routes[s.Pool] = via
			ways = append(ways, behind{subnet: s.Pool, via: via, network: n.ID})
			switch {
			case n.LeadsIn():
				out.In[s.Pool] = true
			case n.Options.NoNAT, n.Transit != nil && n.Transit.NoNAT:
				out.Bare[s.Pool] = true
			}
		}
		if n.Apart {
			for _, p := range n.LedBy() {
				out.Apart[p] = true
			}
		}
		out.MTU = max(out.MTU, n.MTU) // routers answer what is too long for the smaller
		out.Bridge, out.Datapath = n.Bridge(), n.Datapath
	}
	for _, e := range endpoints {
		n, led := leads[e.NetworkID]
		for _, a := range n.Reached(e) {
			for _, p := range e.Ports {
				if led && p.LeadsTo(a) {
					out.Ports = append(out.Ports, Publication{Port: p, To: a})
				}
			}
		}
	}
	slices.SortFunc(out.Ports, func(a, b Publication) int { return strings.Compare(a.rule(), b.rule()) })
	out.six, out.shared = out.Six(), shared(ways)
	out.Without(out.shared)
	if out.MTU < minimumIPv6 {
		return out.IPv4() // the kernel has no IPv6 on such a link
	}
	return out
}

// ofFamily returns the address, among those of a router, of the other one's family;
// not valid when there is none.
func ofFamily(all []netip.Prefix, other netip.Addr) netip.Addr {
	for _, p := range all {
		if p.Addr().Is4() == other.Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// rule leads the port to the container.
func (p Publication) rule() string {
	at := ""
	if p.Host.IsValid() && !p.Host.IsUnspecified() {
		at = "-d " + netip.PrefixFrom(p.Host, p.Host.BitLen()).String() + " "
	}
	return fmt.Sprintf("%s-p %s -m %[2]s --dport %d -j DNAT --to-destination %s", at, p.Name(), p.HostPort, netip.AddrPortFrom(p.To, p.Container))
}

// Published reads the ports that rules of ours lead to containers: what rule has
// written, of a program that has lost its records.
func Published(rules firewall.Rules) []Publication {
	var all []Publication
	for _, rule := range rules[publishChain] {
		given := map[string]string{}
		words := strings.Fields(rule)
		for i := 0; i+1 < len(words); i += 2 {
			given[words[i]] = words[i+1]
		}
		to, err := netip.ParseAddrPort(given["--to-destination"])
		port, errPort := strconv.ParseUint(given["--dport"], 10, 16)
		p := Publication{To: to.Addr(), Port: Port{HostPort: uint16(port), Container: to.Port()}}
		if at, err := netip.ParsePrefix(given["-d"]); err == nil {
			p.Host = at.Addr()
		} else if p.To.Is6() { // a port of both families has a rule for each
			p.Host = netip.IPv6Unspecified()
		} else {
			p.Host = netip.IPv4Unspecified()
		}
		for number, name := range protocols {
			if name == given["-p"] {
				p.Protocol = number
			}
		}
		if err == nil && errPort == nil && p.rule() == rule {
			all = append(all, p)
		}
	}
	return all
}

// exitOf returns the addresses, on the join switch, of the router that leads out
// through the host for this network, or that the host leads in through; none when
// the host does neither.
func (n Network) exitOf() []netip.Prefix {
	switch {
	case n.Internal:
		return nil
	case n.Transit != nil && !n.LeadsIn():
		return n.Transit.Exit
	}
	return n.Exit
}

// NeedsHost reports whether the network needs something of the host to reach the
// world.
func (n Network) NeedsHost() bool { return len(n.exitOf()) > 0 }

// HostSeen is what is there of it.
type HostSeen struct {
	Interface *ovs.InterfaceRow // nil when there is none
	Addresses []link.Address
	Routes    []link.Route
	Backend   firewall.Backend // to write to
	Filters   map[firewall.Backend]firewall.Rules
	Forwards6 bool // IPv6 packets, of whoever they are
}

// foreign reports whether another plugin of this host leads out.
func (s HostSeen) foreign(instance string) bool {
	return s.Interface != nil && s.Interface.ExternalIDs["instance"] != instance
}

// Yield leaves out the subnets that the host has routes of its own to, which are
// not ours to replace, with the ports that lead there, and returns why, of each. A
// link of the host's is such a route in all its breadth: its other machines would
// be cut off.
func (o *Out) Yield(seen []link.Route) map[netip.Prefix]error {
	conflicts := maps.Clone(o.shared)
	// The widest last: a link's network says more than the link's own address in it.
	routes := slices.SortedFunc(slices.Values(seen), func(a, b link.Route) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	for _, r := range routes {
		if r.Device == ExitLink {
			continue
		}
		for _, subnet := range append(o.subnets(), o.apart()...) {
			host := hostOn(subnet.Addr())
			met := meets(r, host.Masked())
			switch {
			case !o.Apart[subnet] && meets(r, subnet):
				conflicts[subnet] = fmt.Errorf("subnet %s is routed by this host to %s already (%q): choose another --subnet, or add --internal", subnet, r.Prefix, r.Device)
			case met && o.Apart[subnet]:
				conflicts[subnet] = fmt.Errorf("networks of tenants with their own address spaces have no way out through this host, which routes %s (%q) where %s is needed: add --internal, or change that route", r.Prefix, r.Device, host.Masked())
			case met:
				conflicts[subnet] = fmt.Errorf("subnet %s cannot have a way out through this host, which routes %s (%q) where %s is needed: add --internal, or change that route", subnet, r.Prefix, r.Device, host.Masked())
			}
		}
	}
	o.Without(conflicts)
	return conflicts
}

// Without leaves out subnets, and the ports that lead there.
func (o *Out) Without(subnets map[netip.Prefix]error) {
	for subnet := range subnets {
		delete(o.Routes, subnet)
		delete(o.Apart, subnet)
		o.Ports = slices.DeleteFunc(o.Ports, func(p Publication) bool { return subnet.Contains(p.To) })
	}
}

// meets reports whether a route to the subnet would take from the host's own one.
func meets(r link.Route, subnet netip.Prefix) bool {
	return r.Prefix.Overlaps(subnet) && (!r.Via.IsValid() || r.Prefix.Bits() >= subnet.Bits())
}

// IPv4 returns what is left on a host without IPv6.
func (o Out) IPv4() Out {
	o.six, o.Routes, o.Apart = false, maps.Clone(o.Routes), maps.Clone(o.Apart)
	delete(o.Apart, outside6)
	maps.DeleteFunc(o.Routes, func(p netip.Prefix, _ netip.Addr) bool { return p.Addr().Is6() })
	o.Ports = slices.DeleteFunc(slices.Clone(o.Ports), func(p Publication) bool { return p.To.Is6() })
	return o
}

func (o Out) subnets() []netip.Prefix { return slices.SortedFunc(maps.Keys(o.Routes), byAddress) }

func (o Out) apart() []netip.Prefix { return slices.SortedFunc(maps.Keys(o.Apart), byAddress) }

func byAddress(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }

// Idle reports whether nobody needs anything of the host.
func (o Out) Idle() bool { return len(o.Routes)+len(o.Apart) == 0 }

// Plan returns what the host lacks, and what it has of ours and should not.
func (o Out) Plan(h Host, seen HostSeen) plan.Plan {
	if o.Idle() {
		if seen.foreign(o.Instance) {
			return plan.Plan{}
		}
		p := plan.Plan{Steps: seen.without(func(firewall.Backend) bool { return true })}
		if seen.Interface != nil {
			p.Steps = append(p.Steps, plan.Step{Target: ovs.Local(h.OVSDB), Ops: []plan.Op{ovs.PortDelete(ExitLink)}})
		}
		return p
	}
	port, links, links6 := o.link(h, seen)
	// First what keeps tenants apart, then what they could meet on; and what concerns
	// IPv6 last, so that nothing of IPv4 hangs on it.
	return plan.Plan{Steps: slices.Concat(o.filter(seen), port.Steps, links.Steps, o.filter6(seen), links6.Steps)}
}

// Filter returns what the packet filter lacks for the subnets that there are, and
// what it has of ours and should not.
func (o Out) Filter(seen HostSeen) plan.Plan {
	return plan.Plan{Steps: append(o.filter(seen), o.filter6(seen)...)}
}

func (o Out) filter(seen HostSeen) []plan.Step {
	steps := o.rules(seen.Filters[seen.Backend], exitAddress).Plan(seen.Backend, seen.Filters[seen.Backend], chainPrefix).Steps
	// Which backend Docker uses is seen only once it has made its own chains, after a
	// boot later than we do.
	return append(steps, seen.without(func(b firewall.Backend) bool { return b != seen.Backend && !b.IPv6 })...)
}

func (o Out) filter6(seen HostSeen) []plan.Step {
	six, wanted := seen.Backend.Six(), o.Six()
	var steps []plan.Step
	if wanted {
		steps = o.rules(seen.Filters[six], exitAddress6).Plan(six, seen.Filters[six], chainPrefix).Steps
	}
	return append(steps, seen.without(func(b firewall.Backend) bool { return b.IPv6 && (b != six || !wanted) })...)
}

// Six reports whether there are IPv6 subnets, or were before Yield: what they could
// reach is guarded as long as their containers can send.
func (o Out) Six() bool {
	return o.six || o.Apart[outside6] || slices.ContainsFunc(o.subnets(), func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// without removes chains of ours from backends.
func (s HostSeen) without(which func(firewall.Backend) bool) []plan.Step {
	var steps []plan.Step
	for _, b := range slices.SortedFunc(maps.Keys(s.Filters), func(a, b firewall.Backend) int { return strings.Compare(a.Save(), b.Save()) }) {
		if which(b) {
			steps = append(steps, firewall.Desired{}.Plan(b, s.Filters[b], chainPrefix).Steps...)
		}
	}
	return steps
}

// markForwards, in external_ids of the interface, says of which family the host forwards
// packets because of this plugin.
const markForwards = "forwards"

// link returns what makes the interface, its address and its routes.
func (o Out) link(h Host, seen HostSeen) (port, links, links6 plan.Plan) {
	marks := ids("instance", o.Instance, "iface-id", string(exitPort), "attached-mac", exitMAC())
	forwards := o.Six() && (!seen.Forwards6 || seen.Interface != nil && seen.Interface.ExternalIDs[markForwards] != "")
	if forwards {
		marks[markForwards] = "ipv6"
	}
	fresh := seen.Interface == nil || seen.Interface.Bridge != o.Bridge || seen.Interface.Error != ""
	at := func(p netip.Prefix) int {
		return slices.IndexFunc(seen.Addresses, func(a link.Address) bool { return a.Link == ExitLink && a.Prefix == p })
	}
	have, six := at(exitAddress), o.Six()
	fresh6 := six && (fresh || at(exitAddress6) < 0)
	settled := !fresh && have >= 0 && seen.Addresses[have].MTU == o.MTU
	if !settled || !holds(seen.Interface.ExternalIDs, marks) {
		var ops []plan.Op
		if seen.Interface != nil && fresh {
			ops = append(ops, ovs.PortDelete(ExitLink))
		}
		port = plan.New(plan.Step{Target: ovs.Local(h.OVSDB), Ops: ops},
			plan.Step{Target: ovs.Local(h.OVSDB), Ops: []plan.Op{
				ovs.PortAdd(o.Bridge, ExitLink), ovs.InternalSet(ExitLink, exitMAC(), o.MTU), ovs.InterfaceSet(ExitLink, marks),
			}})
	}
	var ops, ops6 []plan.Op
	of := func(p netip.Prefix) *[]plan.Op {
		if p.Addr().Is6() {
			return &ops6
		}
		return &ops
	}
	if !settled {
		ops = append(ops, link.Hardware(ExitLink, exitMAC()), link.MTU(ExitLink, o.MTU), link.Up(ExitLink), link.AddressReplace(ExitLink, exitAddress))
	}
	if fresh6 {
		ops6 = append(ops6, link.AddressReplace(ExitLink, exitAddress6))
	}
	for _, r := range seen.Routes {
		if r.Device == ExitLink && !fresh && r.Via.IsValid() && o.Routes[r.Prefix] != r.Via {
			*of(r.Prefix) = append(*of(r.Prefix), link.RouteDelete(ExitLink, r.Prefix))
		}
	}
	for _, s := range o.subnets() {
		there := slices.ContainsFunc(seen.Routes, func(r link.Route) bool { return r.Device == ExitLink && r.Prefix == s && r.Via == o.Routes[s] })
		if fresh || !there {
			*of(s) = append(*of(s), link.RouteAdd(ExitLink, s, o.Routes[s]))
		}
	}
	var steps, steps6 []plan.Step
	if fresh && six { // not before it is guarded
		steps = append(steps, plan.Step{Target: link.Sysctl(), Ops: []plan.Op{link.SpeakIPv6(ExitLink, false)}})
	}
	if fresh || have < 0 { // before the address, which says that it was done
		// A published port is reached by the host's own 127.0.0.1 too.
		steps = append(steps, plan.Step{Target: link.Sysctl(), Ops: []plan.Op{link.RouteLocalnet(ExitLink)}})
		if o.Datapath == Userspace {
			steps = append(steps, plan.Step{Target: link.Ethtool(), Ops: []plan.Op{link.TxOff(ExitLink)}})
		}
	}
	steps = append(steps, plan.Step{Target: link.Batch(), Ops: ops})
	if fresh6 {
		steps6 = append(steps6, plan.Step{Target: link.Sysctl(), Ops: []plan.Op{link.SpeakIPv6(ExitLink, true), link.NoAdvertisements(ExitLink)}})
	}
	// As Docker does when it switches forwarding on: a host that was no router does not
	// become one for its neighbours, nor when its packet filter is loaded anew.
	if backend := seen.Backend.Six(); forwards && seen.Filters[backend].Policy(forward) != "DROP" {
		steps6 = append(steps6, firewall.Policy(backend, forward, "DROP"))
	}
	if six && !seen.Forwards6 {
		steps6 = append(steps6, plan.Step{Target: link.Sysctl(), Ops: []plan.Op{link.Forwarding()}})
	}
	return port, plan.New(steps...), plan.New(append(steps6, plan.Step{Target: link.Batch(), Ops: ops6})...)
}
