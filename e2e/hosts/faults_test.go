package hosts_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("traffic between two hosts", Ordered, func() {
	traffic := lastingFlow()

	It("is not harmed while OVN central is away for a minute, and containers start meanwhile", func(ctx SpecContext) {
		hosts[0].MustDocker(ctx, "stop", "-t", "5", "ovn-central")
		time.Sleep(time.Minute)
		// Whenever a host's links change, as with a container, Open vSwitch's userspace datapath may lose a packet that goes by a
		// tunnel: it reads the host's routes anew (ovs-router). That is no matter of OVN central.
		traffic.unharmed(ctx)
		hosts[near()].Container(ctx, "meanwhile", "faults")
		hosts[0].MustDocker(ctx, "start", "ovn-central")
		traffic.begins(ctx)
		reaches(ctx, hosts[near()], "meanwhile", fixed(far()))
		traffic.unharmed(ctx)
		hosts[near()].MustDocker(ctx, "rm", "-f", "meanwhile")
	}, suite.Hang)

	It("is not harmed when that by which other hosts reach it is restarted, or removed", func(ctx SpecContext) {
		for _, how := range [][]string{{"restart", "-t", "0", "ovn-relay"}, {"rm", "-f", "ovn-relay"}} {
			hosts[0].MustDocker(ctx, how...)
			nb, _ := connections(hosts[far()])
			Eventually(func() (string, error) { return hosts[far()].TryCommand(ctx, "status") }).WithTimeout(time.Minute).WithPolling(time.Second).
				Should(MatchRegexp("northbound " + nb + " +ok"))
		}
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when plugins and ovn-controllers are restarted", func(ctx SpecContext) {
		for _, l := range hosts {
			l.RestartPlugin(ctx)
		}
		hosts[far()].MustDocker(ctx, "restart", "ovn-controller")
		hosts[near()].MustDocker(ctx, "restart", "ovn-controller")
		time.Sleep(3 * time.Second)
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when the host of OVN central loses its power", func(ctx SpecContext) {
		needsThree()
		Expect(hosts[0].PowerOff(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		Expect(hosts[0].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[near()], lasting(near()), fixed(0))
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is back soon after another host has lost its power", func(ctx SpecContext) {
		Expect(hosts[far()].PowerOff(ctx)).To(Succeed())
		time.Sleep(2 * time.Second)
		Expect(hosts[far()].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[near()], lasting(near()), fixed(far()))
		Expect(traffic.back(ctx)).To(BeNumerically(">", time.Second))
	}, suite.Hang)

	It("goes on elsewhere when a host is gone for good, with its address", func(ctx SpecContext) {
		traffic.Ends(ctx)
		Expect(hosts[far()].PowerOff(ctx)).To(Succeed())
		_, err := hosts[near()].Docker(ctx, "run", "--rm", "--network", "faults", "--ip", fixed(far()), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring(fixed(far()))), "a host that is silent loses its address")
		Expect(hosts[near()].CommandError(ctx, "forget", hosts[near()].Name())).To(ContainSubstring("is this host"))
		Expect(hosts[near()].CommandError(ctx, "forget", "nobody")).To(ContainSubstring(`nothing of a host "nobody"; it has: `))
		Expect(hosts[near()].Command(ctx, "forget", hosts[far()].Name())).To(And(ContainSubstring(fixed(far())), ContainSubstring("removed chassis")))
		hosts[near()].Container(ctx, "heir", "faults", "--ip", fixed(far()))
		reaches(ctx, hosts[0], lasting(0), fixed(far()))

		By("and when it comes back after all, as soon as the address is free")
		Expect(hosts[far()].Boot(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		reaches(ctx, hosts[0], lasting(0), fixed(far()))
		hosts[near()].MustDocker(ctx, "rm", "-f", "heir")
		lab.Soon(ctx, func(g Gomega) { // Docker starts it again when it could not be given its address
			_, _ = hosts[far()].Docker(ctx, "start", lasting(far()))
			_, err := hosts[0].Docker(ctx, "exec", lasting(0), "ping", "-c", "1", "-W", "1", fixed(far()))
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)

	It("is back soon after the underlay was away for half a minute", func(ctx SpecContext) {
		link := "eth0"
		if host.Emulated(hosts[far()].Host) {
			Skip("the way to a virtual machine is its underlay")
		}
		hosts[far()].Must(ctx, "ip", "link", "set", "dev", link, "down")
		time.Sleep(30 * time.Second)
		hosts[far()].Must(ctx, "ip", "link", "set", "dev", link, "up")
		reaches(ctx, hosts[near()], lasting(near()), fixed(far()))
		Expect(traffic.back(ctx)).To(BeNumerically(">", 5*time.Second))
	}, suite.Hang)

	It("is back soon after a restart of Open vSwitch", func(ctx SpecContext) {
		Expect(hosts[far()].StopOVS(ctx)).To(Succeed())
		Expect(hosts[far()].StartOVS(ctx)).To(Succeed())
		reaches(ctx, hosts[near()], lasting(near()), fixed(far()))
		traffic.back(ctx)
	}, suite.Hang)
})
