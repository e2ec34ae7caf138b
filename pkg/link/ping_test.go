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

// The texts are those of ping 20221126 (iputils), as printed on hosts that refused in these ways.
func TestReadPing(t *testing.T) {
	for _, c := range []struct {
		printed string
		want    link.Way
	}{
		{"1 packets transmitted, 0 received, 100% packet loss, time 0ms", link.Way{}},
		{"From 192.0.2.1 icmp_seq=1 Destination Host Unreachable", link.Way{}}, // it may be off
		{"From 192.0.2.9 icmp_seq=1 Frag needed and DF set (mtu = 1400)", link.Way{Takes: 1400}},
		{"ping: local error: message too long, mtu=1400", link.Way{Takes: 1400}},
		{"From fd00::9 icmp_seq=1 Packet too big: mtu=1280", link.Way{Takes: 1280}},
		{"From 192.0.2.9 icmp_seq=1 Destination Host Prohibited", link.Way{Refused: "host prohibited"}},
		{"From 192.0.2.9 icmp_seq=1 Packet filtered", link.Way{Refused: "packet filtered"}},
		{"From 192.0.2.2 icmp_seq=1 Destination Port Unreachable", link.Way{Refused: "destination port unreachable"}},
		{"ping: connect: Network is unreachable", link.Way{Refused: "network is unreachable"}},
		{"ping: sendmsg: Operation not permitted", link.Way{Refused: "operation not permitted"}},
		{"From fd00::1 icmp_seq=1 Destination unreachable: No route", link.Way{Refused: "no route"}},
		{"From fd00::1 icmp_seq=1 Destination unreachable: Address unreachable", link.Way{}},
		{"From fd00::1 icmp_seq=1 Destination unreachable: Administratively prohibited", link.Way{Refused: "administratively prohibited"}},
	} {
		if got := link.ReadPing(false, c.printed); got != c.want {
			t.Errorf("%q: read %+v, want %+v", c.printed, got, c.want)
		}
	}
	if got := link.ReadPing(true, "1 received"); got != (link.Way{Answered: true}) {
		t.Errorf("an answer: %+v", got)
	}
}
