package hosts_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("what hosts share OVN by", Ordered, func() {
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
		reaches(ctx, hosts[1], lasting(1), fixed(2))
		traffic = hosts[1].TrafficTo(ctx, lasting(1), fixed(2))
	}, suite.Hang)

	// Whatever was done, a container that comes then is on the network like any other.
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
	// answers waits until a host's plugin has answers of the databases, or none.
	answers := func(ctx context.Context, l *lab.Lab, state string) {
		GinkgoHelper()
		nb, _ := connections(l)
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(MatchRegexp("northbound " + nb + " +" + state)) })
	}

	It("is a file for nobody else", func(ctx SpecContext) {
		const file = "/root/h9.invitation"
		hosts[0].Command(ctx, "invite", "h9", file)
		Expect(hosts[0].Must(ctx, "stat", "-c", "%a", file)).To(Equal("600"))
		Expect(hosts[0].CommandError(ctx, "invite", "h9", file)).To(ContainSubstring("file exists"))
		hosts[0].Must(ctx, "rm", file)
		log, err := hosts[0].Run(ctx, "grep", "-c", "PRIVATE KEY", "/var/log/dockerd.log")
		Expect(log).To(HavePrefix("0"), "keys in the log (%v)", err)
		unharmed(ctx)
	}, suite.Hang)

	It("is found again by a plugin that has lost its records", func(ctx SpecContext) {
		data := hosts[1].DataDir(ctx)
		hosts[1].MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		hosts[1].Must(ctx, "rm", "-rf", data)
		hosts[1].MustDocker(ctx, "plugin", "enable", host.PluginName)
		answers(ctx, hosts[1], "ok")
		unharmed(ctx)
	}, suite.Hang)

	It("is made worthless by another authority, and made again", func(ctx SpecContext) {
		hosts[0].MustDocker(ctx, "exec", "ovn-central", "rm", "/var/lib/ovn/authority.json")
		hosts[0].RestartPlugin(ctx)
		answers(ctx, hosts[1], "does not answer")
		nb, sb := connections(hosts[1])
		lab.Soon(ctx, func(g Gomega) { // nobody listens while what does is made anew
			g.Expect(hosts[1].NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.9.0.0/24", Switch: "ls-wrong", NB: nb, SB: sb, Auto: true}.Args()...)).
				To(ContainSubstring("was signed by an authority that is not this host's"))
		})
		for i, l := range hosts[1:] {
			_, err := join(ctx, l, invite(ctx, fmt.Sprint("h", i+2)))
			Expect(err).NotTo(HaveOccurred())
			answers(ctx, l, "ok")
		}
		unharmed(ctx)
	}, suite.Hang)

	It("is taken back, and offered again to the same hosts", func(ctx SpecContext) {
		offered := ContainElement(hosts[0].Address() + ":6641")
		set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH=")
		lab.Soon(ctx, func(g Gomega) { g.Expect(listens(ctx, hosts[0])).NotTo(offered) })
		set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH="+hosts[0].Address())
		lab.Soon(ctx, func(g Gomega) { g.Expect(listens(ctx, hosts[0])).To(offered) })
		answers(ctx, hosts[1], "ok")
		unharmed(ctx)
	}, suite.Hang)
})
