package hosts_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("traffic between two hosts", Ordered, func() {
	traffic := joined.LastingFlow(&hosts)

	It("is not harmed while OVN central is away for a minute, and containers start meanwhile", func(ctx SpecContext) {
		hosts[0].MustDocker(ctx, "stop", "-t", "5", "ovn-central")
		time.Sleep(time.Minute)
		// Whenever a host's links change, as with a container, Open vSwitch's userspace datapath may lose a packet that goes by a
		// tunnel: it reads the host's routes anew (ovs-router). That is no matter of OVN central.
		traffic.Unharmed(ctx)
		hosts[hosts.Near()].Container(ctx, "meanwhile", "faults")
		hosts[0].MustDocker(ctx, "start", "ovn-central")
		traffic.Begins(ctx)
		joined.Reaches(ctx, hosts[hosts.Near()], "meanwhile", joined.Fixed(hosts.Far()))
		traffic.Unharmed(ctx)
		hosts[hosts.Near()].MustDocker(ctx, "rm", "-f", "meanwhile")
	}, suite.Hang)

	It("is not harmed when that by which other hosts reach it is restarted, or removed", func(ctx SpecContext) {
		for _, how := range [][]string{{"restart", "-t", "0", "ovn-relay"}, {"rm", "-f", "ovn-relay"}} {
			hosts[0].MustDocker(ctx, how...)
			nb, _ := hosts.Connections(hosts[hosts.Far()])
			Eventually(func() (string, error) { return hosts[hosts.Far()].TryCommand(ctx, "status") }).WithTimeout(time.Minute).WithPolling(time.Second).
				Should(MatchRegexp("northbound " + nb + " +ok"))
		}
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when plugins and ovn-controllers are restarted", func(ctx SpecContext) {
		for _, l := range hosts {
			l.RestartPlugin(ctx)
		}
		hosts[hosts.Far()].MustDocker(ctx, "restart", "ovn-controller")
		hosts[hosts.Near()].MustDocker(ctx, "restart", "ovn-controller")
		time.Sleep(3 * time.Second)
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is not harmed when the host of OVN central loses its power", func(ctx SpecContext) {
		hosts.NeedThree()
		Expect(hosts[0].PowerOff(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		Expect(hosts[0].Boot(ctx)).To(Succeed())
		joined.Reaches(ctx, hosts[hosts.Near()], joined.Lasting(hosts.Near()), joined.Fixed(0))
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is back soon after another host has lost its power", func(ctx SpecContext) {
		Expect(hosts[hosts.Far()].PowerOff(ctx)).To(Succeed())
		time.Sleep(2 * time.Second)
		Expect(hosts[hosts.Far()].Boot(ctx)).To(Succeed())
		joined.Reaches(ctx, hosts[hosts.Near()], joined.Lasting(hosts.Near()), joined.Fixed(hosts.Far()))
		Expect(traffic.Back(ctx)).To(BeNumerically(">", time.Second))
	}, suite.Hang)

	It("goes on elsewhere when a host is gone for good, with its address", func(ctx SpecContext) {
		traffic.Ends(ctx)
		Expect(hosts[hosts.Far()].PowerOff(ctx)).To(Succeed())
		_, err := hosts[hosts.Near()].Docker(ctx, "run", "--rm", "--network", "faults", "--ip", joined.Fixed(hosts.Far()), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring(joined.Fixed(hosts.Far()))), "a host that is silent loses its address")
		Expect(hosts[hosts.Near()].CommandError(ctx, "forget", hosts[hosts.Near()].Name())).To(ContainSubstring("is this host"))
		Expect(hosts[hosts.Near()].CommandError(ctx, "forget", "nobody")).To(ContainSubstring(`nothing of a host "nobody"; it has: `))
		Expect(hosts[hosts.Near()].Command(ctx, "forget", hosts[hosts.Far()].Name())).To(And(ContainSubstring(joined.Fixed(hosts.Far())), ContainSubstring("removed chassis")))
		hosts[hosts.Near()].Container(ctx, "heir", "faults", "--ip", joined.Fixed(hosts.Far()))
		joined.Reaches(ctx, hosts[0], joined.Lasting(0), joined.Fixed(hosts.Far()))

		By("and when it comes back after all, as soon as the address is free")
		Expect(hosts[hosts.Far()].Boot(ctx)).To(Succeed())
		time.Sleep(5 * time.Second)
		joined.Reaches(ctx, hosts[0], joined.Lasting(0), joined.Fixed(hosts.Far()))
		hosts[hosts.Near()].MustDocker(ctx, "rm", "-f", "heir")
		lab.Soon(ctx, func(g Gomega) { // Docker starts it again when it could not be given its address
			_, _ = hosts[hosts.Far()].Docker(ctx, "start", joined.Lasting(hosts.Far()))
			_, err := hosts[0].Docker(ctx, "exec", joined.Lasting(0), "ping", "-c", "1", "-W", "1", joined.Fixed(hosts.Far()))
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)

	It("is back soon after the underlay was away for half a minute", func(ctx SpecContext) {
		link := "eth0"
		if host.Emulated(hosts[hosts.Far()].Host) {
			Skip("the way to a virtual machine is its underlay")
		}
		hosts[hosts.Far()].Must(ctx, "ip", "link", "set", "dev", link, "down")
		time.Sleep(30 * time.Second)
		hosts[hosts.Far()].Must(ctx, "ip", "link", "set", "dev", link, "up")
		joined.Reaches(ctx, hosts[hosts.Near()], joined.Lasting(hosts.Near()), joined.Fixed(hosts.Far()))
		Expect(traffic.Back(ctx)).To(BeNumerically(">", 5*time.Second))
	}, suite.Hang)

	It("is back soon after a restart of Open vSwitch", func(ctx SpecContext) {
		Expect(hosts[hosts.Far()].StopOVS(ctx)).To(Succeed())
		Expect(hosts[hosts.Far()].StartOVS(ctx)).To(Succeed())
		joined.Reaches(ctx, hosts[hosts.Near()], joined.Lasting(hosts.Near()), joined.Fixed(hosts.Far()))
		traffic.Back(ctx)
	}, suite.Hang)
})
