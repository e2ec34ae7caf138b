package topology_test

import (
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// another is a plugin on another host, with records of its own, on the same
// database.
func (w *world) another() *world {
	return &world{north: w.north, records: map[string]topology.Network{}}
}

func on2(n topology.Network) topology.Network {
	n.ID, n.Instance, n.Host = n.ID+"-2", "j", "h2"
	return n
}

// Two hosts with the same networks share all rows, agree on them, and the rows go
// with the last network of either.
func TestTwoHosts(t *testing.T) {
	nets := []topology.Network{
		transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.254"),
		vpc("a", "lr-a", "10.0.0.0/24", "t"),
		vpc("b", "lr-b", "10.1.0.0/24 fd00:b::/64", "t"),
	}
	first := newWorld()
	empty := first.north.Dump()
	second := first.another()
	for _, n := range nets {
		first.must(t, first.create(n))
		second.must(t, second.create(on2(n)))
	}
	before := first.north.Dump()
	first.must(t, first.settle())
	second.must(t, second.settle())
	if after := first.north.Dump(); after != before {
		t.Errorf("the two do not agree:\n%s", differs(before, after))
	}
	for _, n := range nets {
		first.must(t, first.remove(n.ID))
		second.must(t, second.settle())
	}
	first.has(t, "name=lr-a:ls-a 10.0.0.1/24", "ip_prefix=10.1.0.0/24 router=lr-b", "ip_prefix=0.0.0.0/0 nexthop=192.168.100.254", "name=lr-b:ls-transit-192.168.100.0-24")
	first.lacks(t, "network-a=", "network-t=")
	for _, id := range []string{"t-2", "b-2", "a-2"} {
		second.must(t, second.remove(id))
		second.must(t, second.settle())
	}
	if got := first.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", differs(empty, got))
	}
}

// Two hosts that ask for different transit networks for one router do not take it
// from each other.
func TestTwoHostsContradict(t *testing.T) {
	first := newWorld()
	second := first.another()
	first.must(t, first.create(transit("t1", "192.168.1.0/24")))
	first.must(t, first.create(transit("t2", "192.168.2.0/24")))
	first.north.Insert("Logical_Router", map[string]any{"name": "lr-a"})
	first.must(t, first.create(vpc("a", "lr-a", "10.0.0.0/24", "t1")))
	second.refused(t, on2(vpc("a", "lr-a", "10.0.0.0/24", "t2")), "a router has one")
}

// What both would have done alone, one of the two has to do again.
func TestTwoHostsAtOnce(t *testing.T) {
	for name, both := range map[string][2]topology.Network{
		"overlapping subnets of a router": {vpc("a", "lr", "10.0.0.0/16", ""), vpc("b", "lr", "10.0.7.0/24", "")},
		"a gateway address of two routers": {
			vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.switch=s"), vpc("b", "lr-b", "10.0.0.0/24", "", "ovn.switch=s"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.north.Insert("Logical_Switch", map[string]any{"name": "s"})
			w.must(t, w.create(vpc("there", "lr", "10.200.0.0/24", "")))
			_, p, err := w.plan(both[0])
			w.must(t, err)
			_, q, err := w.plan(both[1])
			w.must(t, err)
			w.must(t, w.run(p))
			if w.run(q) == nil {
				t.Error("both were made")
			}
		})
	}
}

// Of two hosts that take a shared VPC away at once, one has to look again.
func TestTwoHostsRemoveAtOnce(t *testing.T) {
	first := newWorld()
	empty := first.north.Dump()
	second := first.another()
	n := vpc("a", "lr-a", "10.0.0.0/24", "")
	first.must(t, first.create(n))
	second.must(t, second.create(on2(n)))
	p, q := first.removal(first.records["a"]), second.removal(second.records["a-2"])
	first.must(t, first.run(p))
	if second.run(q) == nil {
		t.Error("both had seen another user")
	}
	second.must(t, second.remove("a-2"))
	if got := first.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", differs(empty, got))
	}
}
