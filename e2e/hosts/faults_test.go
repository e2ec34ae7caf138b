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
		hosts[1].Container(ctx, "meanwhile", "faults")
		hosts[0].MustDocker(ctx, "start", "ovn-central")
		traffic.begins(ctx)
		reaches(ctx, hosts[1], "meanwhile", fixed(2))
		traffic.unharmed(ctx)
		hosts[1].MustDocker(ctx, "rm", "-f", "meanwhile")
	}, suite.Hang)

	It("is not harmed when that by which other hosts reach it is restarted, or removed", func(ctx SpecContext) {
		for _, how := range [][]string{{"restart", "-t", "0", "ovn-relay"}, {"rm", "-f", "ovn-relay"}} {
			hosts[0].MustDocker(ctx, how...)
			nb, _ := connections(hosts[1])
			Eventually(func() (string, error) { return hosts[1].TryCommand(ctx, "status") }).WithTimeout(time.Minute).WithPolling(time.Second).
				Should(MatchRegexp("northbound " + nb + " +ok"))
		}
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when plugins and ovn-controllers are restarted", func(ctx SpecContext) {
		for _, l := range hosts {
			l.RestartPlugin(ctx)
		}
		hosts[2].MustDocker(ctx, "restart", "ovn-controller")
		hosts[1].MustDocker(ctx, "restart", "ovn-controller")
		time.Sleep(3 * time.Second)
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when the host of OVN central loses its power", func(ctx SpecContext) {
		Expect(hosts[0].PowerOff(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		Expect(hosts[0].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(0))
		traffic.unharmed(ctx)
	}, suite.Hang)

	It("is back soon after another host has lost its power", func(ctx SpecContext) {
		Expect(hosts[2].PowerOff(ctx)).To(Succeed())
		time.Sleep(2 * time.Second)
		Expect(hosts[2].Boot(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		Expect(traffic.back(ctx)).To(BeNumerically(">", time.Second))
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
		Expect(traffic.back(ctx)).To(BeNumerically(">", 5*time.Second))
	}, suite.Hang)

	It("is back soon after a restart of Open vSwitch", func(ctx SpecContext) {
		Expect(hosts[2].StopOVS(ctx)).To(Succeed())
		Expect(hosts[2].StartOVS(ctx)).To(Succeed())
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		traffic.back(ctx)
	}, suite.Hang)
})
