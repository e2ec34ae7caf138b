package topology_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func want() topology.Chassis {
	return topology.Chassis{OVSDB: ovsdbAddress, Instance: "i", Bridge: "br-int", SB: "tcp:172.30.0.5:6642", EncapFrom: "172.30.0.1"}
}

// ready is a chassis that needs nothing.
func ready(changes ...string) ovs.Chassis {
	ids := map[string]string{
		"system-id": "h1", "ovn-bridge": "br-int", "ovn-remote": "tcp:172.30.0.5:6642", "ovn-encap-type": "geneve",
		"ovn-encap-ip": "172.30.0.1", "ovn-ofctrl-wait-before-clear": "2000", "ovn-bridge-datapath-type": "netdev",
	}
	for _, c := range changes {
		k, v, _ := strings.Cut(c, "=")
		ids[k] = v
	}
	return ovs.Chassis{ExternalIDs: ids, Bridge: &ovs.BridgeRow{Datapath: "netdev", FailMode: ovs.Secure, Open: true}}
}

// busy is a chassis with a container of the plugin.
func busy(seen ovs.Chassis) ovs.Chassis {
	seen.Interfaces = 1
	return seen
}

func TestReadyChassisIsLeftAlone(t *testing.T) {
	p, settled, err := want().Plan(ready())
	if err != nil || !p.Empty() {
		t.Errorf("plan %q, error %v", p, err)
	}
	if settled.SystemID != "h1" || settled.EncapIP != "172.30.0.1" || settled.Datapath != "netdev" {
		t.Errorf("settled %+v", settled)
	}
}

// Only a host that has forwarded already keeps its flows over a restart of
// ovn-controller, and an administrator's value stays.
func TestSteady(t *testing.T) {
	seen := ready("ovs-container-network=ovn-remote")
	delete(seen.ExternalIDs, "ovn-ofctrl-wait-before-clear")
	got := topology.Steady(ovsdbAddress, seen).String()
	if !strings.Contains(got, `ovn-ofctrl-wait-before-clear="2000"`) || !strings.Contains(got, `"ovn-ofctrl-wait-before-clear,ovn-remote"`) {
		t.Errorf("plan %s", got)
	}
	if p := topology.Steady(ovsdbAddress, ready("ovn-ofctrl-wait-before-clear=8000")); !p.Empty() {
		t.Errorf("an administrator's value would change: %s", p)
	}
}

// on has a network lead to a physical network, with the plugin's setting.
func on(physical, mappings string) func(*topology.Chassis) {
	return func(c *topology.Chassis) { c.Physical, c.Mappings = physical, mappings }
}

func bridged(c ovs.Chassis, datapath string) ovs.Chassis {
	c.Bridges = map[string]string{"br-wan": datapath}
	return c
}

