package topology_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// example is one "docker network create" of the README.
type example struct {
	name   string
	subnet string
	opts   []string
	bridge *ovs.BridgeRow // that is there already
	after  []string       // examples whose networks are there already
	space  string         // of the plugin's IPAM driver
}

const (
	nb = "ovn.nb_connection=tcp:172.30.0.5:6641"
	sb = "ovn.sb_connection=tcp:172.30.0.5:6642"
)

var examples = []example{
	{name: "basic-usage", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-my-network", nb, sb, "ovn.auto_create=true"}},
	// As the README has it: the bridge was made by a plain add-br, and here the
	// kernel lacks the module.
	{name: "minimal", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-my-network", nb, sb}, bridge: &ovs.BridgeRow{}},
	{name: "auto-create", subnet: "10.1.0.0/24", opts: []string{"ovn.switch=ls-tenant2", nb, sb, "ovn.auto_create=true"}},
	{name: "with-optional", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-tenant1", nb, sb, "ovn.auto_create=true", "bridge=br-int", "tenant_id=tenant-1", "vlan=100"}},
	{name: "compose", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-development", nb, sb, "ovn.auto_create=true", "bridge=br-int", "tenant_id=development", "vlan=100"}},
	{name: "multi-tenant-a", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-tenant-a", nb, sb, "ovn.auto_create=true", "tenant_id=tenant-a", "vlan=100"}},
	{name: "multi-tenant-b", subnet: "10.1.0.0/24", opts: []string{"ovn.switch=ls-tenant-b", nb, sb, "ovn.auto_create=true", "tenant_id=tenant-b", "vlan=200"}},
	{name: "custom-overlay", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-my-network", "ovn.nb_connection=tcp:10.200.0.5:6641", "ovn.sb_connection=tcp:10.200.0.5:6642", "ovn.auto_create=true", "ovn.transit_overlay_network=my-transit-overlay"}},
	{name: "encapsulation", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-prod", "ovn.encap=vxlan", "ovn.encap_ip=192.0.2.10", "mtu=1400", nb, sb}},
	{name: "ipv6", subnet: "fd00:10::/64", opts: []string{"ovn.switch=ls-six", nb, sb}},
	{name: "fails-no-switch", subnet: "10.0.0.0/24", opts: nil},
	{name: "fails-no-connections", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-my-network"}},
	{name: "fails-one-connection", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-my-network", nb}},
	{name: "transit", subnet: "192.168.100.0/24", opts: []string{"ovn.role=transit", "ovn.external_gateway=192.168.100.1", nb, sb, "ovn.auto_create=true"}},
	{name: "vpc-a", subnet: "10.0.0.0/24", opts: []string{"tenant_id=tenant-a", "ovn.switch=ls-vpc-a", "ovn.router=lr-vpc-a", "ovn.transit_network=transit-net", nb, sb}, after: []string{"transit"}},
	{name: "vpc-b", subnet: "10.1.0.0/24", opts: []string{"tenant_id=tenant-b", "ovn.switch=ls-vpc-b", "ovn.router=lr-vpc-b", "ovn.transit_network=transit-net", nb, sb}, after: []string{"transit", "vpc-a"}},
	{name: "vpc-before-transit", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-vpc-a", "ovn.router=lr-vpc-a", "ovn.transit_network=transit-net", nb, sb}},
	{name: "vpc-second-network", subnet: "10.0.1.0/24", opts: []string{"tenant_id=tenant-a", "ovn.switch=ls-vpc-a-db", "ovn.router=lr-vpc-a", nb, sb}, after: []string{"transit", "vpc-a"}},
	{name: "transit-next-hop", subnet: "192.168.100.0/24", opts: []string{"ovn.role=transit", "ovn.switch=ls-transit", "ovn.external_gateway=192.168.100.254", nb, sb}},
	{name: "vpc-next-hop", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-vpc-a", "ovn.router=lr-vpc-a", "ovn.transit_network=ls-transit", nb, sb}, after: []string{"transit-next-hop"}},
	{name: "router", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-web", "ovn.router=lr-app", nb, sb}},
	{name: "provider", subnet: "203.0.113.0/24", opts: []string{"ovn.switch=ls-wan", "ovn.physical_network=wan", "vlan=7", nb, sb}},
	{name: "router-nat", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-web", "ovn.router=lr-app", "ovn.nat=203.0.113.10", nb, sb}, after: []string{"provider"}},
	{name: "transit-nat", subnet: "192.168.100.0/24", opts: []string{"ovn.role=transit", "ovn.switch=ls-transit", "ovn.nat=203.0.113.10", nb, sb}, after: []string{"provider"}},
	{name: "mirroring", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-monitored", nb, sb, "ovn.auto_create=true", "mirror.ports=all", "mirror.dest=monitor-port"}},
	{name: "overlay", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-prod", "ovn.encap=geneve", nb, sb, "ovn.auto_create=true", "dhcp=ovn"}},
	{name: "external-dhcp", subnet: "10.0.0.0/24", opts: []string{"ovn.switch=ls-dhcp-network", nb, sb, "ovn.auto_create=true", "ipam=external", "dhcp=ovn"}},
	{name: "router-dual", subnet: "10.0.0.0/24 fd00:10::/64", opts: []string{"ovn.switch=ls-web", "ovn.router=lr-app", "dhcp=ovn", nb, sb}},
	{name: "transit-dual", subnet: "192.168.100.0/24 fd00:100::/64", opts: []string{"ovn.role=transit", "ovn.switch=ls-transit", "ovn.external_gateway=192.168.100.1", nb, sb}},
	{name: "vpc-dual", subnet: "10.0.0.0/24 fd00:10::/64", opts: []string{"ovn.switch=ls-vpc-a", "ovn.router=lr-vpc-a", "ovn.transit_network=ls-transit", nb, sb}, after: []string{"transit-dual"}},
	{name: "router-tenant", subnet: "10.0.0.0/24", opts: []string{"tenant_id=tenant-a", "ovn.switch=ls-web", "ovn.router=lr-app", nb, sb}, space: topology.AddressSpace},
}

// One file an example: what creating the network on a fresh host runs, what
// attaching a container runs, and what takes both back.
func TestExamples(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) { compare(t, e.name, script(t, e)) })
	}
}

func script(t *testing.T, e example) string {
	t.Helper()
	n, chassis, err := e.network(t)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	w := newWorld()
	for _, name := range e.after {
		first := examples[slices.IndexFunc(examples, func(e example) bool { return e.name == name })]
		there, _, err := first.network(t)
		if err != nil {
			t.Fatal(err)
		}
		w.must(t, w.create(there))
	}
	n, made, err := w.plan(n)
	if err != nil {
		t.Fatal(err)
	}
	w.must(t, w.create(n))
	removal := w.removal(n)

	var addresses []netip.Prefix
	for _, s := range n.Subnets {
		addresses = append(addresses, netip.PrefixFrom(s.Pool.Addr().Next().Next(), s.Pool.Bits()))
	}
	endpoint := topology.Endpoint{ID: strings.Repeat("e", 64), NetworkID: n.ID, Instance: n.Instance, MAC: topology.MAC(addresses, "e"), Addresses: addresses}
	lanes := endpoint.Plan(n, topology.Host{OVSDB: ovsdbAddress, IPv6: true})

	var b strings.Builder
	for _, part := range []struct {
		title      string
		plan, back plan.Plan
	}{
		{"the host, once", chassis, chassis.Reverse()},
		{"the network", made, removal},
		{"a container, in OVN", lanes.North, lanes.North.Reverse()},
		{"a container, on the host", lanes.Host, lanes.Host.Reverse()},
	} {
		b.WriteString("# " + part.title + "\n" + part.plan.String())
		b.WriteString("# " + part.title + ", taken back\n" + part.back.String() + "\n")
	}
	if n.Apart {
		given, p, err := n.Outside(endpoint, w.look(n))
		if err != nil {
			t.Fatal(err)
		}
		endpoint = given
		b.WriteString("# a container's address outside\n" + p.String() + "\n")
	}
	if n.Options.Mirrors() {
		seen := ovs.Inventory{Ports: map[ovs.Port]ovs.PortRow{ovs.Port(endpoint.HostLink()): {UUID: strings.Repeat("u", 36), Bridge: n.Bridge()}}}
		p, _ := topology.MirrorsOf(n.Instance, []topology.Network{n}, []topology.Endpoint{endpoint}).Plans(topology.Host{OVSDB: ovsdbAddress, IPv6: true}, seen, nil, nil)
		b.WriteString("# the mirror, on the host, of the container\n" + p[0].String())
	}
	if n.NeedsHost() {
		endpoint.Ports = []topology.Port{{Protocol: topology.TCP, HostPort: 8080, Container: 80}}
		docker := firewall.Rules{}
		for _, name := range []string{"FORWARD", "DOCKER-USER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"} {
			docker[firewall.Chain{Table: "filter", Name: name}] = nil
		}
		docker[firewall.Chain{Table: "filter", Name: "FORWARD"}] = []string{"-j DOCKER-USER", "-j DOCKER-ISOLATION-STAGE-1"}
		out := topology.WayOut(n.Instance, []topology.Network{n}, []topology.Endpoint{endpoint})
		p := out.Plan(topology.Host{OVSDB: ovsdbAddress, IPv6: true}, topology.HostSeen{Backend: firewall.NFT, Filters: map[firewall.Backend]firewall.Rules{firewall.NFT: docker}})
		b.WriteString("# the way out, on the host, with a published port\n" + p.String())
	}
	return b.String()
}

// network is what the example's options ask for, and its host.
func (e example) network(t *testing.T) (topology.Network, plan.Plan, error) {
	t.Helper()
	opts := map[string]string{}
	for _, o := range e.opts {
		k, v, _ := strings.Cut(o, "=")
		opts[k] = v
	}
	parsed, err := options.ParseNetwork(opts)
	if err != nil {
		return topology.Network{}, plan.Plan{}, err
	}
	n, chassis := build(t, parsed, e.subnet, ovs.Chassis{Bridge: e.bridge})
	if len(e.after) > 0 || parsed.Router != "" || parsed.Role != "" {
		n.ID = strings.Repeat(fmt.Sprintf("%x", slices.IndexFunc(examples, func(o example) bool { return o.name == e.name })), 32)
		n.Name = e.name
	}
	n.AddressSpace = e.space
	if e.name == "transit" {
		n.Name = "transit-net"
	}
	return n, chassis, n.Validate()
}

const ovsdbAddress = "unix:/var/run/openvswitch/db.sock"

func build(t *testing.T, o options.Network, subnet string, seen ovs.Chassis) (topology.Network, plan.Plan) {
	t.Helper()
	n := topology.Network{
		ID: strings.Repeat("a", 64), Instance: "4ba0cfc8-5bd6-4b0b-8a3c-1d0d6a9d3a11", Options: o, NB: o.NB, SB: o.SB,
	}
	for _, s := range strings.Fields(subnet) {
		n.Subnets = append(n.Subnets, subnetOf(s))
	}
	c := topology.Chassis{OVSDB: ovsdbAddress, Instance: n.Instance, Bridge: n.Bridge(), SB: n.SB, EncapFrom: "172.30.0.1"}
	if o.EncapSet {
		c.Encap = string(o.Encap)
	}
	if o.EncapIP.IsValid() {
		c.EncapIP = o.EncapIP.String()
	}
	p, settled, err := c.Plan(seen)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	if o.MTUSet {
		asked = o.MTU
	}
	n.Host, n.Datapath = settled.SystemID, settled.Datapath
	if n.MTU, err = topology.MTU(asked, settled, nil, n.Subnets); err != nil {
		t.Fatal(err)
	}
	return n, p
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./pkg/topology -update writes it anew); got:\n%s", path, got)
	}
}

// A record that is read back must mean the same plans.
func TestStoredFormIsWhole(t *testing.T) {
	o, err := options.ParseNetwork(map[string]string{
		"ovn.switch": "s", "ovn.nb_connection": "tcp:[fd00::5]:6641", "ovn.sb_connection": "tcp:[fd00::5]:6642",
		"ovn.encap_ip": "fd00::1", "vlan": "7", "tenant_id": "t", "mtu": "1400",
	})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := build(t, o, "10.9.0.0/16", ovs.Chassis{})
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back topology.Network
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	first, err1 := n.Plan(ovn.Seen{})
	second, err2 := back.Plan(ovn.Seen{})
	if err1 != nil || err2 != nil || first.String() != second.String() {
		t.Errorf("plans differ:\n%s\n%s (%v, %v)", first, second, err1, err2)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("the stored form changed:\n%s\n%s", text, again)
	}
}
