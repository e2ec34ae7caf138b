package topology_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func provider(id, subnet string, opts ...string) topology.Network {
	return net(id, subnet, append([]string{"ovn.switch=ls-" + id, "ovn.physical_network=wan"}, opts...)...)
}

func internal(n topology.Network) topology.Network {
	n.Internal = true
	return n
}

// A router that leads out through a provider network: every order of removal leaves
// nothing, and an emptied database is filled with the same rows.
func TestUplink(t *testing.T) {
	nets := []topology.Network{
		provider("wan", "203.0.113.0/24", "vlan=7"),
		vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10"),
		vpc("b", "lr-a", "10.0.1.0/24", ""),
		internal(vpc("c", "lr-a", "10.0.2.0/24", "")),
	}
	empty := newWorld().north.Dump()
	for _, down := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 0, 1}, {1, 2, 3, 0}} {
		t.Run(fmt.Sprint(down), func(t *testing.T) {
			w := newWorld()
			for _, n := range nets {
				w.must(t, w.create(n))
			}
			w.must(t, w.settle())
			w.has(t, "Logical_Switch_Port name=ls-wan::localnet type=localnet network_name=wan tag=7",
				"Logical_Router_Port name=lr-a:ls-wan 203.0.113.10/24 network-a= network-b=",
				"Gateway_Chassis chassis_name=h name=lr-a:ls-wan_h priority=100",
				"NAT external_ip=203.0.113.10 logical_ip=0.0.0.0/0 type=snat",
				"Static_Route ip_prefix=0.0.0.0/0 nexthop=203.0.113.1",
				"Logical_Router_Port name=lr-a:ls-join",
				"Logical_Router_Policy action=drop 10.0.2.0/24 network-c=",
				"Logical_Router_Policy action=allow 10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24")
			before := w.north.Dump()
			w.north = newWorld().north
			w.must(t, w.settle())
			w.must(t, w.settle())
			for _, line := range strings.Split(before, "\n") { // but for their order
				if !strings.Contains(w.north.Dump(), strings.TrimSpace(line)) && !strings.Contains(line, "uuid") && strings.Contains(line, "NAT") {
					t.Errorf("not made again: %s", line)
				}
			}
			for i, which := range down {
				w.must(t, w.remove(nets[which].ID))
				w.must(t, w.settle())
				if last := i == len(down)-1; !last && len(w.records) == 1 && w.records["c"].ID != "" {
					w.lacks(t, "203.0.113.10", "NAT")
				}
			}
			if got := w.north.Dump(); got != empty {
				t.Errorf("left behind:\n%s", got)
			}
		})
	}
}

// The gateway router of a transit network leads out for all that are attached, and
// goes on when the Docker networks of both are gone.
func TestTransitUplink(t *testing.T) {
	w := newWorld()
	empty := w.north.Dump()
	w.must(t, w.create(provider("wan", "203.0.113.0/24")))
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.nat=203.0.113.10")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(internal(vpc("b", "lr-b", "10.1.0.0/24", "t"))))
	w.must(t, w.settle())
	w.has(t, "Logical_Router_Port name=lr-gateway:ls-wan 203.0.113.10/24", "Static_Route ip_prefix=0.0.0.0/0 nexthop=203.0.113.1", "NAT type=snat external_ip=203.0.113.10",
		"Logical_Router_Policy action=drop 10.1.0.0/24", "Logical_Router_Policy action=allow 10.0.0.0/24, 10.1.0.0/24, 192.168.100.0/24", "Logical_Router_Port name=lr-a:ls-join")
	w.lacks(t, "lr-b:ls-join")
	w.must(t, w.create(vpc("c", "lr-c", "10.2.0.0/24", "t")))
	w.has(t, "Logical_Router_Policy action=allow 10.0.0.0/24, 10.1.0.0/24, 10.2.0.0/24, 192.168.100.0/24")
	w.must(t, w.remove("t"))
	w.must(t, w.remove("wan"))
	w.must(t, w.settle())
	w.north = newWorld().north
	w.must(t, w.settle())
	w.has(t, "Logical_Router_Port name=lr-gateway:ls-wan 203.0.113.10/24", "Static_Route ip_prefix=0.0.0.0/0 nexthop=203.0.113.1", "NAT type=snat", "Gateway_Chassis chassis_name=h")
	w.must(t, w.remove("b"))
	w.lacks(t, "Logical_Router_Policy")
	for _, id := range []string{"a", "c"} {
		w.must(t, w.remove(id))
		w.must(t, w.settle())
	}
	if got := w.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", got)
	}
}