func TestChassisContradictions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*topology.Chassis)
		seen   ovs.Chassis
		err    []string // parts of the error; none for no error
		plan   string   // a part of the plan
	}{
		{"administrator's southbound", nil, ready("ovn-remote=tcp:192.0.2.9:6642"), []string{`"tcp:172.30.0.5:6642"`, `"tcp:192.0.2.9:6642"`, "ovn.sb_connection"}, ""},
		{"our own southbound may move", nil, ready("ovn-remote=tcp:172.31.0.5:6642", "ovs-container-network=ovn-remote"), nil, `ovn-remote="tcp:172.30.0.5:6642"`},
		{"unless a network stands on it", func(c *topology.Chassis) { c.InUse = true }, ready("ovn-remote=tcp:172.31.0.5:6642", "ovs-container-network=ovn-remote"), []string{"remove them first", `"tcp:172.31.0.5:6642"`}, ""},
		{"another bridge", func(c *topology.Chassis) { c.Bridge = "br-two" }, ready(), []string{`"br-two"`, `"br-int"`}, ""},
		{"encapsulation asked for", func(c *topology.Chassis) { c.Encap = "vxlan" }, ready(), []string{`"vxlan"`, `"geneve"`}, ""},
		{"nor under another instance's containers", nil, busy(ready("ovn-remote=tcp:172.31.0.5:6642", "ovs-container-network=ovn-remote")), []string{"remove them first", `"tcp:172.31.0.5:6642"`}, ""},
		{"our own encap address follows", nil, ready("ovn-encap-ip=172.31.0.1", "ovs-container-network=ovn-encap-ip"), nil, `ovn-encap-ip="172.30.0.1"`},
		{
			"that of a published OVN central is for all networks", func(c *topology.Chassis) { c.InUse, c.Publish = true, "192.0.2.1" },
			ready("ovs-container-network=ovn-encap-ip"), nil, `ovn-encap-ip="192.0.2.1"`,
		},
		{"but an administrator's stays then too", func(c *topology.Chassis) { c.Publish = "192.0.2.1" }, ready("ovn-encap-ip=192.0.2.7"), nil, ""},
		{
			"and so does one that a network asks for", func(c *topology.Chassis) { c.EncapIP, c.Publish = "192.0.2.7", "192.0.2.1" },
			ready("ovn-encap-ip=192.0.2.7", "ovs-container-network=ovn-encap-ip"), nil, "",
		},
		{"an administrator's does not", nil, ready("ovn-encap-ip=192.0.2.1"), nil, ""},
		{"encapsulation not asked for", nil, ready("ovn-encap-type=vxlan"), nil, ""},
		{"no bridge to a physical network", on("wan", ""), ready(), []string{`ovn.physical_network "wan"`, "PLUGIN_BRIDGE_MAPPINGS"}, ""},
		{"a bridge that is missing", on("wan", "wan:br-wan"), ready(), []string{`bridge "br-wan"`, "ovs-vsctl add-br br-wan"}, ""},
		{"a bridge of another datapath", on("wan", "wan:br-wan"), bridged(ready(), ""), []string{`"system"`, "set bridge br-wan datapath_type=netdev"}, ""},
		{"a bridge that leads there", on("wan", "wan:br-wan"), bridged(ready(), "netdev"), nil, `ovn-bridge-mappings="wan:br-wan"`},
		{"an administrator's mappings, with ours", on("wan", "wan:br-wan"), bridged(ready("ovn-bridge-mappings=lan:br-lan,wan:br-wan"), "netdev"), nil, ""},
		{"an administrator's mappings, without ours", on("wan", "wan:br-wan"), bridged(ready("ovn-bridge-mappings=lan:br-lan"), "netdev"), []string{`"wan:br-wan"`, `"lan:br-lan"`}, ""},
		{"our own mappings may change", on("wan", "wan:br-wan"), bridged(ready("ovn-bridge-mappings=lan:br-lan", "ovs-container-network=ovn-bridge-mappings"), "netdev"), nil, `ovn-bridge-mappings="wan:br-wan"`},
		{"an administrator's mappings alone", on("wan", ""), bridged(ready("ovn-bridge-mappings=wan:br-wan"), "netdev"), nil, ""},
		{"encap address", func(c *topology.Chassis) { c.EncapIP = "192.0.2.1" }, ready(), []string{`"192.0.2.1"`, `"172.30.0.1"`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := want()
			if c.change != nil {
				c.change(&w)
			}
			p, _, err := w.Plan(c.seen)
			if (err != nil) != (c.err != nil) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %s", err, part)
				}
			}
			if !strings.Contains(p.String(), c.plan) {
				t.Errorf("plan %s lacks %s", p, c.plan)
			}
		})
	}
}

func TestBridgeDatapath(t *testing.T) {
	for _, c := range []struct {
		name   string
		bridge *ovs.BridgeRow
		want   string
		fails  bool
	}{
		{"new", nil, "system", false},
		{"plain add-br without the kernel module", &ovs.BridgeRow{}, "netdev", false},
		{"the same, type given", &ovs.BridgeRow{Datapath: "system"}, "netdev", false},
		{"the same with ports of others", &ovs.BridgeRow{Ports: 1}, "", true},
		{"adopted, kernel", &ovs.BridgeRow{Open: true, Ports: 4}, "system", false},
		{"adopted, userspace by choice", &ovs.BridgeRow{Datapath: "netdev", Open: true, Ports: 4}, "netdev", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := ready()
			seen.Bridge = c.bridge
			p, settled, err := want().Plan(seen)
			if (err != nil) != c.fails || settled.Datapath != c.want {
				t.Errorf("datapath %q, error %v", settled.Datapath, err)
			}
			if c.bridge != nil && strings.Contains(p.Reverse().String(), "del-br") {
				t.Errorf("taking back would remove a bridge that was there: %s", p.Reverse())
			}
		})
	}
}

