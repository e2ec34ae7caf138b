package link_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
)

func TestPing(t *testing.T) {
	for _, c := range []struct{ from, to, size string }{
		{"192.0.2.1", "192.0.2.2", "1472"},
		{"fd00::1", "fd00::2", "1452"},
	} {
		args := link.Ping(netip.MustParseAddr(c.from), netip.MustParseAddr(c.to), 1500)
		if i := slices.Index(args, "-s"); args[i+1] != c.size || !slices.Equal(args[len(args)-2:], []string{c.from, c.to}) {
			t.Errorf("from %s to %s: %q", c.from, c.to, args)
		}
	}
}

// The texts are those of iputils 20221126.
func TestReadTakes(t *testing.T) {
	for printed, want := range map[string]int{
		"1 packets transmitted, 0 received, 100% packet loss, time 0ms":    0,
		"From 192.0.2.1 icmp_seq=1 Destination Host Unreachable":           0,
		"From 192.0.2.9 icmp_seq=1 Frag needed and DF set (mtu = 1400)":    1400,
		"ping: local error: message too long, mtu=1400":                    1400,
		"From fd00::9 icmp_seq=1 Packet too big: mtu=1280":                 1280,
		"From 192.0.2.9 icmp_seq=1 Destination Host Prohibited":            0,
		"ping: connect: Network is unreachable":                            0,
		"ping: local error: message too long, mtu=99999999999999999999":    0,
		"1 packets transmitted, 1 received, 0% packet loss, time 0ms\nrtt": 0,
	} {
		if got := link.ReadTakes(printed); got != want {
			t.Errorf("%q: takes %d, want %d", printed, got, want)
		}
	}
}
