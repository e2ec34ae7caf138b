package addresses_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// null are the flags of a network whose containers get no address of Docker's.
var null = []string{"--ipam-driver", "null"}

// lease is what a DHCP client in the container is told, by the names that udhcpc gives to its script. Apply has the container
// take the address.
func lease(ctx context.Context, container string, apply bool) map[string]string {
	GinkgoHelper()
	script := "#!/bin/sh\n[ $1 = bound ] || exit 0\nenv\n"
	if apply {
		script += "ip address flush dev $interface scope global\nip address add $ip/$mask dev $interface\n"
	}
	l.Exec(ctx, container, "sh", "-c", "printf '%s' \"$0\" >/tmp/script; chmod +x /tmp/script", script)
	told := map[string]string{}
	for _, line := range strings.Split(l.Exec(ctx, container, "timeout", "30", "udhcpc", "-f", "-n", "-q", "-t", "5", "-T", "2", "-i", "eth0", "-O", "mtu", "-s", "/tmp/script"), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok {
			told[key] = value
		}
	}
	return told
}

var _ = Describe("OVN's DHCP server", func() {
	It("tells containers what Docker has given them, and the network's options", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{
			Name: "a", Subnet: "10.0.0.0/24", Switch: "ls-a",
			Options: []string{"ovn.router=lr-a", "dhcp=ovn", "dhcp.dns=192.0.2.53,192.0.2.54", "dhcp.domain=lab.example", "dhcp.lease_time=600", "mtu=1400"},
		})
		l.Container(ctx, "a1", "a")
		l.Container(ctx, "a2", "a", "--ip", "10.0.0.77")
		for _, c := range []string{"a1", "a2"} {
			told := lease(ctx, c, false)
			Expect(told).To(SatisfyAll(
				HaveKeyWithValue("ip", l.AddressOf(ctx, c, "a")), HaveKeyWithValue("subnet", "255.255.255.0"), HaveKeyWithValue("router", "10.0.0.1"),
				HaveKeyWithValue("dns", "192.0.2.53 192.0.2.54"), HaveKeyWithValue("domain", "lab.example"), HaveKeyWithValue("lease", "600"),
				HaveKeyWithValue("serverid", "10.0.0.1"), HaveKeyWithValue("mtu", "1400")))
		}
		l.Ping(ctx, "a1", "a2")
		By("also when the rows were lost")
		l.NBCtl(ctx, "--all", "destroy", "DHCP_Options")
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(l.NBCtl(ctx, "--bare", "--columns=_uuid", "list", "DHCP_Options")).NotTo(BeEmpty())
		})
		lab.Soon(ctx, func(g Gomega) { // once ovn-controller has it too
			g.Expect(l.NBCtl(ctx, "--bare", "--columns=dhcpv4_options", "find", "Logical_Switch_Port", "dhcpv4_options!=[]")).NotTo(BeEmpty())
		})
		Expect(lease(ctx, "a1", false)).To(HaveKeyWithValue("ip", l.AddressOf(ctx, "a1", "a")))
		By("also of a plugin that has lost its data directory")
		data := l.DataDir(ctx)
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Must(ctx, "rm", "-rf", data)
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		l.Agree(ctx)
		Expect(lease(ctx, "a2", false)).To(HaveKeyWithValue("ip", "10.0.0.77"))
		Expect(strings.Fields(l.NBCtl(ctx, "--bare", "--columns=_uuid", "list", "DHCP_Options"))).To(HaveLen(1))
	}, suite.Hang)

	It("tells no router on a network that has none", func(ctx SpecContext) {
		// The README's examples.
		l.Network(ctx, lab.Net{Name: "ovn-overlay", Subnet: "10.0.0.0/24", Switch: "ls-prod", Options: []string{"ovn.encap=geneve", "dhcp=ovn"}, Auto: true})
		l.Network(ctx, lab.Net{Name: "dhcp-network", Switch: "ls-dhcp-network", Options: []string{"ipam=external", "dhcp=ovn"}, Auto: true})
		l.Container(ctx, "o1", "ovn-overlay")
		l.Container(ctx, "d1", "dhcp-network")
		told := lease(ctx, "o1", false)
		Expect(told).To(HaveKeyWithValue("ip", l.AddressOf(ctx, "o1", "ovn-overlay")))
		Expect(told).NotTo(HaveKey("router"))
		Expect(lease(ctx, "d1", false)).To(HaveKeyWithValue("ip", l.AddressOf(ctx, "d1", "dhcp-network")))
		By("and with addresses from elsewhere Docker adds no way out")
		Expect(l.Exec(ctx, "o1", "ls", "/sys/class/net")).To(ContainSubstring("eth1"))
		Expect(l.Exec(ctx, "d1", "ls", "/sys/class/net")).NotTo(ContainSubstring("eth1"))
		Expect(l.Exec(ctx, "d1", "ip", "route")).NotTo(ContainSubstring("default"))
		l.Agree(ctx)
	}, suite.Hang)
})

