package executor_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// switchboard is a local database with a bridge, without an ovs-vswitchd.
type switchboard struct {
	t  *testing.T
	db string
	*executor.Executor
}

func newSwitchboard(t *testing.T) switchboard {
	t.Helper()
	s := switchboard{t, database(t, schema(t, "/usr/share/openvswitch", "vswitch.ovsschema")), executor.New(zaptest.NewLogger(t))}
	s.vsctl("init")
	s.vsctl("add-br", "br-int", "--", "add-br", "br-other")
	return s
}

func (s switchboard) vsctl(words ...string) string {
	s.t.Helper()
	out, err := exec.Command("ovs-vsctl", append([]string{"--no-wait", "--db=" + s.db}, words...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("ovs-vsctl %v: %v: %s", words, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s switchboard) seen() ovs.Inventory {
	s.t.Helper()
	results, err := s.Transact(context.Background(), ovs.TakeInventory(s.db, topology.Owner))
	if err != nil {
		s.t.Fatal(err)
	}
	return ovs.ReadInventory(results)
}

// attach adds the endpoint's port.
func (s switchboard) attach(n topology.Network, e topology.Endpoint) {
	s.t.Helper()
	steps := e.Plan(n, topology.Host{OVSDB: s.db}).Host.Steps
	if err := s.Apply(context.Background(), plan.New(steps[len(steps)-1])); err != nil {
		s.t.Fatal(err)
	}
}

// mirror runs the part of the plan that is in the database, twice, and returns what was
// refused.
func (s switchboard) mirror(networks []topology.Network, endpoints []topology.Endpoint, links map[string]bool) map[string]error {
	s.t.Helper()
	var refused map[string]error
	for again := range 2 {
		var plans []plan.Plan
		there := maps.Clone(links)
		for name := range s.seen().Ports {
			if there == nil {
				there = map[string]bool{}
			}
			there[string(name)] = true
		}
		plans, refused = topology.MirrorsOf("i", slices.Clone(networks), endpoints).Plans(topology.Host{OVSDB: s.db}, s.seen(), there, map[netip.Addr]int{netip.MustParseAddr("192.0.2.9"): 1500})
		for _, p := range plans {
			p.Steps = slices.DeleteFunc(p.Steps, func(step plan.Step) bool { return step.Target.Program != "ovs-vsctl" })
			if again == 1 && !p.Empty() {
				s.t.Errorf("a second plan is not empty: %s", p)
			}
			if err := s.Apply(context.Background(), withoutWait(p)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return refused
}

// mirrors tells of each mirror its key, and from which ports it leads to which.
func (s switchboard) mirrors() string {
	s.t.Helper()
	var all []string
	for _, m := range s.seen().Mirrors {
		var from []string
		for _, p := range m.From {
			from = append(from, string(p))
		}
		if !slices.Equal(m.From, m.To) {
			s.t.Errorf("mirror %s is of one direction: %v and %v", m.Name, m.From, m.To)
		}
		all = append(all, m.Name+": "+strings.Join(from, " ")+" > "+string(m.Output))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func mirrored(t *testing.T, id, ports, dest string, more ...string) topology.Network {
	t.Helper()
	opts := map[string]string{"ovn.switch": "ls-" + id, "ovn.nb_connection": "tcp:h:6641", "ovn.sb_connection": "tcp:h:6642", "mirror.dest": dest}
	if ports != "" {
		opts["mirror.ports"] = ports
	}
	for _, o := range more {
		k, v, _ := strings.Cut(o, "=")
		opts[k] = v
	}
	o, err := options.ParseNetwork(opts)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Network{ID: id, Instance: "i", Options: o, MTU: o.MTU}
}

func container(n topology.Network, name, address string) topology.Endpoint {
	at := []netip.Prefix{netip.MustParsePrefix(address + "/24")}
	return topology.Endpoint{ID: name + "-endpoint", NetworkID: n.ID, Instance: "i", Addresses: at, MAC: topology.MAC(at, name), Container: name}
}

func TestMirrorsOnARealDatabase(t *testing.T) {
	s := newSwitchboard(t)
	s.vsctl("add-port", "br-int", "admin0", "--", "--id=@p", "get", "Port", "admin0", "--", "--id=@m", "create", "Mirror", "name=theirs", "select_all=true", "output_port=@p", "--", "add", "Bridge", "br-int", "mirrors", "@m")
	s.vsctl("add-port", "br-other", "other0")
	before := dump(t, s.db, ovsdb.Local)

	all, some := mirrored(t, "all", "all", "monitor-port"), mirrored(t, "some", "10.1.0.2,0a:00:0a:01:00:03,db", "monitor-port", "mtu=9000")
	ids, far := mirrored(t, "ids", "", "container:ids"), mirrored(t, "far", "all", "erspan:192.0.2.9")
	a1, a2 := container(all, "a1", "10.0.0.2"), container(all, "a2", "10.0.0.3")
	s1, s2, db, no := container(some, "s1", "10.1.0.2"), container(some, "s2", "10.1.0.3"), container(some, "db", "10.1.0.4"), container(some, "no", "10.1.0.5")
	yes, is := true, container(ids, "ids", "10.2.0.2")
	i1, i2 := container(ids, "i1", "10.2.0.3"), container(ids, "i2", "10.2.0.4")
	i1.Mirror, is.Mirror, is.Sandbox = &yes, &yes, "/var/run/docker/netns/1"
	f1 := container(far, "f1", "10.3.0.2")
	networks, endpoints := []topology.Network{all, some, ids, far}, []topology.Endpoint{a1, a2, s1, s2, db, no, is, i1, i2, f1}
	if refused := s.mirror(networks, nil, nil); len(refused) > 0 {
		t.Error(refused)
	}
	for _, e := range endpoints {
		s.attach(all, e)
	}
	s.mirror(networks, endpoints, nil)
	tunnel := s.vsctl("--bare", "--columns=name", "find", "Interface", "type=erspan")
	inside := s.vsctl("--bare", "--columns=name", "find", "Interface", "external_ids:destination=\"container:ids\"")
	want := "container:ids: ocni1-endpoint > " + inside + "\n" +
		"erspan:192.0.2.9: ocnf1-endpoint > " + tunnel + "\n" +
		"monitor-port: ocna1-endpoint ocna2-endpoint ocndb-endpoint ocns1-endpoint ocns2-endpoint > monitor-port"
	if got := s.mirrors(); got != want {
		t.Errorf("mirrored:\n%s\nwant\n%s", got, want)
	}
	if got := s.vsctl("get", "Interface", "monitor-port", "mtu_request", "type"); got != "9000\ninternal" {
		t.Errorf("monitor-port is %s", got)
	}

	for datapath, cut := range map[string]string{topology.Userspace: "1464", topology.Kernel: "[]"} {
		far.Datapath = datapath
		s.mirror([]topology.Network{all, some, ids, far}, endpoints, nil)
		if got := s.vsctl("get", "Mirror", "erspan:192.0.2.9", "snaplen"); got != cut {
			t.Errorf("datapath %s: frames are cut to %s, want %s", datapath, got, cut)
		}
	}

	// What others have done, and containers that go.
	s.vsctl("del-port", "monitor-port")
	s.vsctl("del-port", "ocns2-endpoint")
	s.vsctl("--all", "destroy", "Mirror", "--", "clear", "Bridge", "br-int", "mirrors")
	s.vsctl("--", "--id=@p", "get", "Port", "admin0", "--", "--id=@m", "create", "Mirror", "name=theirs", "select_all=true", "output_port=@p", "--", "add", "Bridge", "br-int", "mirrors", "@m")
	s.mirror(networks, endpoints, nil)
	if got := s.mirrors(); got != strings.Replace(want, " ocns2-endpoint", "", 1) {
		t.Errorf("made again:\n%s", got)
	}
	endpoints[6].Sandbox = "container of a record that was lost"
	if refused := s.mirror(networks, endpoints, nil); len(refused) > 0 || !strings.Contains(s.mirrors(), inside) {
		t.Errorf("a container that runs on has lost its link: %v, %s", refused, s.mirrors())
	}
	s.mirror([]topology.Network{some}, endpoints, nil)
	if err := s.mirror([]topology.Network{ids}, endpoints, nil)["ids"]; err == nil || !strings.Contains(err.Error(), "docker restart ids") {
		t.Errorf("a container whose namespace is not known: %v", err)
	}
	s.mirror([]topology.Network{some}, endpoints, nil)
	if got := s.mirrors(); got != "monitor-port: ocndb-endpoint ocns1-endpoint > monitor-port" {
		t.Errorf("with one network:\n%s", got)
	}
	for _, e := range endpoints {
		s.vsctl("--if-exists", "del-port", e.HostLink())
	}
	s.mirror(nil, nil, nil)
	if got := dump(t, s.db, ovsdb.Local); got != before {
		t.Errorf("left:\n%s\nbefore:\n%s", got, before)
	}
}

func TestRefusedMirrors(t *testing.T) {
	s := newSwitchboard(t)
	s.vsctl("add-port", "br-other", "other0")
	web := container(mirrored(t, "web", "all", "monitor-port"), "web", "10.0.0.2")
	first := mirrored(t, "a", "all", "monitor-port", "tenant_id=red")
	s.attach(first, web)
	s.vsctl("add-port", "br-int", "theirs0", "--", "set", "Interface", "theirs0", "external_ids:owner="+topology.Owner, "external_ids:instance=another")
	s.mirror([]topology.Network{first}, nil, nil)
	for dest, says := range map[string]string{
		"br-int":          "is a bridge",
		"ocnweb-endpoint": "is a container's port: write container:NAME",
		"theirs0":         "needs for something else",
		"other0":          `is a port of bridge "br-other"`,
		"eth0":            "ovs-vsctl add-port br-int eth0",
		"monitor-port":    `is that of network a, of tenant "red", and this network belongs to tenant "blue"`,
	} {
		refused := s.mirror([]topology.Network{first, mirrored(t, "b", "all", dest, "tenant_id=blue")}, nil, map[string]bool{"eth0": true})
		if err := refused["b"]; len(refused) != 1 || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", dest, refused, says)
		}
	}
	var many []topology.Network
	for i := range ovs.MaxMirrors + 1 {
		many = append(many, mirrored(t, fmt.Sprint("n", i), "all", fmt.Sprint("mon", i)))
	}
	if refused := s.mirror(many, nil, nil); len(refused) != 1 || !strings.Contains(refused[many[ovs.MaxMirrors].ID].Error(), "has 32 mirrors") {
		t.Errorf("more than a bridge can have: %v", refused)
	}
	n := mirrored(t, "self", "all", "gre:10.0.0.9")
	n.Subnets = []topology.Subnet{{Pool: netip.MustParsePrefix("10.0.0.0/24")}}
	if err := n.Validate(); err == nil || !strings.Contains(err.Error(), `"gre:10.0.0.9" is an address of the network itself`) {
		t.Errorf("a loop: %v", err)
	}
}