// A plugin that has lost its data directory has another instance, and makes the marks
// its own.
func TestUplinkOfAnotherInstance(t *testing.T) {
	w := newWorld()
	nets := []topology.Network{
		provider("wan", "203.0.113.0/24"), vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10"), internal(vpc("b", "lr-a", "10.0.1.0/24", "")),
	}
	for _, n := range nets {
		w.must(t, w.create(n))
	}
	for _, n := range nets {
		n.Instance = "j"
		w.must(t, w.create(n))
	}
	w.has(t, "NAT network-a=j", "Gateway_Chassis network-a=j", "Logical_Router_Policy action=drop network-b=j", "Logical_Router_Policy action=allow network-b=j")
	w.lacks(t, "network-a=i", "network-b=i", "network-wan=i")
}

// Hosts take over for one another, in the order in which they came.
func TestGatewayChassis(t *testing.T) {
	first := newWorld()
	empty := first.north.Dump()
	second := first.another()
	for _, n := range []topology.Network{provider("wan", "203.0.113.0/24"), vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10")} {
		first.must(t, first.create(n))
		second.must(t, second.create(on2(n)))
	}
	first.must(t, first.settle())
	first.has(t, "Gateway_Chassis chassis_name=h priority=100", "Gateway_Chassis chassis_name=h2 priority=99")
	first.must(t, first.remove("a"))
	first.lacks(t, "chassis_name=h ")
	second.must(t, second.settle())
	first.has(t, "Gateway_Chassis chassis_name=h2 priority=99", "NAT type=snat")
	first.must(t, first.remove("wan"))
	second.must(t, second.remove("wan-2"))
	second.must(t, second.remove("a-2"))
	if got := first.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", got)
	}
}

func TestUplinkRefusals(t *testing.T) {
	w := newWorld()
	w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10"), `ovn.nat "203.0.113.10" is in no subnet of a network with ovn.physical_network`)
	w.must(t, w.create(provider("wan", "203.0.113.0/24", "tenant_id=red")))
	w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10"), `tenant "red"`)
	w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.1", "tenant_id=red"), "is the gateway")
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10", "tenant_id=red")))
	w.refused(t, vpc("b", "lr-a", "10.0.1.0/24", "", "ovn.nat=203.0.113.11", "tenant_id=red"), "contradicts", "203.0.113.10")
	w.refused(t, vpc("b", "lr-a", "10.0.1.0/24", "", "ovn.nat=none", "tenant_id=red"), "contradicts")
	w.refused(t, vpc("b", "lr-b", "10.0.1.0/24", "", "ovn.nat=203.0.113.10", "tenant_id=red"), "address 203.0.113.10 is owned by router port")
	w.must(t, w.create(vpc("h", "lr-h", "10.9.0.0/24", "")))
	w.refused(t, vpc("i", "lr-h", "10.9.1.0/24", "", "ovn.nat=203.0.113.12"), "leads out through the host for network h")
	w.refused(t, net("x", "203.0.113.0/24", "ovn.switch=ls-wan", "tenant_id=red"), "physical network \"wan\"", "no physical network")
	w.refused(t, net("x", "203.0.113.0/24", "ovn.switch=ls-wan", "ovn.physical_network=lan", "tenant_id=red"), "physical network \"lan\"")
	w.north.Insert("Logical_Switch", map[string]any{"name": "ls-theirs"})
	w.refused(t, net("x", "203.0.113.0/24", "ovn.switch=ls-theirs", "ovn.physical_network=wan"), "was not made by this plugin")
	if err := internal(vpc("a", "lr-a", "10.0.0.0/24", "", "ovn.nat=203.0.113.10")).Validate(); err == nil {
		t.Error("an internal network has a way out")
	}
}