// Flows that are there when the mode changes are lost, so that it has to be right before ovn-controller is told to come, and
// has to stay when the plan is taken back.
func TestBridgeIsSecureFirst(t *testing.T) {
	for _, mode := range []string{"", "standalone"} {
		seen := ready()
		seen.Bridge = &ovs.BridgeRow{FailMode: mode, Open: true}
		delete(seen.ExternalIDs, "ovn-remote")
		p, _, err := want().Plan(seen)
		if err != nil {
			t.Fatal(err)
		}
		text := p.String()
		secure, remote := strings.Index(text, "set Bridge br-int fail_mode=secure"), strings.Index(text, "ovn-remote")
		if len(p.Steps) != 1 || secure < 0 || remote < secure || strings.Contains(p.Reverse().String(), "fail_mode") {
			t.Errorf("fail mode %q: plan %s, taken back by %s", mode, p, p.Reverse())
		}
	}
}

func network(opts options.Network) topology.Network {
	opts.Switch, opts.Bridge = "s", "br-int"
	return topology.Network{ID: "n1", Instance: "i", Host: "h", NB: "tcp:192.0.2.5:6641", Options: opts}
}

// Docker does not tell which gateway it has chosen; a router may have another address by now.
func TestGatewaysOfARebuiltNetwork(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/24")
	seen := ovn.Seen{
		Switches:    []ovn.SwitchRow{{UUID: "s1", Name: "s", Ports: []string{"l1"}}},
		Routers:     []ovn.RouterRow{{UUID: "r1", Name: "r", Ports: []string{"p1"}}},
		RouterPorts: []ovn.RouterPortRow{{UUID: "p1", Name: "r:s", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24")}}},
		Links:       []ovn.LinkRow{{UUID: "l1", Name: "s:r", Peer: "r:s"}},
	}
	for _, c := range []struct {
		name   string
		router string
		seen   ovn.Seen
		given  string
		within string
		want   string
	}{
		{"as its router has it", "r", seen, "", "", "10.0.0.9"},
		{"as it was given", "r", seen, "10.0.0.254", "", "10.0.0.254"},
		{"of a router that is gone too", "r", ovn.Seen{}, "", "", "10.0.0.1"},
		{"with a range", "r", ovn.Seen{}, "", "10.0.0.128/25", "10.0.0.128"},
		{"with a range from the beginning", "r", ovn.Seen{}, "", "10.0.0.0/25", "10.0.0.1"},
		{"of a network without a router", "", seen, "", "", "invalid IP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := network(options.Network{Router: c.router})
			s := topology.Subnet{Pool: pool}
			s.Gateway, _ = netip.ParseAddr(c.given)
			s.Range, _ = netip.ParsePrefix(c.within)
			n.Subnets = []topology.Subnet{s}
			if got := n.WithGateways(c.seen).Subnets[0].Gateway.String(); got != c.want {
				t.Errorf("gateway %s, want %s", got, c.want)
			}
		})
	}
}

func row(pairs ...string) ovn.SwitchRow {
	ids := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		ids[pairs[i]] = pairs[i+1]
	}
	return ovn.SwitchRow{UUID: "u", Name: "s", ExternalIDs: ids}
}

func TestSwitchThatIsThere(t *testing.T) {
	for _, c := range []struct {
		name string
		n    topology.Network
		rows []ovn.SwitchRow
		err  string
		plan string // "" for none
	}{
		{"of an administrator", network(options.Network{}), []ovn.SwitchRow{row()}, "", ""},
		{"of an administrator, vlan cannot be kept", network(options.Network{VLAN: 7}), []ovn.SwitchRow{row()}, "vlan 7 cannot be recorded", ""},
		{"of a plugin", network(options.Network{}), []ovn.SwitchRow{row("owner", topology.Owner)}, "", "network-n1"},
		{"the same vlan", network(options.Network{VLAN: 7}), []ovn.SwitchRow{row("owner", topology.Owner, "vlan", "7")}, "", "network-n1"},
		{"another vlan", network(options.Network{VLAN: 8}), []ovn.SwitchRow{row("owner", topology.Owner, "vlan", "7")}, "vlan 7, and this network asks for vlan 8", ""},
		{"another tenant", network(options.Network{TenantID: "b"}), []ovn.SwitchRow{row("owner", topology.Owner, "tenant_id", "a")}, `tenant "a", and this network to tenant "b"`, ""},
		{"twice", network(options.Network{}), []ovn.SwitchRow{row(), row()}, "2 times", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := c.n.Plan(ovn.Seen{Switches: c.rows})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if p.Empty() != (c.plan == "") || !strings.Contains(p.String(), c.plan) {
				t.Errorf("plan %s, want %q in it", p, c.plan)
			}
		})
	}
}