var _ = Describe("a network whose addresses are somebody else's", func() {
	It("has its own DHCP server answer, and containers use what that gives", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "x", Switch: "ls-x", Options: []string{"ipam=external", "dhcp=external"}, Flags: null})
		l.Container(ctx, "server", "x", "--cap-add", "NET_ADMIN")
		l.Exec(ctx, "server", "ip", "address", "add", "10.5.0.1/24", "dev", "eth0")
		conf := "interface eth0\nstart 10.5.0.100\nend 10.5.0.150\nlease_file /tmp/leases\npidfile /tmp/pid\noption subnet 255.255.255.0\n"
		l.Exec(ctx, "server", "sh", "-c", "printf '%s' \"$0\" >/tmp/udhcpd.conf; touch /tmp/leases", conf)
		l.MustDocker(ctx, "exec", "-d", "server", "udhcpd", "-f", "/tmp/udhcpd.conf")
		for _, c := range []string{"c1", "c2"} {
			l.Container(ctx, c, "x", "--cap-add", "NET_ADMIN")
			Expect(l.MustDocker(ctx, "inspect", "-f", "{{.NetworkSettings.Networks.x.IPAddress}}", c)).To(BeEmpty())
			Expect(lease(ctx, c, true)).To(HaveKeyWithValue("ip", HavePrefix("10.5.0.1")))
		}
		l.Ping(ctx, "c1", "10.5.0.1")
		address := strings.Fields(l.Exec(ctx, "c2", "ip", "-4", "-o", "address", "show", "dev", "eth0"))[3]
		other, _, _ := strings.Cut(address, "/")
		l.Ping(ctx, "c1", other)
		By("with its own MAC address only")
		l.Exec(ctx, "c2", "ip", "link", "set", "eth0", "down")
		l.Exec(ctx, "c2", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
		l.Exec(ctx, "c2", "ip", "link", "set", "eth0", "up")
		_, err := l.Docker(ctx, "exec", "c2", "ping", "-c", "1", "-W", "1", "10.5.0.1")
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("has OVN choose addresses, and Docker show them", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "o", Switch: "ls-o", Options: []string{"ipam=ovn", "ovn.subnet=10.6.0.0/24", "ovn.router=lr-o", "dhcp=ovn"}, Flags: null})
		seen := map[string]bool{}
		for _, c := range []string{"c1", "c2", "c3"} {
			l.Container(ctx, c, "o")
			address := l.AddressOf(ctx, c, "o")
			Expect(address).To(HavePrefix("10.6.0."))
			Expect(seen).NotTo(HaveKey(address))
			seen[address] = true
			Expect(l.Exec(ctx, c, "ip", "-o", "address", "show", "dev", "eth0")).To(ContainSubstring(address + "/24"))
			Expect(lease(ctx, c, false)).To(SatisfyAll(HaveKeyWithValue("ip", address), HaveKeyWithValue("router", "10.6.0.1")))
		}
		l.Ping(ctx, "c1", l.AddressOf(ctx, "c2", "o"))
		l.Ping(ctx, "c1", "10.6.0.1")
		By("once more when a container starts again, and after it is gone for the next one")
		l.MustDocker(ctx, "restart", "-t", "0", "c1")
		l.Ping(ctx, "c1", l.AddressOf(ctx, "c2", "o"))
		l.RestartPlugin(ctx)
		l.MustDocker(ctx, "rm", "-f", "c1", "c2", "c3")
		l.Container(ctx, "c4", "o")
		Expect(seen).To(HaveKey(l.AddressOf(ctx, "c4", "o")))
		l.Agree(ctx)
	}, suite.Hang)

	It("is told when OVN has no address left", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "small", Switch: "ls-small", Options: []string{"ipam=ovn", "ovn.subnet=10.6.0.0/29"}, Flags: null})
		for _, c := range []string{"c1", "c2", "c3", "c4", "c5"} {
			l.Container(ctx, c, "small")
		}
		_, err := l.Docker(ctx, "run", "-d", "--name", "c6", "--network", "small", host.ImageDemo)
		Expect(err).To(MatchError(ContainSubstring("has chosen no address in 10.6.0.0/29")))
		l.MustDocker(ctx, "rm", "-f", "c6", "c5")
		l.Container(ctx, "c6", "small")
	}, suite.Hang)

	DescribeTable("is refused", func(ctx SpecContext, n lab.Net, says string) {
		Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring(says))
	},
		Entry("with OVN's choice and Docker's", lab.Net{Name: "n", Subnet: "10.0.0.0/24", Switch: "ls-n", Options: []string{"ipam=ovn", "ovn.subnet=10.6.0.0/24"}}, "--ipam-driver null", suite.Hang),
		Entry("with OVN's choice in no subnet", lab.Net{Name: "n", Switch: "ls-n", Options: []string{"ipam=ovn"}, Flags: null}, "ipam=ovn and ovn.subnet are required together", suite.Hang),
		Entry("with OVN's DHCP and no address", lab.Net{Name: "n", Switch: "ls-n", Options: []string{"dhcp=ovn"}, Flags: null}, "dhcp=ovn needs a subnet", suite.Hang),
	)
})

var _ = It("says who has an address that Docker gives a second time", func(ctx SpecContext) {
	l.Network(ctx, lab.Net{Name: "a", Subnet: "10.0.0.0/24", Switch: "ls-a"})
	// As another host's plugin would.
	l.NBCtl(ctx, "lsp-add", "ls-a", "port", "--", "lsp-set-addresses", "port", "02:00:00:00:00:01 10.0.0.9", "--",
		"set", "Logical_Switch_Port", "port", "external_ids:host=h9", "external_ids:endpoint_id=e9")
	_, err := l.Docker(ctx, "run", "-d", "--name", "a1", "--network", "a", "--ip", "10.0.0.9", host.ImageDemo)
	Expect(err).To(MatchError(SatisfyAll(ContainSubstring(`address "10.0.0.9" is in use on logical switch "ls-a"`), ContainSubstring(`endpoint "e9" of host "h9"`))))
	l.MustDocker(ctx, "rm", "-f", "a1")
	l.NBCtl(ctx, "lsp-del", "port")
	l.Container(ctx, "a1", "a", "--ip", "10.0.0.9")
}, suite.Hang)
