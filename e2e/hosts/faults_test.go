package hosts_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// fixed is the address that the container of a host has for good.
func fixed(i int) string { return fmt.Sprint("10.2.0.", 51+i) }

// lasting is the container of a host that Docker starts again whatever happens.
func lasting(i int) string { return fmt.Sprint("f", i+1) }

var _ = Describe("traffic between two hosts", Ordered, func() {
	var traffic *lab.Traffic

	BeforeAll(func(ctx SpecContext) {
		share(ctx)
		for i, l := range hosts {
			network(ctx, l, "faults", "10.2.0.0/24")
			l.Container(ctx, lasting(i), "faults", "--ip", fixed(i), "--restart", "always")
			l.MustDocker(ctx, "run", "--rm", "--network", "faults", host.ImageDemo, "true") // from here on the host has addresses of its own
		}
	}, suite.Hang)

	BeforeEach(func(ctx SpecContext) {
		for i, l := range hosts {
			for j := range hosts {
				if i != j {
					reaches(ctx, l, lasting(i), fixed(j))
				}
			}
		}
		traffic = hosts[1].TrafficTo(ctx, lasting(1), fixed(2))
	}, suite.Hang)

	// Whatever happened, a container that comes then is on the network like any other.
	AfterEach(func(ctx SpecContext) {
		for i, l := range hosts {
			name := fmt.Sprint("late", i+1)
			l.Container(ctx, name, "faults")
			for j := range hosts {
				reaches(ctx, l, name, fixed(j))
			}
			l.MustDocker(ctx, "rm", "-f", name)
		}
	}, suite.Hang)

	AfterAll(func(ctx SpecContext) { clean(ctx) }, suite.Hang)

	unharmed := func(ctx context.Context) {
		GinkgoHelper()
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}
	// back returns how long nothing came through.
	back := func(ctx context.Context) time.Duration {
		GinkgoHelper()
		return traffic.Ends(ctx).Longest
	}

	It("is not harmed while OVN central is away for a minute, and containers start meanwhile", func(ctx SpecContext) {
		hosts[0].MustDocker(ctx, "stop", "-t", "5", "ovn-central")
		time.Sleep(time.Minute)
		// Whenever a host's links change, as with a container, Open vSwitch's userspace datapath may lose a packet that goes by a
		// tunnel: it reads the host's routes anew (ovs-router). That is no matter of OVN central.
		unharmed(ctx)
		hosts[1].Container(ctx, "meanwhile", "faults")
		hosts[0].MustDocker(ctx, "start", "ovn-central")
		traffic = hosts[1].TrafficTo(ctx, lasting(1), fixed(2))
		reaches(ctx, hosts[1], "meanwhile", fixed(2))
		unharmed(ctx)
		hosts[1].MustDocker(ctx, "rm", "-f", "meanwhile")
	}, suite.Hang)

	It("is not harmed when that by which other hosts reach it is restarted, or removed", func(ctx SpecContext) {
		for _, how := range [][]string{{"restart", "-t", "0", "ovn-relay"}, {"rm", "-f", "ovn-relay"}} {
			hosts[0].MustDocker(ctx, how...)
			nb, _ := connections(hosts[1])
			Eventually(func() (string, error) { return hosts[1].TryCommand(ctx, "status") }).WithTimeout(time.Minute).WithPolling(time.Second).
				Should(MatchRegexp("northbound " + nb + " +ok"))
		}
		unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when plugins and ovn-controllers are restarted", func(ctx SpecContext) {
		for _, l := range hosts {
			l.RestartPlugin(ctx)
		}
		hosts[2].MustDocker(ctx, "restart", "ovn-controller")
		hosts[1].MustDocker(ctx, "restart", "ovn-controller")
		time.Sleep(3 * time.Second)
		unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when the host of OVN central loses its power", func(ctx SpecContext) {
		Expect(hosts[0].PowerOff(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		Expect(hosts[0].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(0))
		unharmed(ctx)
	}, suite.Hang)

	It("is back soon after another host has lost its power", func(ctx SpecContext) {
		Expect(hosts[2].PowerOff(ctx)).To(Succeed())
		time.Sleep(2 * time.Second)
		Expect(hosts[2].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		Expect(back(ctx)).To(BeNumerically(">", time.Second))
	}, suite.Hang)

	It("goes on elsewhere when a host is gone for good, with its address", func(ctx SpecContext) {
		traffic.Ends(ctx)
		Expect(hosts[2].PowerOff(ctx)).To(Succeed())
		_, err := hosts[1].Docker(ctx, "run", "--rm", "--network", "faults", "--ip", fixed(2), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring(fixed(2))), "a host that is silent loses its address")
		Expect(hosts[1].CommandError(ctx, "forget", "h2")).To(ContainSubstring("is this host"))
		Expect(hosts[1].CommandError(ctx, "forget", "nobody")).To(ContainSubstring(`nothing of a host "nobody"; it has: `))
		Expect(hosts[1].Command(ctx, "forget", "h3")).To(And(ContainSubstring(fixed(2)), ContainSubstring("removed chassis")))
		hosts[1].Container(ctx, "heir", "faults", "--ip", fixed(2))
		reaches(ctx, hosts[0], lasting(0), fixed(2))

		By("and when it comes back after all, as soon as the address is free")
		Expect(hosts[2].Boot(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		reaches(ctx, hosts[0], lasting(0), fixed(2))
		hosts[1].MustDocker(ctx, "rm", "-f", "heir")
		lab.Soon(ctx, func(g Gomega) { // Docker starts it again when it could not be given its address
			_, _ = hosts[2].Docker(ctx, "start", lasting(2))
			_, err := hosts[0].Docker(ctx, "exec", lasting(0), "ping", "-c", "1", "-W", "1", fixed(2))
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)

	It("is back soon after the underlay was away for half a minute", func(ctx SpecContext) {
		link := "eth0"
		if host.Emulated(hosts[2].Host) {
			Skip("the way to a virtual machine is its underlay")
		}
		hosts[2].Must(ctx, "ip", "link", "set", "dev", link, "down")
		time.Sleep(30 * time.Second)
		hosts[2].Must(ctx, "ip", "link", "set", "dev", link, "up")
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		Expect(back(ctx)).To(BeNumerically(">", 5*time.Second))
	}, suite.Hang)

	It("is back soon after a restart of Open vSwitch", func(ctx SpecContext) {
		Expect(hosts[2].StopOVS(ctx)).To(Succeed())
		Expect(hosts[2].StartOVS(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		back(ctx)
	}, suite.Hang)
})
