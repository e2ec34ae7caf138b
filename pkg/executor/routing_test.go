package executor_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// well is all databases answering.
type well struct{}

func (well) Since(string) time.Time { return time.Time{} }
func (well) Down(string) bool       { return false }
func (well) Report(string)          {}
func (well) Retry(string)           {}

// hostless runs what is of the northbound database, on a host that leads nowhere.
type hostless struct{ *executor.Executor }

func (h hostless) Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error) {
	if t.Database == ovsdb.Local {
		return nil, nil
	}
	return h.Executor.Transact(ctx, t)
}

func (h hostless) Apply(ctx context.Context, p plan.Plan) error {
	p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return s.Target.Program != "ovsdb-client" && s.Target.Program != "ovn-nbctl" })
	return h.Executor.Apply(ctx, p)
}

func (hostless) Addresses(context.Context) ([]link.Address, error) { return nil, nil }
func (hostless) Routes(context.Context) ([]link.Route, error)      { return nil, nil }
func (hostless) Forwards6() (bool, error)                          { return true, nil }

func (hostless) Firewall(context.Context, bool) (firewall.Backend, map[firewall.Backend]firewall.Rules, error) {
	return firewall.NFT, nil, nil
}

// records are those of a plugin with files of its own.
func records(t *testing.T, run *executor.Executor) *lifecycle.Records {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{Mode: store.Strict})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	networks, err := store.NewCollection[topology.Network](s, "networks")
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := store.NewCollection[topology.Endpoint](s, "endpoints")
	if err != nil {
		t.Fatal(err)
	}
	pools, err := store.NewCollection[ipam.Pool](s, "pools")
	if err != nil {
		t.Fatal(err)
	}
	return lifecycle.New(lifecycle.Config{
		Translated: func() {},
		Run:        hostless{run}, Outages: well{}, Networks: networks, Endpoints: endpoints, Pools: pools, Locks: &keylock.Locks{}, Instance: s.Instance(),
		Changed: func() {}, Log: zap.NewNop(),
	})
}

// choices are networks that a random walk creates and removes. Some cannot be
// there together, and are then refused.
func choices(north, instance string) []topology.Network {
	var all []topology.Network
	add := func(id string, subnets []string, opts ...string) {
		given := map[string]string{"ovn.nb_connection": "tcp:127.0.0.1:6641", "ovn.sb_connection": "tcp:127.0.0.1:6642"}
		for _, o := range opts {
			k, v, _ := strings.Cut(o, "=")
			given[k] = v
		}
		o, err := options.ParseNetwork(given)
		if err != nil {
			panic(err)
		}
		n := topology.Network{ID: id, Name: id, Instance: instance, Host: "h", Options: o, NB: north, MTU: 1500}
		for _, text := range subnets {
			pool := netip.MustParsePrefix(text)
			n.Subnets = append(n.Subnets, topology.Subnet{Pool: pool, Gateway: pool.Addr().Next()})
		}
		all = append(all, n)
	}
	add("t0", []string{"192.168.0.0/24"}, "ovn.role=transit", "ovn.external_gateway=192.168.0.254")
	add("t1", []string{"192.168.1.0/24", "fd00:1::/64"}, "ovn.role=transit", "ovn.switch=ls-t1")
	add("t2", []string{"192.168.2.0/24"}, "ovn.role=transit", "ovn.external_gateway=192.168.2.1")
	for r := range 6 {
		for i := range 3 {
			opts := []string{fmt.Sprintf("ovn.switch=ls-%d-%d", r, i), fmt.Sprintf("ovn.router=lr-%d", r)}
			if i < 2 {
				opts = append(opts, fmt.Sprintf("ovn.transit_network=t%d", r%3))
			}
			subnets := []string{fmt.Sprintf("10.%d.%d.0/24", r, i)}
			if r%2 == 1 {
				subnets = append(subnets, fmt.Sprintf("fd00:%d:%d::/64", r+16, i))
			}
			add(fmt.Sprintf("n%d-%d", r, i), subnets, opts...)
		}
	}
	add("shared-0", []string{"10.77.0.0/24"}, "ovn.switch=ls-0-0", "ovn.router=lr-0")
	add("shared-1", []string{"10.78.0.0/24"}, "ovn.switch=ls-0-0")
	add("wan", []string{"203.0.113.0/24"}, "ovn.switch=ls-wan", "ovn.physical_network=wan", "vlan=7")
	add("t3", []string{"192.168.3.0/24"}, "ovn.role=transit", "ovn.switch=ls-t3", "ovn.nat=203.0.113.5")
	add("nat0", []string{"10.90.0.0/24"}, "ovn.switch=ls-nat0", "ovn.router=lr-nat", "ovn.nat=203.0.113.6")
	add("nat1", []string{"10.90.1.0/24"}, "ovn.switch=ls-nat1", "ovn.router=lr-nat", "ovn.nat=203.0.113.6")
	add("nat2", []string{"10.91.0.0/24"}, "ovn.switch=ls-nat2", "ovn.router=lr-nat2", "ovn.transit_network=t3")
	for _, id := range []string{"nat0", "nat2"} {
		i := slices.IndexFunc(all, func(n topology.Network) bool { return n.ID == id })
		sealed := all[i]
		sealed.ID, sealed.Name, sealed.Internal = id+"-sealed", id+"-sealed", true
		sealed.Options.Switch, sealed.Options.SNAT = sealed.Options.Switch+"-sealed", netip.Addr{}
		pool := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 92, byte(i), 0}), 24)
		sealed.Subnets = []topology.Subnet{{Pool: pool, Gateway: pool.Addr().Next()}}
		all = append(all, sealed)
	}
	add("overlap", []string{"10.1.0.0/16"}, "ovn.switch=ls-overlap", "ovn.router=lr-overlap", "ovn.transit_network=t1")
	return all
}

