package topology_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb/ovsdbtest"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// world is a northbound database in memory, and the records of one plugin.
type world struct {
	north   *ovsdbtest.DB
	records map[string]topology.Network
}

func newWorld() *world {
	return &world{north: ovsdbtest.Northbound(), records: map[string]topology.Network{}}
}

func (w *world) known() []topology.Network {
	var all []topology.Network
	for _, id := range slices.Sorted(maps.Keys(w.records)) {
		all = append(all, w.records[id])
	}
	return all
}

func (w *world) look(n topology.Network) ovn.Seen {
	results, err := w.north.Transact(n.Look(w.known()))
	if err != nil {
		panic(err)
	}
	return n.Seen(results)
}

// plan settles the network, and returns what makes it.
func (w *world) plan(n topology.Network) (topology.Network, plan.Plan, error) {
	seen := w.look(n)
	settled, err := n.Settle(seen, w.known())
	if err != nil {
		return n, plan.Plan{}, err
	}
	if x := settled.Joins(seen); x != nil {
		results, err := w.north.Transact(ovn.TakenOn(n.NB, seen.Containers(*x)))
		if err != nil {
			panic(err)
		}
		seen.Taken = map[ovn.Switch][]netip.Addr{x.Name: ovn.ReadTaken(results)}
		if settled, err = n.Settle(seen, w.known()); err != nil {
			return n, plan.Plan{}, err
		}
	}
	p, err := settled.Plan(seen)
	return settled, p, err
}

func (w *world) run(p plan.Plan) error {
	var all []error
	for _, s := range p.Steps {
		for _, op := range s.Ops {
			all = append(all, w.north.Script(op.Do[0]))
		}
	}
	return errors.Join(all...)
}

// create makes the network, or attaches one that is there.
func (w *world) create(n topology.Network) error {
	n, p, err := w.plan(n)
	if err != nil {
		return err
	}
	if err := w.run(p); err != nil {
		return err
	}
	w.records[n.ID] = n
	if again, p, err := w.plan(n); err != nil || !p.Empty() {
		return fmt.Errorf("a second plan is not empty (%w): %s\nfor %+v", err, p, again)
	}
	return nil
}

func (w *world) removal(n topology.Network) plan.Plan { return n.Removal(w.look(n)) }

func (w *world) remove(id string) error {
	n := w.records[id]
	delete(w.records, id)
	return w.run(w.removal(n))
}

// settle is a pass: each network is settled and made again, until nothing
// changes.
func (w *world) settle() error {
	var all []error
	for range 2 {
		for _, n := range w.known() {
			if err := w.create(n); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

func (w *world) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\nwith\n%s", err, w.north.Dump())
	}
}

// place has an administrator connect a router to a switch.
func (w *world) place(t *testing.T, port, router, network, sw, link string) {
	t.Helper()
	w.must(t, w.north.Run(ovsdb.Transaction{Operations: []ovsdb.Operation{
		ovsdb.InsertAs("p", "Logical_Router_Port", map[string]any{"name": port, "mac": "00:00:00:00:00:01", "networks": network}),
		ovsdb.Mutate("Logical_Router", ovsdb.Ref(w.north.UUID("Logical_Router", router)), ovsdb.Add("ports", ovsdb.Set(ovsdb.Named("p")))),
		ovsdb.InsertAs("l", "Logical_Switch_Port", map[string]any{
			"name": link, "type": "router", "addresses": "router", "options": ovsdb.Map(map[string]string{"router-port": port}),
		}),
		ovsdb.Mutate("Logical_Switch", ovsdb.Ref(w.north.UUID("Logical_Switch", sw)), ovsdb.Add("ports", ovsdb.Set(ovsdb.Named("l")))),
	}}))
}

// differs returns the lines that only one of two texts has.
func differs(before, after string) string {
	had, has := strings.Split(before, "\n"), strings.Split(after, "\n")
	var all []string
	for _, line := range had {
		if !slices.Contains(has, line) {
			all = append(all, "- "+line)
		}
	}
	for _, line := range has {
		if !slices.Contains(had, line) {
			all = append(all, "+ "+line)
		}
	}
	return strings.Join(all, "\n")
}

// refused requires an error that has all the words, and that changes nothing.
func (w *world) refused(t *testing.T, n topology.Network, words ...string) {
	t.Helper()
	before := w.north.Dump()
	err := w.create(n)
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want %q in it", err, word)
		}
	}
	if after := w.north.Dump(); after != before {
		t.Errorf("a refused network changed\n%s", differs(before, after))
	}
}

func subnetOf(pool string) topology.Subnet {
	p := netip.MustParsePrefix(pool).Masked()
	return topology.Subnet{Pool: p, Gateway: p.Addr().Next()}
}

// net returns a network that asks for what the options say, "key=value".
func net(id, subnets string, opts ...string) topology.Network {
	n := topology.Network{ID: id, Name: id, Instance: "i", Host: "h", NB: "tcp:192.0.2.5:6641", MTU: 1500}
	for _, s := range strings.Fields(subnets) {
		n.Subnets = append(n.Subnets, subnetOf(s))
	}
	given := map[string]string{"ovn.nb_connection": n.NB, "ovn.sb_connection": "tcp:192.0.2.5:6642"}
	for _, o := range opts {
		k, v, _ := strings.Cut(o, "=")
		given[k] = v
	}
	var err error
	if n.Options, err = options.ParseNetwork(given); err != nil {
		panic(err)
	}
	return n
}

func transit(id, subnets string, opts ...string) topology.Network {
	return net(id, subnets, append([]string{"ovn.role=transit"}, opts...)...)
}

// vpc is a network of the router lr-NAME, attached to a transit network.
func vpc(id, router, subnets, to string, opts ...string) topology.Network {
	opts = append([]string{"ovn.switch=ls-" + id, "ovn.router=" + router}, opts...)
	if to != "" {
		opts = append(opts, "ovn.transit_network="+to)
	}
	return net(id, subnets, opts...)
}
