package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
)

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

// rules are the packet filter's, of the family that the host's address is of.
func (o Out) rules(seen firewall.Rules, host netip.Prefix) firewall.Desired {
	const in, out = "-i " + ExitLink, "-o " + ExitLink
	icmp := "icmp"
	guard := []string{"-d 127.0.0.0/8 " + in + " -j DROP"} // which route_localnet would let in
	if host.Addr().Is6() {
		icmp = "ipv6-icmp"
		guard = []string{"-s fe80::/10 " + in + " -p ipv6-icmp -j RETURN"} // neighbour discovery, of routers
	}
	var source, publish []string
	for _, p := range o.Ports {
		if p.To.Is4() == host.Addr().Is4() {
			publish = append(publish, p.rule())
		}
	}
	for _, s := range o.subnets() {
		if s.Addr().Is4() != host.Addr().Is4() {
			continue
		}
		if !o.In[s] {
			guard = append(guard, "-s "+s.String()+" "+in+" -j RETURN")
			if !o.Bare[s] {
				source = append(source, masquerade(s))
			}
			continue
		}
		// Answers go where the question came from, so that is the host; and nothing but
		// answers comes, which cannot be told here by the state of a connection.
		source = append(source, "-d "+s.String()+" "+out+" -m conntrack --ctstate DNAT -j MASQUERADE")
		for _, p := range o.Ports {
			if s.Contains(p.To) {
				guard = append(guard, fmt.Sprintf("-s %s -d %s %s -p %s -m %[4]s --sport %d -j RETURN", alone(p.To), alone(host.Addr()), in, p.Name(), p.Container))
			}
		}
		guard = append(guard, fmt.Sprintf("-s %s -d %s %s -p %s -j RETURN", s, alone(host.Addr()), in, icmp))
	}
	for _, s := range o.apart() {
		if s.Addr().Is4() == host.Addr().Is4() {
			source = append(source, masquerade(s))
		}
	}
	guard = append(guard, "-s "+host.Masked().String()+" "+in+" -j RETURN", in+" -j DROP")
	if host.Addr().Is4() {
		source = append(source, "-s 127.0.0.0/8 "+out+" -j MASQUERADE")
	}

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

// masquerade has the packets of a subnet leave with the host's address.
func masquerade(subnet netip.Prefix) string { return "-s " + subnet.String() + " -j MASQUERADE" }

// Turned returns the connections that are older than the rules that Filter adds or takes
// away for them.
func (o Out) Turned(seen HostSeen) []firewall.Flow {
	if o.Idle() && seen.foreign(o.Instance) {
		return nil
	}
	var all []firewall.Flow
	for _, host := range exitAddresses {
		backend := seen.Backend
		if host.Addr().Is6() {
			backend = backend.Six()
		}
		have, want := seen.Filters[backend][sourceChain], o.rules(nil, host).Chains[sourceChain]
		for _, s := range masqueraded(want, have) {
			all = append(all, firewall.Flow{Of: s, Untranslated: true})
		}
		for _, s := range masqueraded(have, want) {
			all = append(all, firewall.Flow{Of: s})
		}
	}
	return all
}

// masqueraded returns the subnets that rules are of which masquerade has made, and which
// are not among the others.
func masqueraded(rules, others []string) []netip.Prefix {
	var all []netip.Prefix
	for _, rule := range rules {
		words := strings.Fields(rule)
		if len(words) != 4 || slices.Contains(others, rule) {
			continue
		}
		if s, err := netip.ParsePrefix(words[1]); err == nil && rule == masquerade(s) {
			all = append(all, s)
		}
	}
	return all
}

// alone is the prefix of one address.
func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
