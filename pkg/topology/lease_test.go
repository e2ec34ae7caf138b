package topology_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func gives(n topology.Network) topology.Network {
	n.AddressSpace = topology.AddressSpace
	return n
}

// giver is what one host knows of a subnet whose addresses several hosts give.
type giver struct {
	network string
	pool    ipam.Pool
}

// take gives an address as a host does that has not looked for a while.
func (w *world) take(h *giver, asked netip.Addr, used []netip.Addr) (netip.Addr, error) {
	for {
		n := w.records[h.network]
		results, err := w.north.Transact(n.LookAtLeases(true))
		if err != nil {
			return asked, err
		}
		n, seen := n.SeenLeases(results, true)
		w.records[n.ID] = n
		a, err := h.pool.Take(asked, n.Leases, time.Now())
		if !errors.Is(err, ipam.ErrNotLeased) {
			return a, err
		}
		n, p, err := n.Lease(seen, h.pool, asked, used)
		if err != nil {
			return a, err
		}
		if err := w.run(p); err != nil {
			return a, err
		}
		w.records[n.ID] = n
	}
}

// Hosts that take, are asked for, and give back addresses of one subnet never give one twice, whatever is leased to whom;
// and when a network goes, so do its leases.
func TestLeases(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { leases(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func leases(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	w := newWorld()
	subnet := subnetOf("10.0.0.0/26")
	var hosts []*giver
	add := func(id string) {
		w.must(t, w.create(gives(vpc(id, "lr", subnet.Pool.String(), "", "ovn.switch=ls"))))
		hosts = append(hosts, &giver{id, ipam.Pool{Key: ipam.Key{Subnet: subnet.Pool}, Gateway: subnet.Gateway, Network: id}})
	}
	add("n1")
	add("n2")
	add("n3")
	owner := map[netip.Addr]string{}
	for range 200 {
		h := hosts[rnd.IntN(len(hosts))]
		switch rnd.IntN(6) {
		case 0:
			if all := h.pool.Addresses(); len(all) > 0 {
				a := all[rnd.IntN(len(all))]
				h.pool.Release(a)
				delete(owner, a)
			}
		case 1:
			asked := netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(64))})
			var used []netip.Addr
			for a := range owner {
				used = append(used, a)
			}
			a, err := w.take(h, asked, used)
			switch {
			case err == nil && (owner[a] != "" || a != asked || a == subnet.Gateway):
				t.Fatalf("%s was given to %s, and is %q's", a, h.network, owner[a])
			case err == nil:
				owner[a] = h.network
			case owner[asked] == "" && ipam.Usable(subnet.Pool).Contains(asked) && asked != subnet.Gateway:
				t.Fatalf("%s is free, and %s does not get it: %v", asked, h.network, err)
			}
		default:
			a, err := w.take(h, netip.Addr{}, nil)
			if err != nil && !strings.Contains(err.Error(), "is full") {
				t.Fatal(err)
			}
			if err == nil {
				if owner[a] != "" || a == subnet.Gateway {
					t.Fatalf("%s was given to %s, and is %q's", a, h.network, owner[a])
				}
				owner[a] = h.network
			}
		}
	}
	for _, h := range hosts[1:] {
		w.must(t, w.remove(h.network))
	}
	if dump := w.north.Dump(); strings.Contains(dump, " n2 ") || strings.Contains(dump, " n3 ") {
		t.Errorf("leases of networks that are gone are left:\n%s", dump)
	}
	w.must(t, w.remove("n1"))
	if dump := w.north.Dump(); strings.Contains(dump, "lease-") {
		t.Errorf("left:\n%s", dump)
	}
}

// Leases are made again with the switch; what others have got meanwhile is theirs.
func TestLeasesOfALostDatabase(t *testing.T) {
	w := newWorld()
	w.must(t, w.create(gives(vpc("n1", "lr", "10.0.0.0/28", "", "ovn.switch=ls"))))
	w.must(t, w.create(gives(vpc("n2", "lr", "10.0.0.0/28", "", "ovn.switch=ls"))))
	s := subnetOf("10.0.0.0/28")
	h := &giver{"n1", ipam.Pool{Key: ipam.Key{Subnet: s.Pool}, Gateway: s.Gateway, Network: "n1"}}
	for range 4 {
		if _, err := w.take(h, netip.Addr{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	n1 := w.records["n1"]
	w.must(t, w.remove("n1"))
	other := &giver{"n2", ipam.Pool{Key: ipam.Key{Subnet: s.Pool}, Gateway: s.Gateway, Network: "n2"}}
	for range 2 {
		if _, err := w.take(other, netip.Addr{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.must(t, w.create(n1))
	for _, span := range w.records["n1"].Leases {
		if slices.ContainsFunc(w.records["n2"].Leases, span.Overlaps) {
			t.Errorf("n1 has %v again, n2 has %v", w.records["n1"].Leases, w.records["n2"].Leases)
		}
	}
	w.must(t, w.remove("n1"))
	w.must(t, w.remove("n2"))
}

// A switch that somebody else made bears leases too, and no other mark.
func TestLeasesOnAForeignSwitch(t *testing.T) {
	w := newWorld()
	w.must(t, w.north.Run(ovsdb.Transaction{Operations: []ovsdb.Operation{ovsdb.InsertAs("s", "Logical_Switch", map[string]any{"name": "ls"})}}))
	before := w.north.Dump()
	n := gives(net("n1", "10.0.0.0/28", "ovn.switch=ls"))
	w.must(t, w.create(n))
	h := &giver{"n1", ipam.Pool{Key: ipam.Key{Subnet: netip.MustParsePrefix("10.0.0.0/28")}, Gateway: netip.MustParseAddr("10.0.0.1"), Network: "n1"}}
	if _, err := w.take(h, netip.Addr{}, nil); err != nil {
		t.Fatal(err)
	}
	if users := topology.Users(ovn.ReadInventory(w.inventory(t, n.NB)).Seen); users["n1"] != "i" {
		t.Errorf("users of the switch are %v", users)
	}
	w.must(t, w.remove("n1"))
	if after := w.north.Dump(); after != before {
		t.Errorf("left:\n%s", differs(before, after))
	}
}

func (w *world) inventory(t *testing.T, nb string) []ovsdb.Result {
	t.Helper()
	results, err := w.north.Transact(ovn.TakeInventory(nb, topology.Owner))
	w.must(t, err)
	return results
}