func TestRemovalOfASwitch(t *testing.T) {
	n := network(options.Network{})
	ours := row("owner", topology.Owner, "network-n1", "i")
	shared := row("owner", topology.Owner, "network-n1", "i", "network-n2", "j")
	withPort := row("owner", topology.Owner, "network-n1", "i")
	withPort.Ports = []string{"p"}
	for _, c := range []struct {
		name string
		rows []ovn.SwitchRow
		want string
	}{
		{"last user", []ovn.SwitchRow{ours}, `"op":"delete"`},
		{"another network uses it", []ovn.SwitchRow{shared}, `[["external_ids","delete",["set",["network-n1"]]]]`},
		{"a port of somebody", []ovn.SwitchRow{withPort}, `[["external_ids","delete",["set",["network-n1"]]]]`},
		{"of an administrator", []ovn.SwitchRow{row()}, ""},
		{"gone", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := n.Removal(ovn.Seen{Switches: c.rows})
			if p.Empty() != (c.want == "") || !strings.Contains(p.String(), c.want) {
				t.Errorf("plan %s, want %q in it", p, c.want)
			}
		})
	}
}

func TestMTU(t *testing.T) {
	links := []link.Address{
		{Link: "eth0", MTU: 1500, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
		{Link: "eth1", MTU: 9000, Prefix: netip.MustParsePrefix("192.0.2.20/24")},
		{Link: "eth0", MTU: 1500, Prefix: netip.MustParsePrefix("2001:db8::10/64")},
		{Link: "br-0123456789ab", MTU: 1500, Prefix: netip.MustParsePrefix("172.30.0.1/24")},
	}
	for _, c := range []struct {
		asked    int
		encap    string
		ip       string
		want     int
		mustFail bool
	}{
		{0, "geneve", "172.30.0.1", 1500, false},
		{9000, "geneve", "172.30.0.1", 9000, false},
		{0, "geneve", "192.0.2.10", 1442, false},
		{0, "vxlan", "192.0.2.10", 1450, false},
		{0, "geneve", "2001:db8::10", 1422, false},
		{0, "geneve", "192.0.2.20", 1500, false},
		{8942, "geneve", "192.0.2.20", 8942, false},
		{8943, "geneve", "192.0.2.20", 0, true},
		{1500, "geneve", "192.0.2.10", 0, true},
		{0, "geneve,vxlan", "192.0.2.10", 1442, false},
		{0, "geneve", "198.51.100.1", 1500, false},
	} {
		got, err := topology.MTU(c.asked, topology.Settled{Encap: c.encap, EncapIP: c.ip}, links, nil)
		if got != c.want || (err != nil) != c.mustFail {
			t.Errorf("%+v: got %d, %v", c, got, err)
		}
	}
}

func TestMTUForIPv6(t *testing.T) {
	six := []topology.Subnet{{Pool: netip.MustParsePrefix("10.0.0.0/24")}, {Pool: netip.MustParsePrefix("fd00::/64")}}
	if _, err := topology.MTU(1279, topology.Settled{}, nil, six); err == nil || !strings.Contains(err.Error(), "fd00::/64") {
		t.Errorf("error %v", err)
	}
	if mtu, err := topology.MTU(1280, topology.Settled{}, nil, six); mtu != 1280 || err != nil {
		t.Errorf("got %d, %v", mtu, err)
	}
}

// No two ports of a switch may share a MAC address, and it must be one that
// nobody else's hardware has.
func TestMAC(t *testing.T) {
	seen := map[string]string{}
	for _, a := range []string{"10.0.0.2/24", "10.0.0.3/24", "10.0.1.2/24", "fd00::2/64", "fd00::3/64"} {
		mac := topology.MAC([]netip.Prefix{netip.MustParsePrefix(a)}, "id")
		if other, twice := seen[mac]; twice || !strings.HasPrefix(mac, "0a:0") {
			t.Errorf("%s: MAC %s, also of %q", a, mac, other)
		}
		seen[mac] = a
	}
	if a, b := topology.MAC(nil, "one"), topology.MAC(nil, "two"); a == b {
		t.Errorf("endpoints without addresses share %s", a)
	}
	both := []netip.Prefix{netip.MustParsePrefix("fd00::2/64"), netip.MustParsePrefix("10.0.0.2/24")}
	if got := topology.MAC(both, "id"); got != "0a:00:0a:00:00:02" {
		t.Errorf("dual stack: %s", got)
	}
}
