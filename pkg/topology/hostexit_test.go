package topology_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// What the packet filter says of published ports is what they were, so that a lost record does not end them.
func TestPublishedIsRead(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/24")
	n := network(options.Network{Router: "r"})
	n.Subnets = []topology.Subnet{{Pool: pool, Gateway: pool.Addr().Next()}}
	n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16")}
	e := topology.Endpoint{ID: "e", NetworkID: n.ID, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, Ports: []topology.Port{
		{Protocol: topology.TCP, HostPort: 8080, Container: 80},
		{Protocol: topology.UDP, Host: netip.MustParseAddr("192.0.2.1"), HostPort: 5353, Container: 53},
		{Protocol: topology.SCTP, HostPort: 65535, Container: 1},
	}}
	out := topology.WayOut(n.Instance, []topology.Network{n}, []topology.Endpoint{e})
	chain := firewall.Chain{Table: "nat", Name: "OCN-PUBLISH"}
	rules := firewall.Rules{chain: nil}
	for line := range strings.Lines(out.Filter(topology.HostSeen{Backend: firewall.NFT}).String()) {
		if rule, ok := strings.CutPrefix(strings.TrimSpace(line), "-A "+chain.Name+" "); ok {
			rules[chain] = append(rules[chain], rule)
		}
	}
	got := topology.Published(rules)
	if len(rules[chain]) != len(e.Ports) || !slices.Equal(got, out.Ports) {
		t.Errorf("rules %q read as %v, not %v", rules[chain], got, out.Ports)
	}
	rules[chain] = []string{"-p tcp -j ACCEPT", "-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2", "-s 192.0.2.0/24 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80", ""}
	if got := topology.Published(rules); len(got) > 0 {
		t.Errorf("rules of others read as %v", got)
	}
}
