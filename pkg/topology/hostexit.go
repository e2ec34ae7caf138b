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

// chainPrefix begins the names of all chains of ours.
const chainPrefix = "OCN-"

// The chains of ours, and the chains of others that lead there.
var (
	guardChain   = firewall.Chain{Table: "raw", Name: chainPrefix + "GUARD"}
	publishChain = firewall.Chain{Table: "nat", Name: chainPrefix + "PUBLISH"}
	sourceChain  = firewall.Chain{Table: "nat", Name: chainPrefix + "SOURCE"}
	forwardChain = firewall.Chain{Table: "filter", Name: chainPrefix + "FORWARD"}

	dockerUser = firewall.Chain{Table: "filter", Name: "DOCKER-USER"}
	forward    = firewall.Chain{Table: "filter", Name: "FORWARD"}
)

// isolating are Docker's chains that drop what comes to one of its bridges from
// elsewhere: the first two up to version 28, the others from then on.
var isolating = []string{"DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-INTERNAL", "DOCKER-BRIDGE"}

// Out is what the host does for the routers that lead out through it.
type Out struct {
	Instance string
	Bridge   ovs.Bridge
	Datapath string
	MTU      int
	Routes   map[netip.Prefix]netip.Addr // subnets, and the routers that they are behind
	In       map[netip.Prefix]bool       // subnets that have another way out, and get only what is published
	Ports    []Publication
}

// Publication is a port of the host that leads to a container.
type Publication struct {
	Port
	To netip.Addr
}

// WayOut returns what the networks, and the endpoints on them, need of the host;
// Routes is empty when they need nothing.
func WayOut(instance string, networks []Network, endpoints []Endpoint) Out {
	out := Out{Instance: instance, Routes: map[netip.Prefix]netip.Addr{}, In: map[netip.Prefix]bool{}}
	leads := map[string]bool{}
	for _, n := range networks {
		exit := n.exitOf()
		if len(exit) == 0 {
			continue
		}
		leads[n.ID] = true
		for _, s := range n.Subnets {
			if s.Pool.Addr().Is4() {
				out.Routes[s.Pool] = exit[0].Addr()
				if n.LeadsIn() {
					out.In[s.Pool] = true
				}
			}
		}
		if out.MTU == 0 || n.MTU < out.MTU {
			out.MTU = n.MTU // what the host sends must fit all
		}
		out.Bridge, out.Datapath = n.Bridge(), n.Datapath
	}
	for _, e := range endpoints {
		for _, a := range e.Addresses {
			for _, p := range e.Ports {
				if leads[e.NetworkID] && a.Addr().Is4() {
					out.Ports = append(out.Ports, Publication{Port: p, To: a.Addr()})
				}
			}
		}
	}
	slices.SortFunc(out.Ports, func(a, b Publication) int { return strings.Compare(a.rule(), b.rule()) })
	return out
}

