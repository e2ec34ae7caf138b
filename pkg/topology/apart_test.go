package topology_test

import (
	"net/netip"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// spaced is a network whose tenant has an address space of its own.
func spaced(n topology.Network) topology.Network {
	n.AddressSpace = topology.AddressSpace
	return n
}

// lead gives the endpoint its address outside.
func (w *world) lead(t *testing.T, e topology.Endpoint) topology.Endpoint {
	t.Helper()
	n := w.records[e.NetworkID]
	given, p, err := n.Outside(e, w.look(n))
	w.must(t, err)
	w.must(t, w.run(p))
	return given
}

func TestApart(t *testing.T) {
	w := newWorld()
	empty := w.north.Dump()
	a := spaced(vpc("a", "lr-a", "10.0.0.0/24 fd00:a::/64", "", "tenant_id=red"))
	b := spaced(vpc("b", "lr-b", "10.0.0.0/24", "", "tenant_id=blue"))
	c := vpc("c", "lr-a", "10.2.0.0/24", "", "tenant_id=red") // Docker's addresses, on a router that is apart
	for _, n := range []topology.Network{a, b, c} {
		w.must(t, w.create(n))
		if !w.records[n.ID].Apart {
			t.Errorf("%s is not apart", n.ID)
		}
		if err := w.records[n.ID].Clash(w.known()); err != nil {
			t.Error(err)
		}
	}
	w.must(t, w.settle())
	w.has(t, "Gateway_Chassis chassis_name=no-chassis name=lr-a:ls-join_no-chassis network-a= network-c=", "Logical_Switch_Port name=ls-join:lr-b addresses=router")
	w.refused(t, vpc("d", "lr-a", "10.3.0.0/24", "", "tenant_id=red", "ovn.nat=none"), "contradicts that of router \"lr-a\"")

	endpoint := func(id, network string, addresses ...string) topology.Endpoint {
		e := topology.Endpoint{ID: id, NetworkID: network, Instance: "i"}
		for _, a := range addresses {
			e.Addresses = append(e.Addresses, netip.MustParsePrefix(a))
		}
		return e
	}
	one := endpoint("e1", "a", "10.0.0.2/24", "fd00:a::2/64")
	first, second := w.lead(t, one), w.lead(t, endpoint("e2", "b", "10.0.0.2/24"))
	if first.Outside == second.Outside || !first.Outside.IsValid() {
		t.Errorf("%s and %s", first.Outside, second.Outside)
	}
	w.has(t, "NAT external_ip="+first.Outside.String()+" logical_ip=10.0.0.2 logical_port=e1", "NAT external_ip=fd64:: logical_ip=fd00:a::2 logical_port=e1",
		"NAT external_ip="+second.Outside.String()+" logical_ip=10.0.0.2 logical_port=e2")
	before := w.north.Dump()
	for _, again := range []topology.Endpoint{first, one} { // also of a record that was lost
		if got := w.lead(t, again); got.Outside != first.Outside {
			t.Errorf("%s has become %s", first.Outside, got.Outside)
		}
	}
	if w.north.Dump() != before {
		t.Errorf("written again:\n%s\nwas\n%s", w.north.Dump(), before)
	}
	// Somebody else has got the address while its rule was not there.
	w.must(t, w.run(topology.Unfloat(a.NB, "e1", w.look(a))))
	second.ID, second.Outside = "e3", first.Outside
	if got := w.lead(t, second); got.Outside != first.Outside {
		t.Errorf("a free address is not kept: %s", got.Outside)
	}
	if got := w.lead(t, first); got.Outside == first.Outside {
		t.Error("two have one address")
	}

	for _, e := range []string{"e1", "e2", "e3"} {
		w.must(t, w.run(topology.Unfloat(a.NB, e, w.look(a))))
	}
	w.lacks(t, "dnat_and_snat")
	for _, n := range []topology.Network{a, c, b} {
		w.must(t, w.remove(n.ID))
		w.must(t, w.settle())
	}
	if got := w.north.Dump(); got != empty {
		t.Errorf("left:\n%s", got)
	}
}

// A router that leads out as others do goes on so, whoever joins it.
func TestNotApart(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(vpc("plain", "lr-a", "10.0.0.0/24", "", "tenant_id=red")))
	w.must(t, w.create(spaced(vpc("own", "lr-a", "10.1.0.0/24", "", "tenant_id=red"))))
	w.must(t, w.create(spaced(vpc("bare", "lr-b", "10.2.0.0/24", "", "tenant_id=red", "ovn.nat=none"))))
	for _, n := range w.records {
		if n.Apart {
			t.Errorf("%s is apart", n.ID)
		}
	}
	other := spaced(vpc("other", "lr-c", "10.2.0.0/24", "", "tenant_id=blue", "ovn.nat=none"))
	other.Exit = []netip.Prefix{netip.MustParsePrefix("100.64.9.9/16")}
	if err := other.Clash(w.known()); err == nil {
		t.Error("the host has two routes to one subnet")
	}
}
