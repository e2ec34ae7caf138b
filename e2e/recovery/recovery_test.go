package recovery_test

import (
	"context"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var n1 = lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true}

// running has two containers on a network, and traffic between them.
func running(ctx context.Context) *lab.Traffic {
	GinkgoHelper()
	l.Network(ctx, n1)
	l.Container(ctx, "web1", "n1")
	l.Container(ctx, "web2", "n1")
	return l.Traffic(ctx, "web1", "web2", "n1")
}

// goesOn proves that all is as it should be: a new container gets the next free address and reaches the others, and old
// ones are removed without a trace, which every spec's end checks.
func goesOn(ctx context.Context, address string) {
	GinkgoHelper()
	l.Agree(ctx)
	l.Container(ctx, "web3", "n1")
	Expect(l.AddressOf(ctx, "web3", "n1")).To(Equal(address))
	l.Ping(ctx, "web3", "web1")
	l.Ping(ctx, "web2", "web3")
	l.MustDocker(ctx, "rm", "-f", "web3")
	l.Agree(ctx)
}

// logged is how much of Docker's log there was before the spec.
var logged int

var _ = BeforeEach(func(ctx SpecContext) { logged = len(l.Lines(ctx, "cat", "/var/log/dockerd.log")) }, suite.Hang)

// log is the plugin's part of Docker's log, of this spec.
func log(ctx context.Context) string {
	GinkgoHelper()
	lines := l.Lines(ctx, "cat", "/var/log/dockerd.log")[logged:]
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return !strings.Contains(s, "component") }), "\n")
}

// watches are the processes that wait for changes of databases.
func watches(ctx context.Context) []string {
	GinkgoHelper()
	out, _ := l.Run(ctx, "pidof", "ovsdb-client") // fails when there are none
	return strings.Fields(out)
}

var _ = Describe("the plugin", Label("recovery"), func() {
	It("is disabled and enabled while containers run", func(ctx SpecContext) {
		traffic := running(ctx)
		l.RestartPlugin(ctx)
		goesOn(ctx, "10.0.0.4")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		Expect(log(ctx)).To(MatchRegexp(`state restored.*networks\W+1\W+endpoints\W+2`))
	}, suite.Hang)

	It("is killed, and dockerd starts it again", func(ctx SpecContext) {
		traffic := running(ctx)
		pid := l.Must(ctx, "pidof", "ovs-container-network")
		var before []string
		lab.Soon(ctx, func(g Gomega) {
			before = watches(ctx)
			g.Expect(before).To(HaveLen(4), "two tables of each of two databases")
		})
		l.Must(ctx, "kill", "-9", pid)
		lab.Soon(ctx, func(g Gomega) {
			now, err := l.Run(ctx, "pidof", "ovs-container-network")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(strings.TrimSpace(now)).NotTo(Equal(pid))
		})
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(watches(ctx)).To(HaveLen(len(before)))
			g.Expect(watches(ctx)).NotTo(ContainElement(BeElementOf(before)), "watches of the dead plugin go with it")
		})
		goesOn(ctx, "10.0.0.4")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("loses its data directory", func(ctx SpecContext) {
		traffic := running(ctx)
		data := l.DataDir(ctx)
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Must(ctx, "rm", "-rf", data)
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		By("starting a container before anybody could have noticed")
		goesOn(ctx, "10.0.0.4")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		Expect(log(ctx)).To(MatchRegexp("restored from what Docker knows.*network n1"))
	}, suite.Hang)

	It("is not there while containers and networks are removed, and cleans up when it is", func(ctx SpecContext) {
		l.Network(ctx, n1)
		l.Network(ctx, lab.Net{Name: "n2", Subnet: "10.2.0.0/24", Switch: "ls-2"})
		l.Network(ctx, lab.Net{Name: "n3", Subnet: "10.3.0.0/24", Switch: "ls-2"})
		l.Container(ctx, "web1", "n1")
		for name, network := range map[string]string{"web2": "n1", "gone1": "n1", "gone2": "n2", "gone3": "n3"} {
			l.Container(ctx, name, network)
		}
		traffic := l.Traffic(ctx, "web1", "web2", "n1")
		free := l.AddressOf(ctx, "gone1", "n1")
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		var work errgroup.Group // dockerd waits 15 s for each call to a disabled plugin
		for _, name := range []string{"gone1", "gone2", "gone3"} {
			work.Go(func() error { _, err := l.Docker(ctx, "rm", "-f", name); return err })
		}
		Expect(work.Wait()).To(Succeed())
		l.MustDocker(ctx, "network", "rm", "n2")
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		By("giving the address of a container that is gone to a new one, at once")
		l.Container(ctx, "new", "n1", "--ip", free)
		l.Ping(ctx, "new", "web1")
		l.Agree(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch")).To(SatisfyAll(ContainSubstring("ls-1"), ContainSubstring("ls-2")))
	}, suite.Hang)
})

var _ = Describe("an administrator", Label("recovery"), func() {
	DescribeTable("deletes by accident what the plugin made", func(spec SpecContext, remove func(ctx context.Context)) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		traffic := running(ctx)
		l.Agree(ctx)
		remove(ctx)
		loss := traffic.Ends(ctx)
		Expect(loss.Longest).To(BeNumerically("<", 10*time.Second), "restored without anybody's help")
		goesOn(ctx, "10.0.0.4")
	},
		Entry("a logical switch port", func(ctx context.Context) {
			l.NBCtl(ctx, "lsp-del", l.Endpoint(ctx, "web2", "n1").EndpointID)
		}),
		Entry("the logical switch", func(ctx context.Context) { l.NBCtl(ctx, "ls-del", "ls-1") }),
		Entry("all OVS ports", func(ctx context.Context) {
			for _, name := range l.OVSOwned(ctx) {
				l.Must(ctx, "ovs-vsctl", "del-port", name)
			}
		}),
		Entry("the bridge", func(ctx context.Context) { l.Must(ctx, "ovs-vsctl", "del-br", "br-int") }),
		Entry("the chassis' settings", func(ctx context.Context) {
			for _, key := range []string{"ovn-remote", "ovn-bridge", "ovn-encap-type", "ovn-encap-ip"} {
				l.Must(ctx, "ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", key)
			}
		}),
	)

	It("asks for a comparison, and is told what was done", func(ctx SpecContext) {
		traffic := running(ctx)
		l.NBCtl(ctx, "lsp-del", l.Endpoint(ctx, "web2", "n1").EndpointID)
		out := l.Command(ctx, "reconcile")
		Expect(out).To(ContainSubstring("logical switch port made"))
		traffic.Ends(ctx)
		l.Agree(ctx)
	}, suite.Hang)

	It("has rows of another plugin in the same database, which stay", func(ctx SpecContext) {
		running(ctx)
		l.NBCtl(ctx, "ls-add", "theirs", "--", "lsp-add", "theirs", "their-port", "--", "lsp-add", "ls-1", "our-guest",
			"--", "set", "Logical_Switch_Port", "their-port", "external_ids:owner="+lab.Owner, "external_ids:instance=another", "external_ids:endpoint_id=x",
			"--", "set", "Logical_Switch", "ls-1", "external_ids:network-9999=another")
		l.RestartPlugin(ctx)
		l.Agree(ctx)
		time.Sleep(5 * time.Second) // the comparison with Docker's lists takes three
		ports := l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch_Port")
		Expect(ports).To(SatisfyAll(ContainSubstring("their-port"), ContainSubstring("our-guest")))
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch")).To(SatisfyAll(ContainSubstring("theirs"), ContainSubstring("ls-1")), "others use them")
		l.NBCtl(ctx, "ls-del", "theirs", "--", "ls-del", "ls-1")
	}, suite.Hang)
})

