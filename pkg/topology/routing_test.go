package topology_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// has requires lines of the database that hold all the words.
func (w *world) has(t *testing.T, lines ...string) {
	t.Helper()
	dump := w.north.Dump()
	for _, want := range lines {
		found := false
		for line := range strings.Lines(dump) {
			all := true
			for _, word := range strings.Fields(want) {
				all = all && strings.Contains(line, word)
			}
			found = found || all
		}
		if !found {
			t.Errorf("no row has %q in\n%s", want, dump)
		}
	}
}

func (w *world) lacks(t *testing.T, words ...string) {
	t.Helper()
	for _, word := range words {
		if dump := w.north.Dump(); strings.Contains(dump, word) {
			t.Errorf("%q is in\n%s", word, dump)
		}
	}
}

// Two VPCs and their transit network, in every order of creation and removal:
// the same rows in between, none at the end.
func TestOrder(t *testing.T) {
	nets := []topology.Network{
		transit("t", "192.168.100.0/24 fd00:100::/64"),
		vpc("a", "lr-a", "10.0.0.0/24 fd00:a::/64", "t"),
		vpc("b", "lr-b", "10.1.0.0/24", "t"),
	}
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	empty := newWorld().north.Dump()
	for _, up := range orders {
		for _, down := range orders {
			t.Run(fmt.Sprint(up, down), func(t *testing.T) {
				w := newWorld()
				for _, i := range up {
					w.must(t, w.create(nets[i]))
					w.must(t, w.settle())
				}
				w.has(t, "Logical_Router lr-gateway", "Logical_Router_Port name=lr-gateway:ls-transit-192.168.100.0-24 networks=[192.168.100.1/24, fd00:100::1/64]",
					"Static_Route ip_prefix=10.0.0.0/24 router=lr-a", "Static_Route ip_prefix=fd00:a::/64 router=lr-a", "Static_Route ip_prefix=10.1.0.0/24 router=lr-b",
					"Static_Route ip_prefix=0.0.0.0/0 nexthop=192.168.100.1", "Static_Route ip_prefix=::/0 nexthop=fd00:100::1",
					"Logical_Router_Port name=lr-a:ls-a mac=0a:01:0a:00:00:01 networks=[10.0.0.1/24, fd00:a::1/64]")
				for i, at := range []string{"lr-a:ls-transit-192.168.100.0-24", "lr-b:ls-transit-192.168.100.0-24"} {
					if len(w.north.Row("Logical_Router_Port", at).Strings("networks")) != 2 {
						t.Errorf("router %d has no place on the transit network", i)
					}
				}
				for _, i := range down {
					w.must(t, w.remove(nets[i].ID))
					w.must(t, w.settle())
				}
				if got := w.north.Dump(); got != empty {
					t.Errorf("left behind:\n%s", got)
				}
			})
		}
	}
}

// What routers are attached to stays when its Docker network goes, and is taken
// up again by one that is made anew; another one of that name takes the routers
// over.
func TestTransitIsMadeAnew(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.254")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t")))
	w.has(t, "name=lr-a:ls-transit-192.168.100.0-24 192.168.100.253/24", "ip_prefix=0.0.0.0/0 nexthop=192.168.100.254")
	w.must(t, w.remove("t"))
	w.must(t, w.settle())
	w.has(t, "Logical_Router name=lr-gateway", "name=lr-a:ls-transit-192.168.100.0-24 192.168.100.253/24", "ip_prefix=0.0.0.0/0 nexthop=192.168.100.254")

	again := transit("t2", "192.168.100.0/24", "ovn.external_gateway=192.168.100.200")
	again.Name = "t"
	w.must(t, w.create(again))
	w.must(t, w.settle())
	w.has(t, "Logical_Switch transit-t2=t", "ip_prefix=0.0.0.0/0 nexthop=192.168.100.200")
	w.lacks(t, "nexthop=192.168.100.254")
	w.must(t, w.remove("t2"))

	other := transit("t3", "192.168.200.0/24")
	other.Name = "t"
	w.must(t, w.create(other))
	w.must(t, w.settle())
	w.has(t, "name=lr-a:ls-transit-192.168.200.0-24 192.168.200.25", "ip_prefix=10.1.0.0/24 nexthop=192.168.200.25", "ip_prefix=0.0.0.0/0 nexthop=192.168.200.1")
	w.lacks(t, "192.168.100.")
}

// An empty database is filled from the records, also with a transit network that
// Docker does not have any more, and with the same addresses.
func TestEmptiedNorth(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t")))
	w.must(t, w.create(vpc("a2", "lr-a", "10.0.1.0/24", "")))
	w.must(t, w.remove("t"))
	before := w.north.Dump()
	w.north = newWorld().north
	w.must(t, w.settle())
	if after := w.north.Dump(); after != before {
		t.Error(differs(before, after))
	}
}

