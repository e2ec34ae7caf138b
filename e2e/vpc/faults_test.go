package vpc_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// The VPCs are there all the time: each fault leaves them as it found them.
var _ = Describe("VPCs on a transit network", Ordered, ContinueOnFailure, Label("vpc"), func() {
	a, b := in("vpc-a", "transit-net"), in("vpc-b", "transit-net")

	BeforeAll(func(ctx SpecContext) {
		l.Network(ctx, transit("transit-net", "192.168.100.0/24"))
		l.Network(ctx, vpc("vpc-a", "10.0.0.0/24", "transit-net"))
		l.Network(ctx, vpc("vpc-b", "10.1.0.0/24", "transit-net"))
		run(ctx, a, b)
		meet(ctx, a, b)
		l.Agree(ctx)
	}, suite.Hang)

	// survives has the fault happen under traffic between the VPCs, and proves that all is as before without anybody's help.
	survives := func(ctx context.Context, fault func()) lab.Loss {
		GinkgoHelper()
		traffic := l.Traffic(ctx, a.name, b.name, b.network)
		fault()
		l.Agree(ctx)
		loss := traffic.Ends(ctx)
		meet(ctx, a, b)
		return loss
	}

	It("do not notice that the plugin is disabled and enabled", func(ctx SpecContext) {
		loss := survives(ctx, func() { l.RestartPlugin(ctx) })
		Expect(loss.Lost).To(BeZero())
	}, suite.Hang)

	It("do not notice that the plugin loses its data directory", func(ctx SpecContext) {
		loss := survives(ctx, func() {
			data := l.DataDir(ctx)
			l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
			l.Must(ctx, "rm", "-rf", data)
			l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		})
		Expect(loss.Lost).To(BeZero())
	}, suite.Hang)

	It("are restored when OVN central was removed with its volume", func(ctx SpecContext) {
		loss := survives(ctx, func() {
			l.MustDocker(ctx, "rm", "-f", "ovn-central")
			l.MustDocker(ctx, "volume", "rm", "ovn-central-db")
			Eventually(func() error { _, err := l.Docker(ctx, "exec", "ovn-central", "ovn-nbctl", "show"); return err }).
				WithContext(ctx).WithTimeout(40 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
		})
		Expect(loss.Longest).To(BeNumerically("<", 20*time.Second))
		Expect(routers(ctx)).To(ConsistOf("lr-gateway", "lr-vpc-a", "lr-vpc-b"))
	}, suite.Hang)

	DescribeTable("are restored when an administrator deletes by accident", func(spec SpecContext, remove ...string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		loss := survives(ctx, func() { l.NBCtl(ctx, remove...) })
		Expect(loss.Longest).To(BeNumerically("<", 20*time.Second))
	},
		Entry("a router", "lr-del", "lr-vpc-a"),
		Entry("the gateway router", "lr-del", "lr-gateway"),
		Entry("a router's port on its network", "lrp-del", "lr-vpc-a:ls-vpc-a"),
		Entry("a router's port on the transit network", "lrp-del", "lr-vpc-a:ls-transit-192.168.100.0-24"),
		Entry("the switch's end of a router's port", "lsp-del", "ls-vpc-a:lr-vpc-a"),
		Entry("a router's default route", "lr-route-del", "lr-vpc-a", "0.0.0.0/0"),
		Entry("a way back", "lr-route-del", "lr-gateway", "10.0.0.0/24"),
		Entry("the transit network's switch", "ls-del", "ls-transit-192.168.100.0-24"),
	)
})
