package ipam_test

import (
	"net/netip"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
)

func TestFromTop(t *testing.T) {
	for _, c := range []struct {
		pool  string
		taken []string
		want  string // "" for an error
	}{
		{"192.168.100.0/24", nil, "192.168.100.254"},
		{"192.168.100.0/24", []string{"192.168.100.254", "192.168.100.252"}, "192.168.100.253"},
		{"192.168.100.7/24", nil, "192.168.100.254"},
		{"10.0.0.0/30", []string{"10.0.0.2", "10.0.0.1"}, ""},
		{"10.0.0.0/31", nil, "10.0.0.1"},
		{"10.0.0.0/31", []string{"10.0.0.1"}, "10.0.0.0"},
		{"10.0.0.5/32", nil, "10.0.0.5"},
		{"10.0.0.5/32", []string{"10.0.0.5"}, ""},
		{"0.0.0.0/0", nil, "255.255.255.254"},
		{"fd00::/126", []string{"fd00::3", "fd00::2", "fd00::1"}, ""},
		{"fd00:100::/64", nil, "fd00:100::ffff:ffff:ffff:ffff"},
	} {
		taken := func(a netip.Addr) bool {
			for _, text := range c.taken {
				if a == netip.MustParseAddr(text) {
					return true
				}
			}
			return false
		}
		got, err := ipam.FromTop(netip.MustParsePrefix(c.pool), taken)
		if c.want == "" && err == nil || c.want != "" && (err != nil || got.String() != c.want) {
			t.Errorf("%s without %v: got %v, %v, want %q", c.pool, c.taken, got, err, c.want)
		}
	}
}

// Every address that is given lies in the pool, once, and all are given.
func TestFromTopGivesAll(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/26")
	given := map[netip.Addr]bool{}
	for {
		a, err := ipam.FromTop(pool, func(a netip.Addr) bool { return given[a] })
		if err != nil {
			break
		}
		if given[a] || !pool.Contains(a) {
			t.Fatalf("%s was given, and %d before", a, len(given))
		}
		given[a] = true
	}
	if len(given) != 62 {
		t.Errorf("%d of 62 addresses were given", len(given))
	}
}
