package options

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// with gives the smallest valid options, changed by pairs of key and value; a value of "-" removes the key.
func with(pairs ...string) map[string]string {
	opts := map[string]string{
		"ovn.switch":        "ls-my-network",
		"ovn.nb_connection": "tcp:172.30.0.5:6641",
		"ovn.sb_connection": "tcp:172.30.0.5:6642",
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			delete(opts, pairs[i])
		} else {
			opts[pairs[i]] = pairs[i+1]
		}
	}
	return opts
}

// minimal is what with() parses to.
func minimal() Network {
	return Network{
		Bridge: "br-int", Switch: "ls-my-network", NB: "tcp:172.30.0.5:6641", SB: "tcp:172.30.0.5:6642",
		OverlayNetwork: "transit-overlay", Encap: EncapGeneve, MTU: 1500, IPAM: IPAMDocker, DHCP: DHCPNone,
	}
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		name   string
		opts   map[string]string
		change func(*Network)
	}{
		{"minimal", with(), func(*Network) {}},
		{
			"README, additional configuration", with("ovn.auto_create", "true", "bridge", "br-int", "tenant_id", "tenant-1", "vlan", "100"),
			func(n *Network) { n.AutoCreate, n.TenantID, n.VLAN = true, "tenant-1", 100 },
		},
		{
			"custom overlay", with("ovn.transit_overlay_network", "my-transit-overlay"),
			func(n *Network) { n.OverlayNetwork = "my-transit-overlay" },
		},
		{
			"encap", with("ovn.encap", "vxlan", "ovn.encap_ip", "::ffff:192.0.2.1"),
			func(n *Network) {
				n.Encap, n.EncapSet, n.EncapIP = EncapVXLAN, true, netip.MustParseAddr("192.0.2.1")
			},
		},
		{"mtu that is the default", with("mtu", "1500"), func(n *Network) { n.MTUSet = true }},
		{"Docker's mtu", with("com.docker.network.driver.mtu", "1400"), func(n *Network) { n.MTU, n.MTUSet = 1400, true }},
		{"both mtu, the same", with("mtu", "9216", "com.docker.network.driver.mtu", "9216"), func(n *Network) { n.MTU, n.MTUSet = 9216, true }},
		{
			"NAT address", with("ovn.router", "lr", "ovn.nat", "203.0.113.10"),
			func(n *Network) { n.Router, n.SNAT = "lr", netip.MustParseAddr("203.0.113.10") },
		},
		{"no NAT", with("ovn.router", "lr", "ovn.nat", "none"), func(n *Network) { n.Router, n.NoNAT = "lr", true }},
		{
			"a mirror", with("mirror.ports", "web, 10.0.0.2,0A:00:0a:00:00:03,::ffff:10.0.0.2,web", "mirror.dest", "gre:192.0.2.1"),
			func(n *Network) {
				n.MirrorPorts, n.MirrorDest = []string{"0a:00:0a:00:00:03", "10.0.0.2", "web"}, "gre:192.0.2.1"
			},
		},
		{"a mirror of those that ask for it", with("mirror.dest", "container:ids"), func(n *Network) { n.MirrorDest = "container:ids" }},
		{"physical network", with("ovn.physical_network", "wan", "vlan", "7"), func(n *Network) { n.PhysicalNetwork, n.VLAN = "wan", 7 }},
		{
			"limits", with("vlan", "4094", "mtu", "576", "bridge", "a23456789012345"),
			func(n *Network) { n.VLAN, n.MTU, n.MTUSet, n.Bridge = 4094, 576, true, "a23456789012345" },
		},
		{
			"OVN's DHCP", with("dhcp", "ovn", "dhcp.dns", "192.0.2.1, 2001:db8::1", "dhcp.domain", "a.example", "dhcp.lease_time", "60"),
			func(n *Network) {
				n.DHCP, n.DHCPDomain, n.DHCPLease = DHCPOVN, "a.example", 60
				n.DHCPDNS = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
			},
		},
		{"addresses from somebody else", with("dhcp", "external", "ipam", "external"), func(n *Network) { n.DHCP, n.IPAM = DHCPExternal, IPAMExternal }},
		{"addresses from OVN", with("ipam", "ovn", "ovn.subnet", "10.0.0.0/24"), func(n *Network) { n.IPAM, n.Subnet = IPAMOVN, netip.MustParsePrefix("10.0.0.0/24") }},
		{"said as the default", with("ipam", "docker", "dhcp", "none", "ovn.auto_create", "False"), func(*Network) {}},
		{
			"a tenant named by UUID", with("tenant_id", "123e4567-e89b-12d3-a456-426614174000"),
			func(n *Network) { n.TenantID = "123e4567-e89b-12d3-a456-426614174000" },
		},
		{
			"cluster", with("ovn.nb_connection", "tcp:[FD00::1]:6641, tcp:Db2.example:06641,tcp:[fd00::1]:6641"),
			func(n *Network) { n.NB = "tcp:[fd00::1]:6641,tcp:db2.example:6641" },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := minimal()
			c.change(&want)
			got, err := ParseNetwork(c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var back Network
			if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, got) {
				t.Errorf("JSON gives back %+v, %v\nfrom %s", back, err, text)
			}
		})
	}
}

func TestPromisedErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		opts map[string]string
		err  error
		text string
	}{
		{"nothing", nil, ErrSwitchRequired, "ovn.switch is required - this plugin requires OVN configuration"},
		{"empty switch", with("ovn.switch", ""), ErrSwitchRequired, "ovn.switch is required - this plugin requires OVN configuration"},
		{"no connections", map[string]string{"ovn.switch": "ls"}, ErrConnectionsRequired, "ovn.nb_connection and ovn.sb_connection are required when using ovn.switch"},
		{"no SB", with("ovn.sb_connection", "-"), ErrConnectionsRequired, "ovn.nb_connection and ovn.sb_connection are required when using ovn.switch"},
		{"no NB", with("ovn.nb_connection", ""), ErrConnectionsRequired, "ovn.nb_connection and ovn.sb_connection are required when using ovn.switch"},
		{"transit without connections", map[string]string{"ovn.role": "transit"}, ErrTransitConnectionsRequired, "ovn.nb_connection and ovn.sb_connection are required when using ovn.role=transit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseNetwork(c.opts)
			if !errors.Is(err, c.err) || err.Error() != c.text {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
}

// The table says which options are required; the check has to agree.
func TestRequiredOptions(t *testing.T) {
	for _, o := range networkOptions {
		_, err := ParseNetwork(with(o.name, "-"))
		if o.required != (err != nil) {
			t.Errorf("%s: required is %v in the table, without it the error is %v", o.name, o.required, err)
		}
	}
}

// The earlier check wins although everything after it is wrong too.
func TestOrderOfChecks(t *testing.T) {
	opts := map[string]string{"ovn.swich": "x", "ovn.nb_connection": "bad", "vlan": "9999"}
	steps := []struct {
		says   string
		repair func()
	}{
		{`unknown option "ovn.swich": did you mean "ovn.switch"?`, func() { delete(opts, "ovn.swich") }},
		{ErrSwitchRequired.Error(), func() { opts["ovn.switch"] = "ls" }},
		{ErrConnectionsRequired.Error(), func() { opts["ovn.sb_connection"] = "tcp:h:1" }},
		{`option "ovn.nb_connection": "bad" is not an OVSDB connection: want tcp:HOST:PORT or ssl:HOST:PORT, several separated by commas`, func() { opts["ovn.nb_connection"] = "tcp:h:1" }},
		{`option "vlan": "9999" is not a VLAN tag: want a number from 1 to 4094`, func() { delete(opts, "vlan"); opts["ovn.external_gateway"] = "192.0.2.1" }},
		{`option "ovn.external_gateway": only a network with ovn.role=transit has an external gateway; add that option or leave this one out`, func() {
			delete(opts, "ovn.external_gateway")
		}},
	}
	for _, s := range steps {
		_, err := ParseNetwork(opts)
		if err == nil || err.Error() != s.says {
			t.Fatalf("got  %v\nwant %s", err, s.says)
		}
		s.repair()
	}
	if _, err := ParseNetwork(opts); err != nil {
		t.Fatalf("all repaired, still: %v", err)
	}
}

func TestRefusedValues(t *testing.T) {
	for _, c := range []struct{ option, value, says string }{
		{"ovn.switch", "-x", "not a usable name"},
		{"ovn.switch", "a b", "not a usable name"},
		{"ovn.switch", `"`, "not a usable name"},
		{"ovn.switch", "lß", "not a usable name"},
		{"ovn.switch", "a\x00", "not a usable name"},
		{"ovn.switch", "@a", "not a usable name"},
		{"ovn.switch", "a=b", "not a usable name"},
		{"ovn.switch", strings.Repeat("s", 300), `too long for a name: at most 128 characters`},
		{"ovn.switch", "123E4567-e89b-12d3-a456-426614174000", "form of a UUID"},
		{"bridge", "br-integration-1", "at most 15 characters"},
		{"bridge", "..", "not a usable name"},
		{"tenant_id", "a,b", "not a usable name"},
		{"vlan", "4095", "from 1 to 4094"},
		{"vlan", "4096", "from 1 to 4094"},
		{"vlan", "0", "from 1 to 4094"},
		{"vlan", "-1", "from 1 to 4094"},
		{"vlan", "+5", "from 1 to 4094"},
		{"vlan", "1e2", "from 1 to 4094"},
		{"vlan", "99999999999999999999", "from 1 to 4094"},
		{"vlan", "", "write vlan=VALUE"},
		{"mtu", "10", "from 576 to 9216"},
		{"mtu", "9217", "from 576 to 9216"},
		{"com.docker.network.driver.mtu", "10", "from 576 to 9216"},
		{"ovn.auto_create", "yes", "neither true nor false"},
		{"ovn.auto_create", "", "write ovn.auto_create=VALUE"},
		{"ovn.encap", "gre", `want "geneve", "vxlan"`},
		{"ovn.encap_ip", "192.0.2.1/24", "without a prefix length"},
		{"ovn.encap_ip", "0.0.0.0", "not the address of one host"},
		{"ovn.encap_ip", "fe80::1%eth0", "not the address of one host"},
		{"ovn.encap_ip", "224.0.0.1", "not the address of one host"},
		{"ovn.role", "gateway", `want "transit"`},
		{"ovn.router", "lr a", "not a usable name"},
		{"ovn.transit_network", "--all", "not a usable name"},
		{"ovn.external_gateway", "172.31.0.0/24", "without a prefix length"},
		{"ovn.nat", "masquerade", `is not "host", "none" or the IPv4 address`},
		{"ovn.nat", "2001:db8::1", `is not "host", "none" or the IPv4 address`},
		{"ovn.nat", "203.0.113.10/24", `is not "host", "none" or the IPv4 address`},
		{"ovn.nat", "none", "name one with ovn.router"},
		{"ovn.physical_network", "a:b", "not a usable name"},
		{"ipam", "dhcp", `want "docker", "static", "external", "ovn"`},
		{"dhcp", "on", `want "none", "ovn", "external"`},
		{"dhcp.dns", "192.0.2.1", "add dhcp=ovn"},
		{"dhcp.dns", "192.0.2.1;192.0.2.2", "is not an IP address"},
		{"dhcp.domain", "-a.example", "is not a domain name"},
		{"dhcp.domain", "a..example", "is not a domain name"},
		{"dhcp.domain", `a"b`, "is not a domain name"},
		{"dhcp.domain", strings.Repeat("a", 254), "at most 253"},
		{"dhcp.lease_time", "59", "from 60 to 31536000"},
		{"ovn.subnet", "10.0.0.1/24", `want "10.0.0.0/24"`},
		{"ovn.subnet", "10.0.0.0/30", "prefix length from 8 to 29"},
		{"ovn.subnet", "2001:db8::/64", "is not an IPv4 subnet"},
		{"ovn.transit_overlay_network", "host", "network of Docker's own"},
		{"mirror.ports", "all,web", "alone"},
		{"mirror.ports", "a,,b", "cannot be empty"},
		{"mirror.ports", "10.0.0.0/24", "told by its address, its MAC address or its container's name"},
		{"mirror.ports", "224.0.0.1", "not the address of one host"},
		{"mirror.dest", "monitor-port-of-web", "at most 15 characters; a container's name is written container:NAME"},
		{"mirror.dest", "-x", "not a usable name"},
		{"mirror.dest", "container:a b", "not a usable name"},
		{"mirror.dest", "vxlan:192.0.2.1", "want the name of an OVS port, container:NAME, gre:ADDRESS or erspan:ADDRESS"},
		{"mirror.dest", "gre:collector", "is not an IP address"},
		{"ovn.nb_connection", "unix:/var/run/ovn/ovnnb_db.sock", "unix socket"},
		{"ovn.nb_connection", "172.30.0.5:6641", "want tcp:HOST:PORT"},
		{"ovn.nb_connection", "tcp:172.30.0.5", "lacks a host or a port"},
		{"ovn.nb_connection", "tcp:fd00::1:6641", "lacks a host or a port"},
		{"ovn.nb_connection", "tcp:172.30.0.5:0", "from 1 to 65535"},
		{"ovn.nb_connection", "tcp:172.30.0.5:65536", "from 1 to 65535"},
		{"ovn.nb_connection", "tcp:172.30.0.256:6641", "neither an IP address nor a host name"},
		{"ovn.nb_connection", "tcp:0.0.0.0:6641", "not the address of one host"},
		{"ovn.nb_connection", "tcp:[fe80::1%eth0]:6641", "not the address of one host"},
		{"ovn.nb_connection", "tcp:[host]:6641", "not an IPv6 address"},
		{"ovn.nb_connection", "tcp::6641", "neither an IP address nor a host name"},
		{"ovn.nb_connection", "tcp:a b:6641", "neither an IP address nor a host name"},
		{"ovn.nb_connection", "tcp:-h:6641", "neither an IP address nor a host name"},
		{"ovn.nb_connection", "tcp:h:6641,ssl:h:6641", "mixes tcp: and ssl:"},
		{"ovn.nb_connection", "tcp:h:6641,", "want tcp:HOST:PORT"},
		{"ovn.sb_connection", "ssl:h:6642", "mix tcp: and ssl:"},
	} {
		t.Run(c.option+"="+c.value[:min(len(c.value), 30)], func(t *testing.T) {
			n, err := ParseNetwork(with(c.option, c.value))
			if err == nil {
				t.Fatalf("accepted as %+v", n)
			}
			name := strings.TrimPrefix(c.option, "com.docker.network.driver.")
			if !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %q, want it to name %s and say %q", err, name, c.says)
			}
			if len(err.Error()) > 500 {
				t.Errorf("the error has %d bytes: %s", len(err.Error()), err)
			}
		})
	}
}

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		says string
	}{
		{with("mtu", "1400", "com.docker.network.driver.mtu", "1500"), `options "mtu" and "com.docker.network.driver.mtu" are the same setting but say "1400" and "1500"`},
		{with("ovn.transit_network", "t"), "name one with ovn.router"},
		{with("ovn.transit_network", "t", "ovn.role", "transit"), "cannot itself connect"},
		{with("ovn.physical_network", "wan", "ovn.router", "lr"), `a network on the physical network "wan" has its gateway there`},
		{with("ovn.physical_network", "wan", "ovn.role", "transit"), `a network on the physical network "wan" has its gateway there`},
		{with("ovn.nat", "203.0.113.10", "ovn.router", "lr", "ovn.transit_network", "t"), `give "203.0.113.10" to that one`},
		{with("ovn.nat", "203.0.113.10", "ovn.role", "transit", "ovn.external_gateway", "192.0.2.1"), "two ways out"},
		{with("mirror.ports", "all"), "mirror.ports needs mirror.dest"},
		{with("mirror.ports", "ids", "mirror.dest", "container:ids"), "never mirrored to itself"},
		{with("ipam", "ovn"), "ipam=ovn and ovn.subnet are required together"},
		{with("ovn.subnet", "10.0.0.0/24"), "ipam=ovn and ovn.subnet are required together"},
	} {
		if _, err := ParseNetwork(c.opts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error is %v, want %q", err, c.says)
		}
	}
}