var _ = Describe("Open vSwitch", Label("recovery"), func() {
	It("is restarted, both daemons", func(ctx SpecContext) {
		traffic := running(ctx)
		Expect(l.StopOVS(ctx)).To(Succeed())
		Expect(l.StartOVS(ctx)).To(Succeed())
		Expect(traffic.Ends(ctx).Longest).To(BeNumerically("<", 15*time.Second))
		goesOn(ctx, "10.0.0.4")
	}, suite.Hang)

	It("loses its database", func(ctx SpecContext) {
		traffic := running(ctx)
		Expect(l.StopOVS(ctx)).To(Succeed())
		l.Must(ctx, "sh", "-c", "mv /etc/openvswitch/conf.db /etc/openvswitch/lost.db && ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema")
		Expect(l.StartOVS(ctx)).To(Succeed())
		Expect(traffic.Ends(ctx).Longest).To(BeNumerically("<", 20*time.Second))
		goesOn(ctx, "10.0.0.4")
	}, suite.Hang)

	It("loses the switch daemon alone", func(ctx SpecContext) {
		traffic := running(ctx)
		pid := l.Must(ctx, "cat", "/run/openvswitch/ovs-vswitchd.pid")
		l.Must(ctx, "kill", "-9", pid)
		lab.Soon(ctx, func(g Gomega) { _, err := l.Run(ctx, "kill", "-0", pid); g.Expect(err).To(HaveOccurred()) })
		Expect(l.StartOVS(ctx)).To(Succeed())
		Expect(traffic.Ends(ctx).Longest).To(BeNumerically("<", 15*time.Second))
		goesOn(ctx, "10.0.0.4")
	}, suite.Hang)
})

var _ = Describe("ovn-controller", Label("recovery"), func() {
	It("is killed", func(ctx SpecContext) {
		traffic := running(ctx)
		l.MustDocker(ctx, "kill", "ovn-controller")
		l.MustDocker(ctx, "start", "ovn-controller")
		goesOn(ctx, "10.0.0.4")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("is stopped while containers start and stop", func(ctx SpecContext) {
		traffic := running(ctx)
		l.Container(ctx, "gone", "n1")
		l.MustDocker(ctx, "stop", "ovn-controller")
		l.Container(ctx, "late", "n1") // after its 10 s
		l.MustDocker(ctx, "rm", "-f", "gone")
		l.Container(ctx, "later", "n1") // at once: the one before has waited
		l.MustDocker(ctx, "start", "ovn-controller")
		for _, name := range []string{"late", "later"} {
			lab.Soon(ctx, func(g Gomega) {
				_, err := l.Docker(ctx, "exec", name, "ping", "-c", "1", "-W", "1", "web1")
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		l.MustDocker(ctx, "rm", "-f", "late", "later")
		goesOn(ctx, "10.0.0.4")
	}, suite.Hang)

	It("is removed, and made again", func(ctx SpecContext) {
		traffic := running(ctx)
		l.MustDocker(ctx, "rm", "-f", "ovn-controller")
		Eventually(func() error { _, err := l.Docker(ctx, "container", "inspect", "ovn-controller"); return err }).
			WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(time.Second).Should(Succeed())
		goesOn(ctx, "10.0.0.4")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)
})
