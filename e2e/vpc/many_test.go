package vpc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const (
	manyVPCs = 100
	compared = 10 // at the beginning and at the end
	sampled  = 6
)

var _ = It("attaches the hundredth VPC to a transit network as fast as the first ones", Label("vpc"), suite.Alone, func(ctx SpecContext) {
	const net = "transit-net"
	l.Network(ctx, transit(net, "192.168.100.0/24"))
	var names []string
	var took, plain []time.Duration
	timed := func(n lab.Net) time.Duration {
		start := time.Now()
		l.Network(ctx, n)
		return time.Since(start)
	}
	// Networks without a router show, for the report, dockerd's own growth: before and after, since ovn-northd would still be at
	// work on their removal while the next VPC is made.
	plainly := func() {
		for range compared {
			plain = append(plain, timed(lab.Net{Name: "plain", Subnet: "10.200.0.0/24", Switch: "ls-plain"}))
			l.MustDocker(ctx, "network", "rm", "plain")
		}
	}
	plainly()
	for i := range manyVPCs {
		n := vpc(fmt.Sprintf("v%d", i), fmt.Sprintf("10.100.%d.0/24", i), net)
		took = append(took, timed(n))
		names = append(names, n.Name)
	}
	plainly()
	first, last := suite.Median(took[:compared]), suite.Median(took[manyVPCs-compared:])
	before, after := suite.Median(plain[:compared]), suite.Median(plain[compared:])
	text := fmt.Sprintf("docker network create, median of the first %d: %v, of the last %d of %d: %v; without a router: %v, %v",
		compared, first.Round(time.Millisecond), compared, manyVPCs, last.Round(time.Millisecond), before.Round(time.Millisecond), after.Round(time.Millisecond))
	AddReportEntry(text)
	fmt.Fprintln(GinkgoWriter, text, took)
	l.Agree(ctx)
	Expect(l.Command(ctx, "status")).NotTo(ContainSubstring("waits for"))

	By("any two reaching each other")
	chance := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))
	var places []place
	for _, i := range chance.Perm(manyVPCs)[:sampled] {
		places = append(places, in(fmt.Sprintf("v%d", i), net))
	}
	run(ctx, places...)
	meet(ctx, places...)

	By("all being removed side by side, the transit network among them")
	l.RemoveContainers(ctx)
	names = slices.Insert(names, manyVPCs/2, net)
	start := time.Now()
	var work errgroup.Group
	for some := range slices.Chunk(names, (len(names)+3)/4) {
		work.Go(func() error {
			_, err := l.Docker(ctx, append([]string{"network", "rm"}, some...)...)
			return err
		})
	}
	Expect(work.Wait()).To(Succeed())
	gone := fmt.Sprintf("docker network rm of %d networks, four side by side: %v", len(names), time.Since(start).Round(time.Millisecond))
	AddReportEntry(gone)
	GinkgoWriter.Println(gone)
	l.NothingLeft(ctx)
	Expect(rows(ctx)).To(BeEmpty())

	// Last, so that a slow machine does not hide a wrong result.
	Expect(float64(last)/float64(first)).To(BeNumerically("<=", 1.5), text)
}, suite.Hang)
