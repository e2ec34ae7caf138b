package topology_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// All that is made for a tenant's network says whose it is, but what all tenants share:
// the join switch, and what of a transit network without a tenant serves all.
func TestRowsOfATenant(t *testing.T) {
	for name, networks := range map[string][]topology.Network{
		"plain":    {net("n", "10.0.0.0/24", "ovn.switch=ls-n", "tenant_id=red", "vlan=5", "dhcp=ovn")},
		"routed":   {vpc("n", "lr-n", "10.0.0.0/24 fd00::/64", "", "tenant_id=red", "dhcp=ovn")},
		"bare":     {vpc("n", "lr-n", "10.0.0.0/24", "", "tenant_id=red", "ovn.nat=none")},
		"apart":    {spaced(vpc("n", "lr-n", "10.0.0.0/24", "", "tenant_id=red"))},
		"provider": {net("p", "203.0.113.0/24", "ovn.switch=ls-p", "ovn.physical_network=wan", "tenant_id=red"), vpc("n", "lr-n", "10.0.0.0/24", "", "tenant_id=red", "ovn.nat=203.0.113.9")},
		"internal": {vpc("m", "lr-n", "10.1.0.0/24", "", "tenant_id=red"), internal(vpc("n", "lr-n", "10.0.0.0/24", "", "tenant_id=red"))},
		"transit":  {transit("t", "172.31.0.0/24", "ovn.switch=ls-t", "tenant_id=red", "ovn.external_gateway=172.31.0.1"), vpc("n", "lr-n", "10.0.0.0/24", "ls-t", "tenant_id=red")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, n := range networks {
				w.must(t, w.create(n))
			}
			w.must(t, w.settle())
			n := w.records["n"]
			e := topology.Endpoint{ID: strings.Repeat("e", 64), NetworkID: n.ID, Instance: "i", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}
			if n.Apart {
				w.lead(t, e)
			}
			for line := range strings.Lines(w.north.Dump()) {
				if strings.Contains(line, "owner="+topology.Owner) && !strings.Contains(line, "tenant_id=red") && !strings.Contains(line, "role=join") {
					t.Errorf("says not whose it is: %s", line)
				}
			}
			lanes := e.Plan(n, topology.Host{})
			for _, text := range []string{lanes.North.String(), lanes.Host.String()} {
				if !strings.Contains(text, `tenant_id="red"`) {
					t.Errorf("says not whose it is: %s", text)
				}
			}
		})
	}
	mirrored := net("n", "10.0.0.0/24", "ovn.switch=ls-n", "tenant_id=red", "mirror.ports=all", "mirror.dest=monitor-port")
	plans, _ := topology.MirrorsOf("i", []topology.Network{mirrored}, nil).Plans(topology.Host{}, ovs.Inventory{}, nil, nil)
	if text := plans[0].String(); strings.Count(text, `tenant_id="red"`) != 2 {
		t.Errorf("port and mirror say not whose they are: %s", text)
	}
}

// What belongs to one tenant is nothing that another one's network can use.
func TestNothingOfAnotherTenant(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "", "tenant_id=red")))
	w.must(t, w.create(transit("t", "172.31.0.0/24", "ovn.switch=ls-t", "tenant_id=red")))
	w.must(t, w.create(net("p", "203.0.113.0/24", "ovn.switch=ls-p", "ovn.physical_network=wan", "tenant_id=red")))
	for _, tenant := range []string{"tenant_id=blue", ""} {
		opts := func(more ...string) []string {
			if tenant != "" {
				more = append(more, tenant)
			}
			return more
		}
		w.refused(t, net("b", "10.5.0.0/24", opts("ovn.switch=ls-a")...), `logical switch "ls-a" belongs to tenant "red"`)
		w.refused(t, vpc("b", "lr-a", "10.5.0.0/24", "", opts()...), `router "lr-a" belongs to tenant "red"`)
		w.refused(t, vpc("b", "lr-b", "10.5.0.0/24", "ls-t", opts()...), `belongs to tenant "red"`)
		w.refused(t, transit("b", "172.31.0.0/24", opts("ovn.switch=ls-t")...), `belongs to tenant "red"`)
		w.refused(t, vpc("b", "lr-b", "10.5.0.0/24", "", opts("ovn.nat=203.0.113.9")...), `tenant "red"`)
		w.refused(t, net("b", "203.0.113.0/24", opts("ovn.switch=ls-p", "ovn.physical_network=wan")...), `belongs to tenant "red"`)
	}
}