// What an administrator deletes of it is made again.
func TestRoutingIsRepaired(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.254")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t")))
	before := w.north.Dump()
	for _, table := range []string{"Logical_Switch", "Logical_Router", "Logical_Router_Port", "Logical_Switch_Port"} {
		for _, name := range w.north.Names(table) {
			w.north.Delete(table, name)
			w.must(t, w.settle())
			if after := w.north.Dump(); after != before {
				t.Errorf("after %s %s was deleted:\n%s", table, name, differs(before, after))
			}
		}
	}
	for _, router := range w.north.Names("Logical_Router") {
		w.north.Set("Logical_Router", router, "static_routes", ovsdb.Set[any]())
		w.must(t, w.settle())
		if after := w.north.Dump(); after != before {
			t.Errorf("after the routes of %s were deleted:\n%s", router, differs(before, after))
		}
	}
}

// What is there already is used as it is, and stays.
func TestAdoptedRouting(t *testing.T) {
	w := newWorld()
	w.north.Insert("Logical_Switch", map[string]any{"name": "ls-a"})
	w.north.Insert("Logical_Router", map[string]any{"name": "lr-a"})
	admin := w.north.Dump()
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "")))
	w.has(t, "name=lr-a:ls-a 10.0.0.1/24 owner=ovs-container-network")
	w.must(t, w.remove("a"))
	if got := w.north.Dump(); got != admin {
		t.Errorf("an administrator's rows:\n%s", differs(admin, got))
	}

	w.place(t, "mine", "lr-a", "10.0.0.1/24", "ls-a", "mine-too")
	admin = w.north.Dump()
	w.must(t, w.create(transit("t", "192.168.100.0/24")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
	w.has(t, "name=lr-a:ls-transit-192.168.100.0-24 192.168.100.254/24", "ip_prefix=10.0.0.0/24")
	w.refused(t, vpc("b", "lr-b", "10.0.0.0/24", "", "ovn.switch=ls-a"), "10.0.0.1", `"mine"`)
	w.must(t, w.remove("a"))
	w.must(t, w.remove("t"))
	if got := w.north.Dump(); got != admin {
		t.Errorf("an administrator's rows:\n%s", differs(admin, got))
	}
	w.refused(t, vpc("a", "lr-a", "10.9.0.0/24", ""), "made by somebody else", "10.9.0.1/24")
}

// Bad neighbours are refused, with names, and before anything is changed.
func TestRefusedRouting(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/24")))
	w.must(t, w.create(transit("mine", "192.168.101.0/24", "tenant_id=one")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/16", "t", "tenant_id=one")))
	w.has(t, "name=lr-gateway-192.168.101.0-24")
	w.refused(t, vpc("b", "lr-b", "10.0.7.0/24", "t"), `"lr-b"`, `"lr-a"`, "10.0.7.0/24", "10.0.0.0/16", "choose another")
	w.refused(t, vpc("b", "lr-b", "192.168.100.128/25", "t"), `"lr-b"`, "192.168.100.0/24")
	w.refused(t, vpc("a2", "lr-a", "10.0.7.0/24", "t", "tenant_id=one"), "10.0.7.0/24", "10.0.0.0/16", `"ls-a"`)
	w.refused(t, vpc("a2", "lr-a", "10.7.0.0/24", "t", "tenant_id=two"), `tenant "one"`, `tenant "two"`, `"lr-a"`)
	w.refused(t, vpc("a2", "lr-a", "10.7.0.0/24", "mine", "tenant_id=one"), "a router has one", `"lr-a"`)
	w.refused(t, vpc("b", "lr-b", "10.7.0.0/24", "mine", "tenant_id=two"), `tenant "one"`, `tenant "two"`)
	w.refused(t, vpc("b", "lr-gateway", "10.7.0.0/24", ""), "gateway of the transit network")
	w.refused(t, transit("t2", "192.168.102.0/24", "ovn.router=lr-a"), `"lr-a"`, "ovn.router")
	other := vpc("a2", "lr-a", "10.0.0.0/16", "", "ovn.switch=ls-a", "tenant_id=one")
	other.Subnets[0].Gateway = other.Subnets[0].Gateway.Next()
	w.refused(t, other, "10.0.0.1/16", "--gateway 10.0.0.1")
	w.north.Insert("Logical_Router", map[string]any{"name": "twice"})
	w.north.Insert("Logical_Router", map[string]any{"name": "twice"})
	w.refused(t, vpc("b", "twice", "10.7.0.0/24", ""), "2 times")
}

// Bad input, whatever is there.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		n    topology.Network
		says string
	}{
		{transit("t", ""), "--subnet"},
		{vpc("a", "lr-a", "", ""), `ovn.router "lr-a"`},
		{transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.101.1"), `"192.168.101.1" is in no subnet`},
		{transit("t", "192.168.100.0/24", "ovn.external_gateway=192.168.100.1"), ""},
		{net("n", "", "ovn.switch=ls"), ""},
	} {
		if err := c.n.Validate(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.n.Options, err, c.says)
		}
	}
}

// The transit network is found by each of its names, in this order.
func TestNamesOfTransit(t *testing.T) {
	w := newWorld()
	byName, byCompose, bySwitch := transit("t1", "192.168.1.0/24"), transit("t2", "192.168.2.0/24"), transit("t3", "192.168.3.0/24", "ovn.switch=x")
	byName.Name, byCompose.Name, byCompose.Compose = "x", "lab_x", "lab/x"
	at := func(want string) {
		t.Helper()
		n := vpc("a", "lr-a", "10.0.0.0/24", "x")
		n.Compose = "lab/a"
		w.must(t, w.create(n))
		if want == "" {
			w.lacks(t, "name=lr-a:ls-transit", "name=lr-a:x ")
		} else {
			w.has(t, "name=lr-a:"+want)
		}
		w.must(t, w.remove("a"))
	}
	at("")
	w.must(t, w.create(bySwitch))
	at("x")
	w.must(t, w.create(byCompose))
	at("ls-transit-192.168.2.0-24")
	w.must(t, w.create(byName))
	at("ls-transit-192.168.1.0-24")

	// Another host knows them from the database.
	w.records = map[string]topology.Network{}
	at("ls-transit-192.168.1.0-24")
	again := transit("t4", "192.168.4.0/24")
	again.Name = "x"
	w.must(t, w.create(again))
	w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "x"), "2 networks", "name the switch")
}