func TestNearestName(t *testing.T) {
	for wrong, want := range map[string]string{
		"ovn.swich": "ovn.switch", "ovn.siwtch": "ovn.switch", "switch": "ovn.switch", "OVN.Switch": "ovn.switch", "ovs.switch": "ovn.switch",
		"nb_connection": "ovn.nb_connection", "ovn.nb-connection": "ovn.nb_connection", "ovn.sb_conection": "ovn.sb_connection",
		"autocreate": "ovn.auto_create", "vlan_id": "vlan", "VLAN": "vlan", "tenant": "tenant_id", "tenant-id": "tenant_id",
		"com.docker.network.mtu": "mtu", "ovn.encap-ip": "ovn.encap_ip", "mirror.port": "mirror.ports",
		"parent": "", "com.docker.network.bridge.name": "", "": "", strings.Repeat("x", 1000): "",
	} {
		if got := nearest(wrong, names()); got != want {
			t.Errorf("nearest to %q is %q, want %q", wrong, got, want)
		}
	}
}

func TestUnknownOptionsAreAllNamed(t *testing.T) {
	opts := with("ovn.swich", "a", "wlan", "5")
	_, err := ParseNetwork(opts)
	want := `unknown option "ovn.swich": did you mean "ovn.switch"?; unknown option "wlan": did you mean "vlan"?`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = ParseNetwork(with("parent", "eth0"))
	if err == nil || !strings.Contains(err.Error(), `unknown option "parent": the options are ovn.switch, `) {
		t.Errorf("got %v, want the list of options", err)
	}
}

