package options_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("the set command", Label("options"), func() {
	It("changes what is mirrored, and the MTU of containers that come, without an interruption, for good", func(ctx SpecContext) {
		l.Network(ctx, monitored("ovn.router=lr-set", "dhcp=ovn"))
		for _, c := range []string{"s1", "s2"} {
			l.Container(ctx, c, "monitored-network")
		}
		traffic := l.Traffic(ctx, "s1", "s2", "monitored-network")
		Expect(l.Command(ctx, "set", "monitored-network", "mirror.ports=all", "mirror.dest=monitor-port")).To(ContainSubstring("mirror all > monitor-port"))
		settles(ctx, "", "monitor-port", "monitored-network", "s1", "s2")
		n := listen(ctx, "", "monitor-port")
		first := ping(ctx, "monitored-network", "s2", "s1", 10, 56)
		n.hears(ctx, first)

		By("refusing what cannot be, and leaving all as it was")
		before := l.State(ctx)
		for change, says := range map[string]string{
			"vlan=5":             "cannot be changed while the network is there: those that can are mtu, mirror.ports, mirror.dest",
			"mirror.dest=":       "mirror.ports needs mirror.dest",
			"mirror.dest=br-int": "is a bridge",
			"mtu=10":             "want a number from 576 to 9216",
		} {
			Expect(l.CommandError(ctx, "set", "monitored-network", change)).To(ContainSubstring(says))
			Expect(l.Changes(ctx, before)).To(BeEmpty())
		}
		Expect(l.CommandError(ctx, "set", "nobody", "mtu=1400")).To(ContainSubstring(`network "nobody" is none of this plugin's`))

		By("giving new containers another MTU")
		l.Command(ctx, "set", "monitored-network", "mtu=1400")
		l.Container(ctx, "s3", "monitored-network")
		Expect(l.Exec(ctx, "s3", "cat", "/sys/class/net/eth0/mtu")).To(Equal("1400"))
		Expect(l.Exec(ctx, "s1", "cat", "/sys/class/net/eth0/mtu")).To(Equal("1500"))
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(l.NBCtl(ctx, "--bare", "--columns=options", "find", "DHCP_Options", "cidr="+subnet)).To(ContainSubstring("mtu=1400"))
		})
		Expect(l.Command(ctx, "status")).To(MatchRegexp(`monitored-network.* ready +1400 `))

		By("also when all of the plugin's records are lost")
		l.MustDocker(ctx, "plugin", "disable", "-f", "ovs-container-network:latest")
		l.Must(ctx, "find", l.DataDir(ctx), "-mindepth", "1", "-delete")
		l.MustDocker(ctx, "plugin", "enable", "ovs-container-network:latest")
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(MatchRegexp(`monitored-network.* ready +1400 `)) })
		lab.Soon(ctx, func(g Gomega) { g.Expect(mirrors(ctx)).To(ConsistOf("theirs", "monitor-port")) })
		settles(ctx, "", "monitor-port", "monitored-network", "s1", "s2")
		n = listen(ctx, "", "monitor-port")
		n.hears(ctx, ping(ctx, "monitored-network", "s2", "s1", 10, 56))

		By("and ending it")
		l.Command(ctx, "set", "monitored-network", "mirror.ports=", "mirror.dest=")
		Expect(mirrors(ctx)).To(ConsistOf("theirs"))
		_, err := l.Run(ctx, "ip", "link", "show", "dev", "monitor-port")
		Expect(err).To(HaveOccurred())
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		l.Agree(ctx)
	}, suite.Hang)

	It("applies to connections that are in use, at once", func(ctx SpecContext) {
		// The port is there before: Open vSwitch looks at what is in use whenever one comes.
		l.Must(ctx, "ovs-vsctl", "add-port", "br-int", "watch0", "--", "set", "Interface", "watch0", "type=internal")
		DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "ovs-vsctl", "del-port", "watch0") })
		l.Must(ctx, "ip", "link", "set", "dev", "watch0", "up")
		l.Network(ctx, monitored())
		for _, c := range []string{"u1", "u2"} {
			l.Container(ctx, c, "monitored-network")
		}
		traffic := l.Traffic(ctx, "u1", "u2", "monitored-network")
		n := listen(ctx, "", "watch0")
		requests := func() int { return n.from(ctx, l.AddressOf(ctx, "u1", "monitored-network")) }
		for _, end := range [][]string{{"mirror.ports=10.0.0.200"}, {"mirror.ports="}, {"mirror.ports=", "mirror.dest="}} {
			time.Sleep(2 * time.Second) // as long as it takes until flows are in use, and left alone
			Expect(requests()).To(BeZero())
			l.Command(ctx, "set", "monitored-network", "mirror.ports=all", "mirror.dest=watch0")
			lab.Soon(ctx, func(g Gomega) { g.Expect(requests()).To(BeNumerically(">", 20)) })
			l.Command(ctx, append([]string{"set", "monitored-network"}, end...)...)
			time.Sleep(time.Second)
			n = listen(ctx, "", "watch0")
		}
		time.Sleep(2 * time.Second)
		Expect(requests()).To(BeZero())
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		l.Agree(ctx)
	}, suite.Hang)

	It("leaves nothing of a network that is removed", func(ctx SpecContext) {
		l.Network(ctx, monitored())
		l.Command(ctx, "set", "monitored-network", "mtu=1400", "mirror.dest=monitor-port")
		Expect(l.Must(ctx, "ovs-vsctl", "get", "Bridge", "br-int", "external_ids")).To(ContainSubstring("mtu=1400"))
		l.MustDocker(ctx, "network", "rm", "monitored-network")
		Expect(l.Must(ctx, "ovs-vsctl", "get", "Bridge", "br-int", "external_ids")).NotTo(ContainSubstring("mtu=1400"))
	}, suite.Hang)
})
