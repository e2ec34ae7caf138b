package firewall_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
)

// listed is conntrack's print: a translated connection, one that nobody answered, and one that no rule translates.
const listed = `icmp     1 28 src=10.0.0.2 dst=10.99.0.2 type=8 code=0 id=19 src=10.99.0.2 dst=10.99.0.1 type=0 code=0 id=19 mark=0 use=1
icmp     1 27 src=10.0.0.3 dst=10.99.0.2 type=8 code=0 id=13 [UNREPLIED] src=10.99.0.2 dst=10.0.0.3 type=0 code=0 id=13 mark=0 use=1
tcp      6 431999 ESTABLISHED src=10.0.0.4 dst=10.99.0.2 sport=40000 dport=80 src=10.99.0.2 dst=10.0.0.4 sport=80 dport=40000 [ASSURED] mark=0 use=1
tcp      6 431999 ESTABLISHED src=10.0.0.4 dst=10.99.0.2 sport=40001 dport=80 src=10.99.0.2 dst=10.0.0.4 sport=80 dport=40001 [ASSURED] mark=0 use=1
`

func TestForget(t *testing.T) {
	subnet := netip.MustParsePrefix("10.0.0.0/24")
	for want, f := range map[string]firewall.Flow{
		"--delete --family ipv4 --zone 0 --proto udp --orig-dst 10.99.0.1 --orig-port-dst 53": {To: netip.MustParseAddrPort("10.99.0.1:53")},
		"--delete --family ipv6 --zone 0 --proto udp --reply-src fd00::2 --reply-port-src 53": {From: netip.MustParseAddrPort("[fd00::2]:53")},
		"--delete --family ipv4 --zone 0 --orig-src 10.0.0.0/24":                              {Of: subnet},
		"--delete --family ipv6 --zone 0 --orig-src fd00::/64":                                {Of: netip.MustParsePrefix("fd00::/64")},
	} {
		if got := strings.Join(f.Forget(), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f := firewall.Flow{Of: subnet, Untranslated: true}
	if got := strings.Join(f.Look(), " "); got != "--dump --family ipv4 --zone 0 --orig-src 10.0.0.0/24" {
		t.Error(got)
	}
	var got []string
	for _, one := range f.Narrow([]byte(listed)) {
		got = append(got, strings.Join(one.Forget(), " "))
	}
	want := []string{
		"--delete --family ipv4 --zone 0 --orig-src 10.0.0.3/32 --reply-dst 10.0.0.3",
		"--delete --family ipv4 --zone 0 --orig-src 10.0.0.4/32 --reply-dst 10.0.0.4",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
