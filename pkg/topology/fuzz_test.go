package topology_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// A rule that reads as a published port is one that this plugin writes.
func FuzzPublished(f *testing.F) {
	f.Add("-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80")
	f.Add("-d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.2:53")
	f.Add("-d fd00::1/128 -p sctp -m sctp --dport 1 -j DNAT --to-destination [fd00::2]:1")
	f.Fuzz(func(t *testing.T, rule string) {
		chain := firewall.Chain{Table: "nat", Name: "OCN-PUBLISH"}
		for _, p := range topology.Published(firewall.Rules{chain: {rule}}) {
			subnet := netip.PrefixFrom(p.To, p.To.BitLen())
			out := topology.Out{Routes: map[netip.Prefix]netip.Addr{subnet: p.To}, Ports: []topology.Publication{p}}
			if text := out.Filter(topology.HostSeen{Backend: firewall.NFT}).String(); !strings.Contains(text, "-A OCN-PUBLISH "+rule+"\n") {
				t.Errorf("%q reads as %v, which is written:\n%s", rule, p, text)
			}
		}
	})
}

// Whatever somebody writes to a switch, what reads as a lease is a span, and no other network's.
func FuzzLeases(f *testing.F) {
	f.Add("lease-10.0.0.2", "10.0.0.33 n i")
	f.Add("lease-fd00::2", "fd00::21 n i")
	f.Add("lease-10.0.0.9", "10.0.0.2 n i")
	f.Fuzz(func(t *testing.T, key, value string) {
		n := gives(network(options.Network{}))
		seen := ovn.Seen{Switches: []ovn.SwitchRow{{Name: n.Switch(), ExternalIDs: map[string]string{key: value}}}}
		first, _ := strings.CutPrefix(key, "lease-")
		a, err := netip.ParseAddr(first)
		if err != nil {
			return
		}
		words := append(strings.Fields(value), "", "")
		last, err := netip.ParseAddr(words[0])
		span := err == nil && first != key && len(words) == 5 && a.Zone()+last.Zone() == "" && a.BitLen() == last.BitLen() && a.Compare(last) <= 0
		if got := n.LeasedElsewhere(seen, a); got != (span && words[1] != n.ID) {
			t.Errorf("%q=%q leases %s: %t", key, value, a, got)
		}
	})
}