func TestParseDoesNotChangeItsInput(t *testing.T) {
	opts := with("mirror.ports", "b,a", "mirror.dest", "c")
	before := maps.Clone(opts)
	_, _ = ParseNetwork(opts)
	if !maps.Equal(opts, before) {
		t.Errorf("options became %v", opts)
	}
}

func TestParseEndpoint(t *testing.T) {
	docker := map[string]any{"com.docker.network.portmap": []any{}, "com.docker.network.endpoint.macaddress": "AkKsEQAC"}
	if _, err := ParseEndpoint(docker); err != nil {
		t.Errorf("keys of Docker: %v", err)
	}
	if _, err := ParseEndpoint(nil); err != nil {
		t.Errorf("no options: %v", err)
	}
	docker["vlan"] = "5"
	if _, err := ParseEndpoint(docker); err == nil || !strings.Contains(err.Error(), `"vlan" belongs to a network`) {
		t.Errorf("a network's option: %v", err)
	}
	e, err := ParseEndpoint(map[string]any{"ovn.floating_ip": "203.0.113.20"})
	if err != nil || e.FloatingIP != netip.MustParseAddr("203.0.113.20") {
		t.Errorf("floating address %v, %v", e.FloatingIP, err)
	}
	if e, err = ParseEndpoint(map[string]any{"mirror": "false"}); err != nil || e.Mirror == nil || *e.Mirror {
		t.Errorf("not mirrored: %v, %v", e.Mirror, err)
	}
	for _, value := range []any{"", "yes", true} {
		if _, err := ParseEndpoint(map[string]any{"mirror": value}); err == nil || !strings.Contains(err.Error(), `"mirror"`) {
			t.Errorf("mirror %v: %v", value, err)
		}
	}
	for _, value := range []any{"", "a", "203.0.113.20/32", "fd00::1", 5, "0.0.0.0"} {
		if _, err := ParseEndpoint(map[string]any{"ovn.floating_ip": value}); err == nil || !strings.Contains(err.Error(), `"ovn.floating_ip"`) {
			t.Errorf("floating address %v: %v", value, err)
		}
	}
	if _, err := ParseEndpoint(map[string]any{"qos": 5}); err == nil || !strings.Contains(err.Error(), `unknown driver option "qos"`) {
		t.Errorf("unknown option: %v", err)
	}
}

func TestDialAddresses(t *testing.T) {
	got := DialAddresses("tcp:[fd00::1]:6641,tcp:db2.example:6641")
	if want := []string{"[fd00::1]:6641", "db2.example:6641"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