// implied is what the records say must be in the database: a line a switch,
// router, address of a port, and route. Ways are the ways out of transit networks:
// one stays when its network goes, as long as routers use it.
func implied(networks map[string]store.Record[topology.Network], ways map[ovn.Router]netip.Addr) []string {
	lines := map[string]bool{}
	add := func(format string, args ...any) { lines[fmt.Sprintf(format, args...)] = true }
	family := func(all []netip.Prefix, as netip.Addr) (netip.Addr, bool) {
		for _, p := range all {
			if p.Addr().Is4() == as.Is4() {
				return p.Addr(), true
			}
		}
		return netip.Addr{}, false
	}
	anywhere := map[bool]string{true: "0.0.0.0/0", false: "::/0"}
	for _, r := range networks {
		n := r.Data
		add("switch %s", n.Switch())
		if n.Router() == "" {
			continue
		}
		add("router %s", n.Router())
		for _, g := range n.Gateways() {
			add("%s on %s has %s", n.Router(), n.Switch(), g)
		}
		out := func(r ovn.Router, exit []netip.Prefix) {
			for _, a := range exit {
				add("switch %s", topology.JoinSwitch)
				add("%s on %s has %s", r, topology.JoinSwitch, a)
				add("%s routes %s to %s", r, anywhere[a.Addr().Is4()], map[bool]string{true: "100.64.0.1", false: "fd64::1"}[a.Addr().Is4()])
			}
		}
		if n.LeadsIn() {
			for _, a := range n.Exit {
				add("switch %s", topology.JoinSwitch)
				add("%s on %s has %s", n.Router(), topology.JoinSwitch, a)
			}
		} else {
			out(n.Router(), n.Exit)
		}
		uplink := func(r ovn.Router, u *topology.Uplink) {
			if u != nil {
				add("switch %s", u.Switch)
				add("%s on %s has %s", r, u.Switch, u.Address)
				add("%s routes 0.0.0.0/0 to %s", r, u.NextHop)
				add("%s translates to %s", r, u.Address.Addr())
			}
		}
		uplink(n.Router(), n.Uplink)
		if next := n.Options.ExternalGateway; next.IsValid() && len(n.Exit) == 0 {
			ways[n.GatewayRouter] = next
		}
		to := n.Transit
		if to == nil {
			continue
		}
		add("switch %s", to.Switch)
		add("router %s", to.Router)
		out(to.Router, to.Exit)
		uplink(to.Router, to.Uplink)
		for _, a := range to.Addresses {
			add("%s on %s has %s", n.Router(), to.Switch, a)
		}
		for _, g := range to.Gateways {
			add("%s on %s has %s", to.Router, to.Switch, g)
			add("%s routes %s to %s", n.Router(), anywhere[g.Addr().Is4()], g.Addr())
		}
		for _, s := range n.Subnets {
			if next, ok := family(to.Addresses, s.Pool.Addr()); ok {
				add("%s routes %s to %s", to.Router, s.Pool, next)
			}
		}
	}
	for r, next := range ways {
		if lines["router "+string(r)] {
			add("%s routes %s to %s", r, anywhere[next.Is4()], next)
		} else {
			delete(ways, r)
		}
	}
	return slices.Sorted(maps.Keys(lines))
}

