package topology_test

import (
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// A transit network on what an administrator made leaves nothing of ours.
func TestAdoptedTransit(t *testing.T) {
	t.Run("switch", func(t *testing.T) {
		w := newWorld()
		w.north.Insert("Logical_Switch", map[string]any{"name": "ls-t"})
		start := w.north.Dump()
		w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.switch=ls-t", "ovn.external_gateway=192.168.100.9", "tenant_id=one")))
		w.refused(t, vpc("b", "lr-b", "10.1.0.0/24", "t", "tenant_id=two"), `tenant "one"`)
		w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t", "tenant_id=one")))
		w.must(t, w.remove("t"))
		w.must(t, w.settle())
		w.must(t, w.remove("a"))
		if got := w.north.Dump(); got != start {
			t.Errorf("left behind:\n%s", differs(start, got))
		}
	})
	t.Run("gateway router", func(t *testing.T) {
		w := newWorld()
		w.north.Insert("Logical_Router", map[string]any{"name": "admin"})
		start := w.north.Dump()
		w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.router=admin", "ovn.external_gateway=192.168.100.9")))
		w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
		second := w.another()
		second.must(t, second.create(on2(vpc("b", "lr-b", "10.1.0.0/24", "t"))))
		w.has(t, "ip_prefix=10.1.0.0/24 router=lr-b")
		w.must(t, second.remove("b-2"))
		w.must(t, w.remove("t"))
		w.must(t, w.create(vpc("a2", "lr-a", "10.3.0.0/24", "")))
		w.must(t, w.remove("a"))
		w.must(t, w.remove("a2"))
		if got := w.north.Dump(); got != start {
			t.Errorf("left behind:\n%s", differs(start, got))
		}
	})
	t.Run("router that was connected by hand", func(t *testing.T) {
		w := newWorld()
		w.north.Insert("Logical_Router", map[string]any{"name": "lr-a"})
		w.must(t, w.create(transit("t", "192.168.100.0/24")))
		w.place(t, "mine", "lr-a", "192.168.100.254/24", "ls-transit-192.168.100.0-24", "mine-too")
		w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t")))
		w.has(t, "name=lr-b:ls-transit-192.168.100.0-24 192.168.100.253/24")
		w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t")))
		w.has(t, "ip_prefix=10.0.0.0/24 nexthop=192.168.100.254")
		w.must(t, w.remove("t"))
		w.must(t, w.settle())
		w.must(t, w.remove("a"))
		w.must(t, w.remove("b"))
		w.lacks(t, "lr-gateway", "lr-b", "Static_Route")
	})
	t.Run("router with a way of its own", func(t *testing.T) {
		w := newWorld()
		w.must(t, w.create(transit("t", "192.168.100.0/24")))
		w.north.Insert("Logical_Router", map[string]any{"name": "lr-a"})
		if err := w.north.Run(ovsdb.Transaction{Operations: []ovsdb.Operation{
			ovsdb.InsertAs("r", "Logical_Router_Static_Route", map[string]any{"ip_prefix": "0.0.0.0/0", "nexthop": "172.16.0.1"}),
			ovsdb.Mutate("Logical_Router", ovsdb.Ref(w.north.UUID("Logical_Router", "lr-a")), ovsdb.Add("static_routes", ovsdb.Set(ovsdb.Named("r")))),
		}}); err != nil {
			t.Fatal(err)
		}
		w.refused(t, vpc("a", "lr-a", "10.0.0.0/24", "t"), "default route of its own", "172.16.0.1")
	})
}

// A router is not attached to itself, nor because one of its networks lies on the
// switch of a transit network.
func TestNotAttached(t *testing.T) {
	w := newWorld()
	w.north.Insert("Logical_Router", map[string]any{"name": "admin"})
	start := w.north.Dump()
	w.must(t, w.create(transit("t", "192.168.100.0/24", "ovn.router=admin", "ovn.external_gateway=192.168.100.9")))
	w.must(t, w.create(vpc("p", "admin", "10.0.0.0/24", "")))
	w.refused(t, vpc("q", "admin", "10.9.0.0/24", "t"), "needs no attachment")
	w.must(t, w.create(vpc("on", "lr-on", "10.1.0.0/24", "", "ovn.switch=ls-transit-192.168.100.0-24")))
	w.must(t, w.create(vpc("other", "lr-on", "10.2.0.0/24", "")))
	w.must(t, w.settle())
	w.has(t, "ip_prefix=0.0.0.0/0 nexthop=192.168.100.9")
	w.lacks(t, "nexthop=192.168.100.1,", "ip_prefix=10.2.0.0/24")
	for _, id := range []string{"t", "other", "p", "on"} {
		w.must(t, w.remove(id))
		w.must(t, w.settle())
	}
	if got := w.north.Dump(); got != start {
		t.Errorf("left behind:\n%s", differs(start, got))
	}
}

// A router of an administrator is the gateway router of two transit networks, on
// switches of ours and of the administrator.
func TestSharedGatewayRouter(t *testing.T) {
	w := newWorld()
	w.north.Insert("Logical_Router", map[string]any{"name": "admin"})
	w.north.Insert("Logical_Switch", map[string]any{"name": "x1"})
	start := w.north.Dump()
	w.must(t, w.create(transit("t1", "192.168.1.0/24", "ovn.router=admin", "ovn.switch=x1", "ovn.external_gateway=192.168.1.9")))
	w.refused(t, transit("t2", "192.168.2.0/24", "ovn.router=admin", "ovn.external_gateway=192.168.2.9"), "already", "x1")
	w.must(t, w.create(transit("t2", "192.168.2.0/24", "ovn.router=admin")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "t1")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "t2")))
	w.must(t, w.settle())
	w.must(t, w.remove("t1"))
	w.must(t, w.settle())
	w.has(t, "name=admin:x1", "ip_prefix=10.0.0.0/24", "nexthop=192.168.1.9")
	w.must(t, w.remove("a"))
	w.lacks(t, "name=admin:x1", "nexthop=192.168.1.9")
	w.must(t, w.settle())
	w.must(t, w.remove("t2"))
	w.must(t, w.remove("b"))
	if got := w.north.Dump(); got != start {
		t.Errorf("left behind:\n%s", differs(start, got))
	}
}