// The addresses of routers come from the top, and miss what is there.
func TestAddressesOnTransit(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(transit("t", "192.168.100.0/28", "ovn.external_gateway=192.168.100.14", "ovn.switch=x")))
	w.north.AddPort("x", "container")
	w.north.Set("Logical_Switch_Port", "container", "addresses", "0a:00:c0:a8:64:0c 192.168.100.12")
	want := []int{13, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2}
	for i, last := range want {
		id := fmt.Sprintf("v%d", i)
		w.must(t, w.create(vpc(id, "lr-"+id, fmt.Sprintf("10.%d.0.0/24", i), "t")))
		w.has(t, fmt.Sprintf("name=lr-%s:x 192.168.100.%d/28", id, last))
	}
	w.refused(t, vpc("v", "lr-v", "10.99.0.0/24", "t"), "192.168.100.0/28 has no address left")
	w.must(t, w.remove("v3"))
	w.must(t, w.create(vpc("v", "lr-v", "10.99.0.0/24", "t")))
	w.has(t, "name=lr-v:x 192.168.100.9/28")
}

// Whoever changes what a plan builds on makes it fail as a whole.
func TestRaces(t *testing.T) {
	a, b := vpc("a", "lr-a", "10.0.0.0/24", "t"), vpc("b", "lr-b", "10.1.0.0/24", "t")
	for name, meanwhile := range map[string]func(w *world) error{
		"another router takes the address": func(w *world) error { return w.create(b) },
		"the router is made":               func(w *world) error { return w.create(vpc("a2", "lr-a", "10.5.0.0/24", "")) },
		"the switch is made":               func(w *world) error { w.north.Insert("Logical_Switch", map[string]any{"name": "ls-a"}); return nil },
		"a container takes the address": func(w *world) error {
			w.north.AddPort("ls-transit-192.168.100.0-24", "c")
			return nil
		},
		"the transit network goes": func(w *world) error { return w.remove("t") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.must(t, w.create(transit("t", "192.168.100.0/24")))
			_, p, err := w.plan(a)
			w.must(t, err)
			w.must(t, meanwhile(w))
			before := w.north.Dump()
			if err := w.run(p); err == nil || w.north.Dump() != before {
				t.Errorf("error %v, and the database is\n%s\nit was\n%s", err, w.north.Dump(), before)
			}
			w.must(t, w.create(a))
		})
	}
	t.Run("somebody begins to use what goes", func(t *testing.T) {
		w := newWorld()
		w.must(t, w.create(a))
		p := w.removal(w.records["a"])
		w.must(t, w.create(vpc("a2", "lr-a", "10.5.0.0/24", "")))
		if err := w.run(p); err == nil {
			t.Error("a router went that has another user")
		}
	})
}