func (w *world) float(n topology.Network, e topology.Endpoint) error {
	p, err := n.Float(e, w.look(n))
	if err != nil {
		return err
	}
	return w.run(p)
}

func TestFloating(t *testing.T) {
	w := newWorld()
	empty := w.north.Dump()
	w.must(t, w.create(provider("wan", "203.0.113.0/24")))
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.nat=203.0.113.10")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("own", "lr-own", "10.5.0.0/24", "", "ovn.nat=203.0.113.50")))
	w.must(t, w.create(vpc("host", "lr-host", "10.6.0.0/24", "")))
	endpoint := func(id, network, address, floating string) topology.Endpoint {
		return topology.Endpoint{ID: id, NetworkID: network, Instance: "i", Addresses: []netip.Prefix{netip.MustParsePrefix(address)}, FloatingIP: netip.MustParseAddr(floating)}
	}
	one := endpoint("e1", "a", "10.0.0.2/24", "203.0.113.20")
	for range 2 {
		w.must(t, w.float(w.records["a"], one))
	}
	w.must(t, w.float(w.records["own"], endpoint("e2", "own", "10.5.0.2/24", "203.0.113.51")))
	w.has(t, "NAT type=dnat_and_snat external_ip=203.0.113.20 logical_ip=10.0.0.2 endpoint_id=e1", "NAT external_ip=203.0.113.51 logical_ip=10.5.0.2")
	for _, c := range []struct {
		e    topology.Endpoint
		says string
	}{
		{endpoint("e3", "own", "10.5.0.3/24", "203.0.113.20"), "in use already"},
		{endpoint("e3", "own", "10.5.0.3/24", "203.0.113.50"), "router's own address"},
		{endpoint("e3", "own", "10.5.0.3/24", "203.0.113.1"), "gateway"},
		{endpoint("e3", "own", "10.5.0.3/24", "192.0.2.1"), "is not in 203.0.113.0/24"},
		{endpoint("e3", "host", "10.6.0.3/24", "203.0.113.60"), "does not lead out through a provider network"},
	} {
		if err := w.float(w.records[c.e.NetworkID], c.e); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	w.must(t, w.run(topology.Unfloat("tcp:192.0.2.5:6641", "e1", w.look(w.records["a"]))))
	w.lacks(t, "203.0.113.20")
	// What is left of it goes with the network.
	for _, id := range []string{"own", "a", "host", "t", "wan"} {
		w.must(t, w.remove(id))
	}
	if got := w.north.Dump(); got != empty {
		t.Errorf("left behind:\n%s", got)
	}
}

// An administrator's own NAT keeps the router.
func TestForeignRules(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "")))
	w.must(t, w.north.Run(ovsdb.Transaction{Operations: []ovsdb.Operation{
		ovsdb.InsertAs("n", "NAT", map[string]any{"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/24"}),
		ovsdb.Mutate("Logical_Router", ovsdb.Ref(w.north.UUID("Logical_Router", "lr-a")), ovsdb.Add("nat", ovsdb.Set(ovsdb.Named("n")))),
	}}))
	w.must(t, w.remove("a"))
	w.has(t, "Logical_Router name=lr-a", "NAT external_ip=192.0.2.1")
}

func TestNoNAT(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.1", "ovn.nat=none")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "", "ovn.nat=none")))
	w.must(t, w.create(vpc("c", "lr-c", "10.2.0.0/24", "")))
	out := topology.WayOut("i", w.known(), nil)
	for subnet, bare := range map[string]bool{"10.0.0.0/24": true, "10.1.0.0/24": true, "10.2.0.0/24": false, "192.168.100.0/24": true} {
		if out.Bare[netip.MustParsePrefix(subnet)] != bare {
			t.Errorf("%s: %v", subnet, !bare)
		}
	}
	// Another host learns of it from the database.
	other := w.another()
	d := vpc("d", "lr-d", "10.3.0.0/24", "t")
	other.must(t, other.create(on2(d)))
	if !topology.WayOut("j", other.known(), nil).Bare[netip.MustParsePrefix("10.3.0.0/24")] {
		t.Error("another host masquerades")
	}
}
