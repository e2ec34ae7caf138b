package vpc_test

import (
	"math/rand/v2"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("a transit network", Label("vpc"), func() {
	It("is removed while routers are attached to it, which it goes on serving", func(ctx SpecContext) {
		const log = "/var/log/dockerd.log"
		logged := len(l.Lines(ctx, "cat", log))
		net := transit("transit-net", "192.168.100.0/24")
		l.Network(ctx, net)
		l.Network(ctx, vpc("vpc-a", "10.0.0.0/24", net.Name))
		l.Network(ctx, vpc("vpc-b", "10.1.0.0/24", net.Name))
		a, b, c := in("vpc-a", net.Name), in("vpc-b", net.Name), in("vpc-c", net.Name)
		run(ctx, a, b)
		meet(ctx, a, b)
		traffic := l.Traffic(ctx, a.name, b.name, b.network)
		l.MustDocker(ctx, "network", "rm", net.Name)

		By("saying so")
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(strings.Join(l.Lines(ctx, "cat", log)[logged:], "\n")).
				To(MatchRegexp(`a transit network was removed that routers are attached to.*routers\W+lr-vpc-a\W+lr-vpc-b`))
		})
		Expect(routers(ctx)).To(ConsistOf("lr-gateway", "lr-vpc-a", "lr-vpc-b"))
		meet(ctx, a, b)
		l.Agree(ctx)

		By("having a third VPC wait, for there is nothing of that name")
		l.Network(ctx, vpc("vpc-c", "10.2.0.0/24", net.Name))
		run(ctx, c)
		meet(ctx, a, b, in("vpc-c", ""))
		Expect(l.Command(ctx, "status")).To(ContainSubstring("waits for " + net.Name))

		By("being created again, and taking up all three")
		l.Network(ctx, net)
		meet(ctx, a, b, c)
		Expect(routers(ctx)).To(ConsistOf("lr-gateway", "lr-vpc-a", "lr-vpc-b", "lr-vpc-c"))
		l.Agree(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())

		By("going before the last of its routers, in any order")
		l.RemoveContainers(ctx)
		order := []string{a.network, b.network, c.network}
		chance := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))
		chance.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, name := range slices.Insert(order, 1+chance.IntN(2), net.Name) {
			l.MustDocker(ctx, "network", "rm", name)
			l.Agree(ctx)
		}
		l.NothingLeft(ctx)
		Expect(rows(ctx)).To(BeEmpty())
	}, suite.Hang)
})

var _ = Describe("two transit networks", Label("vpc"), func() {
	It("join their own VPCs and no others, and refuse what would mix them", func(ctx SpecContext) {
		l.Network(ctx, transit("t1", "192.168.101.0/24"))
		l.Network(ctx, transit("t2", "192.168.102.0/24"))
		l.Network(ctx, vpc("vpc-a", "10.0.0.0/24", "t1"))
		l.Network(ctx, vpc("vpc-b", "10.1.0.0/24", "t1"))
		l.Network(ctx, vpc("vpc-c", "10.2.0.0/24", "t2"))
		l.Network(ctx, vpc("vpc-d", "10.3.0.0/24", "t2"))
		places := []place{in("vpc-a", "t1"), in("vpc-b", "t1"), in("vpc-c", "t2"), in("vpc-d", "t2")}
		run(ctx, places...)
		meet(ctx, places...)
		Expect(routers(ctx)).To(ConsistOf("lr-gateway", "lr-gateway-192.168.102.0-24", "lr-vpc-a", "lr-vpc-b", "lr-vpc-c", "lr-vpc-d"))
		l.Agree(ctx)
		before := l.State(ctx)

		By("another tenant's network on a router")
		other := lab.Net{Name: "other", Subnet: "10.4.0.0/24", Switch: "ls-other", Options: []string{"ovn.router=lr-vpc-a", "tenant_id=tenant-x"}}
		Expect(l.NetworkError(ctx, other.Args()...)).
			To(SatisfyAll(ContainSubstring("lr-vpc-a"), ContainSubstring("tenant-vpc-a"), ContainSubstring("tenant-x")))

		By("a router on a second transit network")
		other.Options = []string{"ovn.router=lr-vpc-a", "tenant_id=tenant-vpc-a", "ovn.transit_network=t2"}
		Expect(l.NetworkError(ctx, other.Args()...)).
			To(SatisfyAll(ContainSubstring("lr-vpc-a"), ContainSubstring("ls-transit-192.168.101.0-24"), ContainSubstring("ls-transit-192.168.102.0-24")))

		By("a container with the address of a router")
		taken, _, _ := strings.Cut(l.NBCtl(ctx, "--bare", "--columns=networks", "find", "Logical_Router_Port", `name="lr-vpc-a:ls-transit-192.168.101.0-24"`), "/")
		Expect(taken).To(HavePrefix("192.168.101."))
		run(ctx, place{name: "shared", network: "t1"}) // Docker itself never gives it
		Expect(l.AddressOf(ctx, "shared", "t1")).NotTo(Equal(taken))
		l.MustDocker(ctx, "rm", "-f", "shared")
		Expect(l.NetworkError(ctx, "run", "--rm", "--network", "t1", "--ip", taken, host.ImageDemo, "true")).To(ContainSubstring(taken))

		By("and nothing being left of what was refused")
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Changes(ctx, before)).To(BeEmpty()) })
		meet(ctx, places...)
		l.Agree(ctx)
	}, suite.Hang)
})