// rule leads the port to the container.
func (p Publication) rule() string {
	at := ""
	if p.Host.IsValid() {
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
}

// Yield leaves out the subnets that the host has routes of its own to, which are
// not ours to replace, with the ports that lead there, and returns why, of each. A
// link of the host's is such a route in all its breadth: its other machines would
// be cut off.
func (o *Out) Yield(seen []link.Route) map[netip.Prefix]error {
	conflicts := map[netip.Prefix]error{}
	// The widest last: a link's network says more than the link's own address in it.
	routes := slices.SortedFunc(slices.Values(seen), func(a, b link.Route) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	for _, r := range routes {
		if r.Device == ExitLink {
			continue
		}
		met := meets(r, exitAddress.Masked())
		for _, subnet := range o.subnets() {
			switch {
			case meets(r, subnet):
				conflicts[subnet] = fmt.Errorf("subnet %s is routed by this host to %s already (%q): choose another --subnet, or add --internal", subnet, r.Prefix, r.Device)
			case met:
				conflicts[subnet] = fmt.Errorf("subnet %s cannot have a way out through this host, which routes %s (%q) where %s is needed: add --internal, or change that route", subnet, r.Prefix, r.Device, exitAddress.Masked())
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
		o.Ports = slices.DeleteFunc(o.Ports, func(p Publication) bool { return subnet.Contains(p.To) })
	}
}

// meets reports whether a route to the subnet would take from the host's own one.
func meets(r link.Route, subnet netip.Prefix) bool {
	return r.Prefix.Overlaps(subnet) && (!r.Via.IsValid() || r.Prefix.Bits() >= subnet.Bits())
}

func (o Out) subnets() []netip.Prefix {
	var all []netip.Prefix
	for s := range o.Routes {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return all
}

// Plan returns what the host lacks, and what it has of ours and should not.
func (o Out) Plan(h Host, seen HostSeen) plan.Plan {
	if len(o.Routes) == 0 {
		if seen.Interface != nil && seen.Interface.ExternalIDs["instance"] != o.Instance {
			return plan.Plan{} // another plugin of this host leads out
		}
		p := firewall.Desired{}.Plan(seen.Backend, seen.Filters[seen.Backend], chainPrefix)
		p.Steps = append(p.Steps, seen.stale()...)
		if seen.Interface != nil {
			p.Steps = append(p.Steps, plan.Step{Target: ovs.Local(h.OVSDB), Ops: []plan.Op{ovs.PortDelete(ExitLink)}})
		}
		return p
	}
	port, links := o.link(h, seen)
	// First what keeps tenants apart, then what they could meet on.
	return plan.Plan{Steps: slices.Concat(o.Filter(seen).Steps, port.Steps, links.Steps)}
}

// Filter returns what the packet filter lacks for the subnets that there are, and
// what it has of ours and should not.
func (o Out) Filter(seen HostSeen) plan.Plan {
	have := seen.Filters[seen.Backend]
	rules := o.rules(have).Plan(seen.Backend, have, chainPrefix)
	return plan.Plan{Steps: append(rules.Steps, seen.stale()...)}
}

// stale removes chains of ours from the backends that are not written to: which one
// Docker uses is seen only once it has made its own, after a boot later than we do.
func (s HostSeen) stale() []plan.Step {
	var steps []plan.Step
	for _, b := range slices.Sorted(maps.Keys(s.Filters)) {
		if b != s.Backend {
			steps = append(steps, firewall.Desired{}.Plan(b, s.Filters[b], chainPrefix).Steps...)
		}
	}
	return steps
}

// link returns what makes the interface, its address and its routes.
func (o Out) link(h Host, seen HostSeen) (port, links plan.Plan) {
	marks := ids("instance", o.Instance, "iface-id", string(exitPort), "attached-mac", exitMAC())
	fresh := seen.Interface == nil || seen.Interface.Bridge != o.Bridge || seen.Interface.Error != ""
	have := slices.IndexFunc(seen.Addresses, func(a link.Address) bool { return a.Link == ExitLink && a.Prefix == exitAddress })
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
	var ops []plan.Op
	if !settled {
		ops = append(ops, link.Hardware(ExitLink, exitMAC()), link.MTU(ExitLink, o.MTU), link.Up(ExitLink), link.AddressReplace(ExitLink, exitAddress))
	}
	wrong := map[netip.Prefix]bool{}
	for _, r := range seen.Routes {
		if r.Device == ExitLink && !fresh && r.Via.IsValid() && o.Routes[r.Prefix] != r.Via {
			wrong[r.Prefix] = true
			ops = append(ops, link.RouteDelete(ExitLink, r.Prefix))
		}
	}
	for _, s := range o.subnets() {
		there := slices.ContainsFunc(seen.Routes, func(r link.Route) bool { return r.Device == ExitLink && r.Prefix == s && r.Via == o.Routes[s] })
		if fresh || !there {
			ops = append(ops, link.RouteAdd(ExitLink, s, o.Routes[s]))
		}
	}
	var steps []plan.Step
	if fresh || have < 0 { // before the address, which says that it was done
		// A published port is reached by the host's own 127.0.0.1 too.
		steps = append(steps, plan.Step{Target: link.Sysctl(), Ops: []plan.Op{link.RouteLocalnet(ExitLink)}})
		if o.Datapath == Userspace {
			steps = append(steps, plan.Step{Target: link.Ethtool(), Ops: []plan.Op{link.TxOff(ExitLink)}})
		}
	}
	return port, plan.New(append(steps, plan.Step{Target: link.Batch(), Ops: ops})...)
}

// rules are the packet filter's.
func (o Out) rules(seen firewall.Rules) firewall.Desired {
	const in, out = "-i " + ExitLink, "-o " + ExitLink
	guard := []string{"-d 127.0.0.0/8 " + in + " -j DROP"} // which route_localnet would let in
	var source, publish []string
	for _, p := range o.Ports {
		publish = append(publish, p.rule())
	}
	for _, s := range o.subnets() {
		if !o.In[s] {
			guard = append(guard, "-s "+s.String()+" "+in+" -j RETURN")
			source = append(source, "-s "+s.String()+" -j MASQUERADE")
			continue
		}
		// Answers go where the question came from, so that is the host; and nothing but
		// answers comes, which cannot be told here by the state of a connection.
		source = append(source, "-d "+s.String()+" "+out+" -m conntrack --ctstate DNAT -j MASQUERADE")
		for _, p := range o.Ports {
			if s.Contains(p.To) {
				guard = append(guard, fmt.Sprintf("-s %s/32 -d %s/32 %s -p %s -m %[4]s --sport %d -j RETURN", p.To, exitAddress.Addr(), in, p.Name(), p.Container))
			}
		}
		guard = append(guard, fmt.Sprintf("-s %s -d %s/32 %s -p icmp -j RETURN", s, exitAddress.Addr(), in))
	}
	guard = append(guard, "-s "+exitAddress.Masked().String()+" "+in+" -j RETURN", in+" -j DROP")
	source = append(source, "-s 127.0.0.0/8 "+out+" -j MASQUERADE")

	ahead := []string{
		in + " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		out + " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		out + " -m conntrack --ctstate DNAT -j ACCEPT",
		out + " -j DROP",
		// What Docker publishes is Docker's to let through.
		in + " -m conntrack --ctstate DNAT -j RETURN",
	}
	for _, name := range isolating {
		if seen.Has(firewall.Chain{Table: "filter", Name: name}) {
			ahead = append(ahead, in+" -j "+name)
		}
	}
	ahead = append(ahead, in+" -j ACCEPT")

	// Docker puts its own chains ahead of all else, and that one ahead of them; a
	// flushed filter may have the chain, and nothing that leads there.
	from := forward
	if slices.Contains(seen[forward], "-j "+dockerUser.Name) {
		from = dockerUser
	}
	return firewall.Desired{
		Chains: firewall.Rules{guardChain: guard, publishChain: publish, sourceChain: source, forwardChain: ahead},
		Hooks: []firewall.Hook{
			{From: firewall.Chain{Table: "raw", Name: "PREROUTING"}, Rule: "-j " + guardChain.Name, First: true},
			{From: firewall.Chain{Table: "nat", Name: "PREROUTING"}, Rule: "-m addrtype --dst-type LOCAL -j " + publishChain.Name},
			{From: firewall.Chain{Table: "nat", Name: "OUTPUT"}, Rule: "-m addrtype --dst-type LOCAL -j " + publishChain.Name},
			{From: firewall.Chain{Table: "nat", Name: "POSTROUTING"}, Rule: "-j " + sourceChain.Name},
			{From: from, Rule: "-j " + forwardChain.Name, First: true},
		},
	}
}
