package churn_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// ready makes a network and has it used once, so that Docker's own gateway bridge is there before anything is compared.
func ready(ctx context.Context) lab.State {
	GinkgoHelper()
	l.Network(ctx, lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true})
	l.MustDocker(ctx, "run", "--rm", "--network", "n1", host.ImageDemo, "true")
	return l.State(ctx)
}

// atOnce runs docker n times side by side.
func atOnce(ctx context.Context, n int, args func(i int) []string) {
	GinkgoHelper()
	var work errgroup.Group
	for i := range n {
		work.Go(func() error {
			_, err := l.Docker(ctx, args(i)...)
			return err
		})
	}
	Expect(work.Wait()).To(Succeed())
}

var _ = Describe("a br-int made by hand, as the README's quick start says", Label("churn"), func() {
	It("is taken as it is, and works", func(ctx SpecContext) {
		l.Reset(ctx)
		l.Must(ctx, "ovs-vsctl", "add-br", "br-int")
		uuid := l.Must(ctx, "ovs-vsctl", "get", "Bridge", "br-int", "_uuid")
		l.Network(ctx, lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true})
		l.Container(ctx, "c1", "n1")
		l.Container(ctx, "c2", "n1")
		l.Ping(ctx, "c1", "c2")
		By("carrying TCP too, whichever datapath it is")
		Expect(l.Exec(ctx, "c1", "timeout", "10", "wget", "-q", "-O", "-", "http://c2/")).To(ContainSubstring("hello"))
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
		Expect(l.Must(ctx, "ovs-vsctl", "get", "Bridge", "br-int", "_uuid")).To(Equal(uuid), "the user's bridge stays")
	}, suite.Hang)
})

var _ = Describe("much at once", Label("churn"), func() {
	It("leaves nothing of 50 containers started and removed side by side", func(ctx SpecContext) {
		before := ready(ctx)
		name := func(i int) string { return fmt.Sprintf("x%d", i) }
		atOnce(ctx, 50, func(i int) []string {
			return []string{"run", "-d", "--name", name(i), "--network", "n1", host.ImageDemo}
		})
		Expect(l.OVSOwned(ctx)).To(HaveLen(50))
		Expect(l.LinksOwned(ctx)).To(HaveLen(50))
		l.Ping(ctx, "x0", "x49")
		l.Ping(ctx, "x49", "x25")
		atOnce(ctx, 50, func(i int) []string { return []string{"rm", "-f", name(i)} })
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Changes(ctx, before)).To(BeEmpty()) })
	}, suite.Hang)

	It("leaves no zombie of a health check that Docker ended midway", func(ctx SpecContext) {
		ready(ctx)
		for _, name := range []string{"ovn-central", "ovn-controller"} {
			// The shell dies first, and its child finds itself a child of pid 1.
			_, err := l.Docker(ctx, "exec", name, "sh", "-c", "sleep 0.2 & kill -KILL $$")
			Expect(err).To(HaveOccurred())
		}
		l.RemoveNetworks(ctx)
		time.Sleep(500 * time.Millisecond) // longer than the children live
		l.NothingLeft(ctx)
	}, suite.Hang)

	It("makes one switch of ten networks that name it at once, and removes it with the last", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "first", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true})
		name := func(i int) string { return fmt.Sprintf("n%d", i) }
		atOnce(ctx, 10, func(i int) []string {
			return lab.Net{Name: name(i), Subnet: fmt.Sprintf("10.50.%d.0/24", i), Switch: "ls-shared"}.Args()
		})
		shared := func() []string {
			GinkgoHelper()
			return strings.Fields(l.NBCtl(ctx, "--bare", "--columns=_uuid", "find", "Logical_Switch", "name=ls-shared"))
		}
		Expect(shared()).To(HaveLen(1))
		l.MustDocker(ctx, "network", "rm", name(0))
		Expect(shared()).To(HaveLen(1), "nine others still use it")
		atOnce(ctx, 9, func(i int) []string { return []string{"network", "rm", name(i + 1)} })
		lab.Soon(ctx, func(g Gomega) { g.Expect(shared()).To(BeEmpty()) })
	}, suite.Hang)

	It("leaves nothing of containers that fail to start, beside others that do not", func(ctx SpecContext) {
		before := ready(ctx)
		var work errgroup.Group
		for i := range 10 {
			command := []string{"true"}
			if i%2 == 0 {
				command = []string{"/no-such-command"}
			}
			work.Go(func() error {
				_, err := l.Docker(ctx, append([]string{"run", "--rm", "--network", "n1", host.ImageDemo}, command...)...)
				if (err != nil) != (len(command[0]) > 4) {
					return fmt.Errorf("running %q: %w", command, err)
				}
				return nil
			})
		}
		Expect(work.Wait()).To(Succeed())
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Changes(ctx, before)).To(BeEmpty()) })
	}, suite.Hang)
})
