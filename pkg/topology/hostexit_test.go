package topology_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// What the packet filter says of published ports is what they were, so that a lost record does not end them.
func TestPublishedIsRead(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/24")
	n := network(options.Network{Router: "r"})
	n.Subnets = []topology.Subnet{{Pool: pool, Gateway: pool.Addr().Next()}}
	n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16")}
	e := topology.Endpoint{ID: "e", NetworkID: n.ID, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, Ports: []topology.Port{
		{Protocol: topology.TCP, Host: netip.IPv4Unspecified(), HostPort: 8080, Container: 80},
		{Protocol: topology.UDP, Host: netip.MustParseAddr("192.0.2.1"), HostPort: 5353, Container: 53},
		{Protocol: topology.SCTP, Host: netip.IPv4Unspecified(), HostPort: 65535, Container: 1},
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

// What a container began before its network's rules were there, or while they were others, is forgotten, and nothing else.
func TestTurned(t *testing.T) {
	out := func(o options.Network, pools ...string) topology.Out {
		o.Router = "r"
		n := network(o)
		n.MTU, n.Subnets = 1500, nil
		for _, p := range pools {
			pool := netip.MustParsePrefix(p)
			n.Subnets = append(n.Subnets, topology.Subnet{Pool: pool, Gateway: pool.Addr().Next()})
		}
		n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16"), netip.MustParsePrefix("fd64::2/64")}
		return topology.WayOut(n.Instance, []topology.Network{n}, nil)
	}
	seen := topology.HostSeen{Backend: firewall.NFT, Filters: map[firewall.Backend]firewall.Rules{}}
	source := firewall.Chain{Table: "nat", Name: "OCN-SOURCE"}
	rules := func(b firewall.Backend, rules ...string) { seen.Filters[b] = firewall.Rules{source: rules} }
	check := func(o topology.Out, want ...firewall.Flow) {
		t.Helper()
		if got := o.Turned(seen); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	v4, v6 := netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")
	led, bare, none := out(options.Network{}, v4.String(), v6.String()), out(options.Network{NoNAT: true}, v4.String(), v6.String()), topology.WayOut("i", nil, nil)
	check(led, firewall.Flow{Of: v4, Untranslated: true}, firewall.Flow{Of: v6, Untranslated: true})
	check(bare)
	rules(firewall.NFT, "-s 10.0.0.0/24 -j MASQUERADE", "-s 127.0.0.0/8 -o ovn-host0 -j MASQUERADE")
	check(led, firewall.Flow{Of: v6, Untranslated: true})
	rules(firewall.NFT.Six(), "-s fd00::/64 -j MASQUERADE")
	check(led)
	check(bare, firewall.Flow{Of: v4}, firewall.Flow{Of: v6})
	check(none, firewall.Flow{Of: v4}, firewall.Flow{Of: v6})
	seen.Interface = &ovs.InterfaceRow{ExternalIDs: map[string]string{"instance": "another"}}
	check(none)
}

// On a host without IPv6 a network of both families is led out as far as it can be.
func TestWithoutIPv6(t *testing.T) {
	n := network(options.Network{Router: "r"})
	n.MTU = 1500
	n.Subnets = []topology.Subnet{
		{Pool: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")},
		{Pool: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1")},
	}
	n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16"), netip.MustParsePrefix("fd64::2/64")}
	e := topology.Endpoint{ID: "e", NetworkID: n.ID, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")}, Ports: []topology.Port{
		{Protocol: topology.TCP, HostPort: 8080, Container: 80},
	}}
	out := topology.WayOut(n.Instance, []topology.Network{n}, []topology.Endpoint{e})
	seen := topology.HostSeen{Backend: firewall.NFT}
	if text := out.Plan(topology.Host{IPv6: true}, seen).String(); !strings.Contains(text, "[fd00::2]:80") || !strings.Contains(text, "fd64::1") {
		t.Errorf("nothing of IPv6 in\n%s", text)
	}
	text := out.IPv4().Plan(topology.Host{}, seen).String()
	if !strings.Contains(text, "10.0.0.2:80") || strings.Contains(text, "fd00::") || strings.Contains(text, "ip6tables") || strings.Contains(text, "ipv6") {
		t.Errorf("there is something of IPv6, or nothing of IPv4, in\n%s", text)
	}
	if !out.Six() {
		t.Error("IPv4 has changed what it is of")
	}
}

// The one link that leads networks out takes the packets of all: what is too long for one, its router answers.
func TestMTUOfTheWayOut(t *testing.T) {
	routed := func(id, pool string, mtu int) topology.Network {
		n := network(options.Network{Router: "r"})
		n.ID, n.MTU = id, mtu
		n.Subnets = []topology.Subnet{{Pool: netip.MustParsePrefix(pool)}}
		n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16"), netip.MustParsePrefix("fd64::6440:fffe/64")}
		return n
	}
	small, six, large := routed("small", "10.1.0.0/24", 1200), routed("six", "fd00::/64", 1500), routed("large", "10.2.0.0/24", 9000)
	for mtu, networks := range map[int][]topology.Network{1200: {small}, 1500: {small, six}, 9000: {six, large, small}} {
		if err := networks[0].Clash(networks[1:]); err != nil {
			t.Error(err)
		}
		if out := topology.WayOut("i", networks, nil); out.MTU != mtu || out.Six() != (mtu > 1200) {
			t.Errorf("MTU %d, IPv6 %t, want %d", out.MTU, out.Six(), mtu)
		}
	}
}

// A host that forwards IPv6 because of this plugin does so for nobody else, also once its packet filter was loaded anew.
func TestForwardingIsForContainersOnly(t *testing.T) {
	n := network(options.Network{Router: "r"})
	n.MTU = 1500
	n.Subnets = []topology.Subnet{{Pool: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1")}}
	n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16"), netip.MustParsePrefix("fd64::2/64")}
	out := topology.WayOut(n.Instance, []topology.Network{n}, nil)
	six := firewall.NFT.Six()
	for _, c := range []struct {
		forwards, ours bool
		policy         string
		closes         bool
	}{
		{false, false, "ACCEPT", true}, {true, true, "ACCEPT", true}, {true, true, "DROP", false}, {true, false, "ACCEPT", false},
	} {
		seen := topology.HostSeen{Backend: firewall.NFT, Forwards6: c.forwards, Filters: map[firewall.Backend]firewall.Rules{
			six: firewall.Parse([]byte("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD " + c.policy + " [0:0]\nCOMMIT\n")),
		}}
		if c.ours {
			seen.Interface = &ovs.InterfaceRow{ExternalIDs: map[string]string{"instance": n.Instance, "forwards": "ipv6"}}
		}
		text := out.Plan(topology.Host{IPv6: true}, seen).String()
		if got := strings.Contains(text, ":FORWARD DROP"); got != c.closes {
			t.Errorf("%+v: closed %t by\n%s", c, got, text)
		}
		if got := strings.Contains(text, "all.forwarding=1"); got == c.forwards {
			t.Errorf("%+v: switched on %t", c, got)
		}
	}
}

// What containers could reach over IPv6 is guarded also while the host routes their subnets elsewhere.
func TestGuardWithoutRoutes(t *testing.T) {
	n := network(options.Network{Router: "r"})
	n.MTU = 1500
	n.Subnets = []topology.Subnet{{Pool: netip.MustParsePrefix("10.0.0.0/24")}, {Pool: netip.MustParsePrefix("fd00::/64")}}
	n.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.255.254/16"), netip.MustParsePrefix("fd64::2/64")}
	out := topology.WayOut(n.Instance, []topology.Network{n}, nil)
	conflicts := out.Yield([]link.Route{{Prefix: netip.MustParsePrefix("fd00::/48"), Device: "vpn0"}})
	if len(conflicts) != 1 {
		t.Fatalf("conflicts: %v", conflicts)
	}
	text := out.Plan(topology.Host{IPv6: true}, topology.HostSeen{Backend: firewall.NFT}).String()
	if _, six, _ := strings.Cut(text, "ip6tables-nft-restore"); !strings.Contains(six, "-A OCN-GUARD -i ovn-host0 -j DROP") || strings.Contains(six, "-s fd00::/64") {
		t.Errorf("not guarded by\n%s", text)
	}
}
