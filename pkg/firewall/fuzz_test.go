package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
)

// What iptables-save prints is never more rules than lines, and each is a line of it.
func FuzzParse(f *testing.F) {
	f.Add(save)
	f.Add("*nat\n:A - [0:0]\n-A A -j B\nCOMMIT\n*")
	f.Fuzz(func(t *testing.T, text string) {
		for c, rules := range firewall.Parse([]byte(text)) {
			for _, r := range rules {
				if !strings.Contains(text, r) || !strings.Contains(text, c.Name) {
					t.Errorf("%v has %q, which is nowhere", c, r)
				}
			}
		}
	})
}

// Only addresses of the subnet, which the text names, are forgotten.
func FuzzNarrow(f *testing.F) {
	f.Add(listed, "10.0.0.0/24")
	f.Add("src=fd00::2 dst=fd01::1 src=fd01::1 dst=fd00::2", "fd00::/64")
	f.Fuzz(func(t *testing.T, list, subnet string) {
		of, err := netip.ParsePrefix(subnet)
		if err != nil {
			return
		}
		for _, one := range (firewall.Flow{Of: of, Untranslated: true}).Narrow([]byte(list)) {
			if !of.Contains(one.Of.Addr()) || !one.Of.IsSingleIP() || !one.Untranslated {
				t.Errorf("%v is not of %s", one, of)
			}
		}
	})
}
