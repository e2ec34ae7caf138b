package topology_test

import "testing"

// One transit network with two subnets of a family, and one that gets a second
// family later.
func TestTransitSubnets(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.1.0/24 192.168.2.0/24")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24 fd00:b::/64", "t")))
	w.has(t, "name=lr-a:ls-transit-192.168.1.0-24 [192.168.1.254/24, 192.168.2.254/24]", "ip_prefix=0.0.0.0/0 nexthop=192.168.1.1 network-a=i")
	w.lacks(t, "nexthop=192.168.2.1")
	w.must(t, w.remove("t"))
	again := transit("t2", "192.168.1.0/24 192.168.2.0/24 fd00:1::/64")
	again.Name = "t"
	w.must(t, w.create(again))
	w.must(t, w.settle())
	w.has(t, "name=lr-b:ls-transit-192.168.1.0-24 fd00:1::ffff:ffff:ffff:fff", "ip_prefix=fd00:b::/64", "ip_prefix=::/0 nexthop=fd00:1::1 network-b=i")
}

// The way out is that of the transit network that is there: one that has none any
// more takes it away, and one that is gone from Docker keeps it, also when the
// database was emptied; so does the switch its VLAN.
func TestWayOut(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.9", "vlan=7")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.remove("t"))
	w.north = newWorld().north
	w.must(t, w.settle())
	w.has(t, "ip_prefix=0.0.0.0/0 nexthop=192.168.100.9", "name=ls-transit-192.168.100.0-24 vlan=7")
	again := transit("t2", "192.168.100.0/24", "vlan=7")
	again.Name = "t"
	w.must(t, w.create(again))
	w.must(t, w.settle())
	w.lacks(t, "192.168.100.9")
}

// Before a network's own name is known, only Docker's name of a transit network
// is taken: it may be one of a Compose file that names another.
func TestNamelessNetworkWaits(t *testing.T) {
	w := newWorld()
	other, mine := transit("t1", "192.168.1.0/24", "ovn.switch=x"), transit("t2", "192.168.2.0/24")
	mine.Name, mine.Compose = "lab_x", "lab/x"
	w.must(t, w.create(other))
	w.must(t, w.create(mine))
	n := vpc("a", "lr-a", "10.0.0.0/24", "x")
	n.Name = ""
	w.must(t, w.create(n))
	w.lacks(t, "name=lr-a:x ")
	n.Name, n.Compose = "lab_a", "lab/a"
	w.must(t, w.create(n))
	w.has(t, "name=lr-a:ls-transit-192.168.2.0-24")
}

// A router has one place on a switch.
func TestNetworkOnTransitSwitch(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24")))
	w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "t", "ovn.switch=ls-transit-192.168.100.0-24"), "two places", "another ovn.switch")
}

// A transit network that is made anew on another switch takes its routers over,
// also with the same subnet, and so with the same addresses.
func TestTransitMovesToAnotherSwitch(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		w := newWorld()
		if adopted {
			w.north.Insert("Logical_Switch", map[string]any{"name": "ls-one"})
		}
		w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.switch=ls-one")))
		w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
		w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t")))
		w.must(t, w.remove("t"))
		w.must(t, w.settle())
		w.must(t, w.create(vpc("a2", "lr-a", "10.2.0.0/24", "")))
		w.has(t, "ip_prefix=10.2.0.0/24 router=lr-a")
		again := transit("t2", "192.168.100.0/24", "ovn.switch=ls-two")
		again.Name = "t"
		w.must(t, w.create(again))
		w.must(t, w.settle())
		w.has(t, "name=lr-a:ls-two", "name=lr-b:ls-two", "name=ls-two:lr-a")
		w.lacks(t, "lr-a:ls-one", "lr-b:ls-one", "ls-one:lr-")
		for _, id := range []string{"a", "a2", "t2", "b"} {
			w.must(t, w.remove(id))
		}
		w.lacks(t, "lr-", "owner=")
	}
}

// Two transit networks on one switch have one gateway router, that of the first.
func TestTwoTransitsOnOneSwitch(t *testing.T) {
	w := newWorld()
	empty := w.north.Dump()
	w.must(t, w.create(transit("t1", "192.168.1.0/24", "ovn.switch=x", "ovn.router=gw")))
	w.refused(t, transit("t2", "192.168.2.0/24", "ovn.switch=x", "ovn.router=other"), `"gw"`, `"other"`)
	w.must(t, w.create(transit("t2", "192.168.2.0/24", "ovn.switch=x")))
	w.must(t, w.settle())
	w.has(t, "name=gw:x 192.168.1.1/24, 192.168.2.1/24")
	w.must(t, w.remove("t1"))
	w.must(t, w.settle())
	w.has(t, "name=gw:x [192.168.2.1/24]")
	w.must(t, w.remove("t2"))
	if got := w.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", differs(empty, got))
	}
}
