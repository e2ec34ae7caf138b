package provider_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("a provider network", func() {
	It("has containers on the wire, beside real machines", func(ctx SpecContext) {
		l.Network(ctx, wan())
		l.Container(ctx, "w1", "wan")
		l.Ping(ctx, "w1", gateway)
		leaves(ctx, "w1", l.AddressOf(ctx, "w1", "wan"))
		Expect(curl(ctx, "http://"+l.AddressOf(ctx, "w1", "wan")+"/")).To(ContainSubstring("hello"))
		Expect(l.Exec(ctx, "w1", "ls", "/sys/class/net")).NotTo(ContainSubstring("eth1"))
		By("without a way off the wire when it is internal")
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
		l.Network(ctx, wan("--internal"))
		l.Container(ctx, "w1", "wan")
		l.Ping(ctx, "w1", gateway)
		unreachable(ctx, "w1", internet)
		l.Agree(ctx)
	}, suite.Hang)

	It("leads routers out by OVN's own NAT", func(ctx SpecContext) {
		l.Network(ctx, wan())
		l.Network(ctx, behind("app", "10.0.0.0/24", "ovn.nat=203.0.113.10"))
		l.Network(ctx, behind("db", "10.0.1.0/24"))
		sealed := behind("sealed", "10.0.2.0/24")
		sealed.Flags = []string{"--internal"}
		l.Network(ctx, sealed)
		l.Container(ctx, "a1", "app", "-p", "8080:80")
		l.Container(ctx, "d1", "db")
		l.Container(ctx, "s1", "sealed")
		for _, c := range []string{"a1", "d1"} {
			leaves(ctx, c, "203.0.113.10")
		}
		By("but not a network that is internal, which keeps its neighbours")
		unreachable(ctx, "s1", internet)
		unreachable(ctx, "s1", gateway)
		l.Ping(ctx, "s1", l.AddressOf(ctx, "a1", "app"))
		l.Ping(ctx, "a1", l.AddressOf(ctx, "s1", "sealed"))
		By("and in by the host, for what is published")
		Expect(l.Must(ctx, "curl", "-sf", "--max-time", "5", "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))
		By("with an address of its own for one container")
		l.MustDocker(ctx, "create", "--name", "f1", host.ImageDemo)
		l.MustDocker(ctx, "network", "connect", "--driver-opt", "ovn.floating_ip=203.0.113.20", "app", "f1")
		l.MustDocker(ctx, "network", "disconnect", "bridge", "f1")
		l.MustDocker(ctx, "start", "f1")
		floats := func() {
			GinkgoHelper()
			leaves(ctx, "f1", "203.0.113.20")
			Expect(curl(ctx, "http://203.0.113.20/")).To(ContainSubstring("hello"))
		}
		floats()
		Expect(l.Command(ctx, "status")).To(ContainSubstring("203.0.113.20"))
		l.MustDocker(ctx, "create", "--name", "f2", host.ImageDemo)
		l.MustDocker(ctx, "network", "connect", "--driver-opt", "ovn.floating_ip=203.0.113.20", "db", "f2")
		_, err := l.Docker(ctx, "start", "f2")
		Expect(err).To(MatchError(ContainSubstring(`ovn.floating_ip "203.0.113.20" is in use already`)))
		l.MustDocker(ctx, "rm", "-f", "f2")

		for what, happens := range map[string]func(){
			"a restart of the plugin": func() { l.RestartPlugin(ctx) },
			"a restart of Docker": func() {
				Expect(l.RestartDocker(ctx)).To(Succeed())
				l.MustDocker(ctx, "start", "a1", "d1", "f1", "s1")
			},
			"a restart of Open vSwitch": func() {
				Expect(l.StopOVS(ctx)).To(Succeed())
				Expect(l.StartOVS(ctx)).To(Succeed())
			},
			"a loss of the router": func() {
				l.NBCtl(ctx, "lr-del", "lr-app")
				l.Command(ctx, "reconcile")
				followed(ctx)
			},
			"a loss of the data directory": func() {
				data := l.DataDir(ctx)
				l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
				l.Must(ctx, "rm", "-rf", data)
				l.MustDocker(ctx, "plugin", "enable", host.PluginName)
				l.Agree(ctx)
			},
			"a loss of OVN central and its database": func() {
				l.MustDocker(ctx, "rm", "-f", "ovn-central")
				l.MustDocker(ctx, "volume", "rm", "ovn-central-db")
				Eventually(func() error { _, err := l.Docker(ctx, "exec", "ovn-central", "ovn-nbctl", "show"); return err }).
					WithContext(ctx).WithTimeout(40 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
				l.Agree(ctx)
				followed(ctx)
			},
			"a loss of the floating address": func() {
				l.NBCtl(ctx, "lr-nat-del", "lr-app")
				lab.Soon(ctx, func(g Gomega) { // without being asked
					g.Expect(l.NBCtl(ctx, "lr-nat-list", "lr-app")).To(SatisfyAll(ContainSubstring("203.0.113.20"), ContainSubstring("203.0.113.10")))
				})
				l.NBCtl(ctx, "--wait=hv", "sync")
			},
		} {
			By("after " + what)
			happens()
			leaves(ctx, "a1", "203.0.113.10")
			floats()
			unreachable(ctx, "s1", internet)
		}
		l.Agree(ctx)
		By("until the container is gone")
		l.MustDocker(ctx, "rm", "-f", "f1")
		_, err = wire.Run(ctx, "curl", "-sf", "--max-time", "2", "http://203.0.113.20/")
		Expect(err).To(HaveOccurred())
		l.Container(ctx, "f3", "db")
		leaves(ctx, "f3", "203.0.113.10")
	}, suite.Hang)

	It("leads VPCs out by the gateway router of their transit network", func(ctx SpecContext) {
		l.Network(ctx, wan())
		l.Network(ctx, lab.Net{Name: "transit-net", Subnet: "192.168.100.0/24", Switch: "ls-transit", Options: []string{"ovn.role=transit", "ovn.nat=203.0.113.10"}})
		vpc := func(name, subnet string, flags ...string) lab.Net {
			return lab.Net{Name: name, Subnet: subnet, Switch: "ls-" + name, Options: []string{"ovn.router=lr-" + name, "ovn.transit_network=transit-net", "tenant_id=" + name}, Flags: flags}
		}
		l.Network(ctx, vpc("red", "10.0.0.0/24"))
		l.Network(ctx, vpc("blue", "10.1.0.0/24"))
		l.Network(ctx, vpc("sealed", "10.2.0.0/24", "--internal"))
		l.Container(ctx, "r1", "red", "-p", "8080:80")
		l.Container(ctx, "b1", "blue")
		l.Container(ctx, "s1", "sealed")
		leaves(ctx, "r1", "203.0.113.10")
		leaves(ctx, "b1", "203.0.113.10")
		unreachable(ctx, "s1", internet)
		By("and to each other as they are")
		for _, to := range []string{l.AddressOf(ctx, "b1", "blue"), l.AddressOf(ctx, "s1", "sealed")} {
			l.Ping(ctx, "r1", to)
		}
		Expect(l.Must(ctx, "curl", "-sf", "--max-time", "5", "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))
		By("with a floating address behind two routers")
		l.MustDocker(ctx, "run", "-d", "--name", "f1", "--network", "name=red,driver-opt=ovn.floating_ip=203.0.113.20", host.ImageDemo)
		leaves(ctx, "f1", "203.0.113.20")
		Expect(curl(ctx, "http://203.0.113.20/")).To(ContainSubstring("hello"))
		By("also when the Docker networks of the way out are gone")
		l.MustDocker(ctx, "network", "rm", "transit-net", "wan")
		leaves(ctx, "r1", "203.0.113.10")
		l.Agree(ctx)
	}, suite.Hang)

	DescribeTable("is refused", func(ctx SpecContext, n lab.Net, says string) {
		Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring(says))
	},
		Entry("without a bridge that leads there", lab.Net{Name: "x", Subnet: "203.0.113.0/24", Switch: "ls-x", Options: []string{"ovn.physical_network=lan"}},
			`ovn.physical_network "lan": this host has no bridge that leads there`, suite.Hang),
		Entry("behind a router", lab.Net{Name: "x", Subnet: "203.0.113.0/24", Switch: "ls-x", Options: []string{"ovn.physical_network=wan", "ovn.router=lr-x"}},
			`a network on the physical network "wan" has its gateway there`, suite.Hang),
		Entry("as a way out that is not there", behind("x", "10.0.0.0/24", "ovn.nat=203.0.113.10"), `ovn.nat "203.0.113.10" is in no subnet of a network with ovn.physical_network`, suite.Hang),
	)
})
