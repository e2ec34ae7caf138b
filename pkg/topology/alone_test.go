package topology_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func encaps(kind string, addresses ...string) []ovn.Encap {
	var all []ovn.Encap
	for _, a := range addresses {
		all = append(all, ovn.Encap{Kind: kind, Address: netip.MustParseAddr(a)})
	}
	return all
}

func TestAlone(t *testing.T) {
	others := []ovn.Host{
		{SystemID: "s1", Name: "h1", Encaps: encaps("geneve", "192.0.2.1")},
		{SystemID: "s2", Encaps: encaps("geneve", "192.0.2.2", "fd00::2")},
	}
	for _, c := range []struct{ id, ip, name, says string }{
		{"s3", "192.0.2.3", "h3", ""},
		{"s1", "192.0.2.1", "h1", ""},
		{"s1", "192.0.2.9", "h1", ""}, // it has moved
		{"s1", "192.0.2.9", "", ""},
		{"s1", "192.0.2.9", "h3", `is that of host "h1" too`},
		{"s3", "192.0.2.1", "h3", `end at host "h1" (chassis "s1")`},
		{"s3", "fd00::2", "h3", `chassis-del s2`},
		{"s3", "192.0.2.1,192.0.2.3", "h3", ""},
	} {
		err := topology.Settled{SystemID: c.id, EncapIP: c.ip}.Alone(c.name, others)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s at %s, %q: says %v, want %q", c.id, c.ip, c.name, err, c.says)
		}
	}
}
