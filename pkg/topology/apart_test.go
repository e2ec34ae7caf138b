package topology_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
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

	// The host has been given another name.
	renamed := w.records["b"]
	renamed.Host = "another"
	w.records["b"] = renamed
	w.must(t, w.create(renamed))
	if got := w.lead(t, second); got.Outside != second.Outside {
		t.Errorf("%s has become %s", second.Outside, got.Outside)
	}
	w.has(t, "NAT external_ids={endpoint_id=e3, host=another")

	// Of the address that it had, one of the two families is somebody else's.
	w.must(t, w.run(topology.Unfloat(a.NB, "e1", w.look(a))))
	had := netip.AddrFrom16([16]byte(append(netip.MustParseAddr("fd64::").AsSlice()[:12], first.Outside.AsSlice()...)))
	half := ovn.NewChange(b.NB)
	half.NATInsert(ovn.At(w.look(b).RoutersNamed("lr-b")[0].UUID), "dnat_and_snat", had, "fd00::9", map[string]string{"owner": topology.Owner, "endpoint_id": "e4"})
	w.must(t, w.run(half.Plan()))
	if got := w.lead(t, first); got.Outside == first.Outside {
		t.Error("half an address is taken for one")
	}

	for _, e := range []string{"e1", "e2", "e3", "e4"} {
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

// A router that is apart, and comes to another way out by another network of it, has
// its addresses seen by the host.
func TestNoLongerApart(t *testing.T) {
	shared := netip.MustParsePrefix("10.0.0.0/24")
	for name, c := range map[string]struct{ first, then topology.Network }{
		"a transit network for the router": {
			transit("t", "172.31.0.0/24", "ovn.switch=ls-t", "ovn.external_gateway=172.31.0.1"),
			vpc("then", "lr-a", "10.2.0.0/24", "ls-t", "tenant_id=red"),
		},
		"a way out for the transit network": {
			vpc("first", "lr-a", "10.2.0.0/24", "ls-t", "tenant_id=red"),
			transit("then", "172.31.0.0/24", "ovn.switch=ls-t", "ovn.external_gateway=172.31.0.1"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.must(t, w.create(vpc("other", "lr-b", shared.String(), "")))
			w.must(t, w.create(transit("bare", "172.31.0.0/24", "ovn.switch=ls-t")))
			if c.first.IsTransit() {
				w.must(t, w.remove("bare"))
			}
			w.must(t, w.create(spaced(vpc("a", "lr-a", shared.String(), "", "tenant_id=red"))))
			one := w.lead(t, topology.Endpoint{ID: "e1", NetworkID: "a", Instance: "i", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}})
			w.has(t, "logical_port=e1")
			w.must(t, w.create(c.first))
			w.must(t, w.settle())
			settled, _, err := w.plan(c.then)
			w.must(t, err)
			if err := settled.Clash(w.known()); err == nil || !strings.Contains(err.Error(), "this would lead network a out too: subnet 10.0.0.0/24 is also that of network other") {
				t.Errorf("refused with %v", err)
			}
			// As when it was made on another host.
			w.must(t, w.create(c.then))
			w.must(t, w.settle())
			if one = w.lead(t, one); one.Outside.IsValid() {
				t.Errorf("has kept %s", one.Outside)
			}
			w.lacks(t, "dnat_and_snat")
			out := topology.WayOut("i", w.known(), nil)
			if via, led := out.Routes[shared]; led {
				t.Errorf("%s is led out by %s", shared, via)
			}
			why := out.Yield(nil)
			if err := why[shared]; len(why) != 1 || !strings.Contains(err.Error(), "10.0.0.0/24 of network a meets 10.0.0.0/24 of network other") {
				t.Errorf("conflicts: %v", why)
			}
			if _, led := out.Routes[netip.MustParsePrefix("10.2.0.0/24")]; !led {
				t.Errorf("also others are not led out: %v", out.Routes)
			}
		})
	}
}