// present is what the database says, in the same words.
func present(t *testing.T, run *executor.Executor, north string) []string {
	t.Helper()
	results, err := run.Transact(t.Context(), ovn.TakeInventory(north, topology.Owner))
	if err != nil {
		t.Fatal(err)
	}
	i := ovn.ReadInventory(results)
	var lines []string
	link := map[ovn.RouterPort]ovn.Switch{}
	for _, s := range i.Switches {
		lines = append(lines, fmt.Sprintf("switch %s", s.Name))
		for _, l := range i.Links {
			if slices.Contains(s.Ports, l.UUID) {
				link[l.Peer] = s.Name
			}
		}
	}
	macs := map[string]bool{}
	for _, r := range i.Routers {
		lines = append(lines, fmt.Sprintf("router %s", r.Name))
		for _, p := range i.RouterPorts {
			if !slices.Contains(r.Ports, p.UUID) {
				continue
			}
			if at := string(link[p.Name]) + p.MAC; macs[at] {
				t.Errorf("two ports of %s have MAC address %s", link[p.Name], p.MAC)
			} else {
				macs[at] = true
			}
			for _, a := range p.Networks {
				lines = append(lines, fmt.Sprintf("%s on %s has %s", r.Name, link[p.Name], a))
			}
		}
		for _, rule := range i.NATsOf(r) {
			lines = append(lines, fmt.Sprintf("%s translates to %s", r.Name, rule.External))
		}
		for _, route := range i.Routes {
			if slices.Contains(r.Routes, route.UUID) {
				lines = append(lines, fmt.Sprintf("%s routes %s to %s", r.Name, route.Prefix, route.NextHop))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Forty networks come and go in a random order, on a real database, and after
// each step it holds just what the records imply. SEEDS is how many walks there
// are, SEED the first one's.
func TestRandomRouting(t *testing.T) {
	north := database(t, schema(t, "/usr/share/ovn", "ovn-nb.ovsschema"))
	run := executor.New(zap.NewNop())
	if out, err := exec.Command("ovn-nbctl", "--db="+north, "init").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seeds, first := 6, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		first = n
	}
	start := dump(t, north, ovsdb.Northbound)
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			walk(t, run, north, rand.New(rand.NewPCG(seed, 0)))
			if got := dump(t, north, ovsdb.Northbound); got != start {
				t.Fatalf("left behind:\n%s", got)
			}
		})
	}
}

func walk(t *testing.T, run *executor.Executor, north string, random *rand.Rand) {
	t.Helper()
	ctx := context.Background()
	r := records(t, run)
	all := choices(north, r.Instance)
	there := func() []string { return slices.Sorted(maps.Keys(r.Networks.List())) }
	var steps []string
	ways := map[ovn.Router]netip.Addr{}
	check := func(step string) {
		t.Helper()
		steps = append(steps, step)
		pass(t, run, r, north)
		if want, got := implied(r.Networks.List(), ways), present(t, run, north); !slices.Equal(want, got) {
			t.Fatalf("after %q\nmissing %q\ntoo much %q", steps, without(want, got), without(got, want))
		}
	}
	for range 40 {
		n := all[random.IntN(len(all))]
		if _, known := r.Networks.Get(n.ID); known {
			if err := r.RemoveNetwork(ctx, n.ID); err != nil {
				t.Fatalf("removing %s after %q: %v", n.ID, steps, err)
			}
			check("-" + n.ID)
			continue
		}
		before := dump(t, north, ovsdb.Northbound)
		if err := r.AddNetwork(ctx, n, nil); err != nil {
			if !strings.Contains(err.Error(), "overlaps") && !strings.Contains(err.Error(), "is in no subnet of a network with ovn.physical_network") {
				t.Fatalf("creating %s after %q: %v", n.ID, steps, err)
			}
			if after := dump(t, north, ovsdb.Northbound); after != before {
				t.Fatalf("refused %s changed something, after %q", n.ID, steps)
			}
			continue
		}
		check("+" + n.ID)
	}
	ids := there()
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		if err := r.RemoveNetwork(ctx, id); err != nil {
			t.Fatal(err)
		}
		check("-" + id)
	}
}

// pass makes what the networks lack, as the plugin does after each change.
func pass(t *testing.T, run *executor.Executor, r *lifecycle.Records, north string) {
	t.Helper()
	round := 0
	for again := true; again; {
		again = false
		results, err := run.Transact(t.Context(), ovn.TakeInventory(north, topology.Owner))
		if err != nil {
			t.Fatal(err)
		}
		seen := ovn.ReadInventory(results).Seen
		known := r.Known()
		for _, n := range known {
			settled, missing, _ := n.Mend(seen, known)
			if missing.Empty() && reflect.DeepEqual(settled, n) {
				continue
			}
			made, err := r.RestoreNetwork(t.Context(), n.ID)
			if round++; round > 200 {
				t.Fatalf("network %s is never settled (%v):\n%+v\n%+v\n%s", n.ID, err, n, settled, missing)
			}
			again = again || made || err == nil // one that overlaps says so each time
		}
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}
