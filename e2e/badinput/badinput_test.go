package badinput_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// create are the arguments of docker network create with these options and no others.
func create(options ...string) []string {
	args := []string{"network", "create", "--driver", host.PluginName, "--subnet", "10.9.0.0/24"}
	for _, o := range options {
		args = append(args, "--opt", o)
	}
	return append(args, "wrong")
}

const (
	nb = "ovn.nb_connection=" + lab.NB
	sb = "ovn.sb_connection=" + lab.SB
)

// with are right options and more.
func with(options ...string) []string {
	return create(append([]string{"ovn.switch=ls-wrong", nb, sb}, options...)...)
}

// named is a right network but for the switch's name.
func named(name string) []string { return create("ovn.switch="+name, nb, sb) }

// What the README promises word for word. Docker puts its own words in front.
const (
	needsSwitch     = "ovn.switch is required - this plugin requires OVN configuration"
	needsConnection = "ovn.nb_connection and ovn.sb_connection are required when using ovn.switch"
)

var _ = Describe("an unreachable OVN central", Label("badinput"), func() {
	It("is named, with what would help", func(ctx SpecContext) {
		l.Reset(ctx)
		before := l.State(ctx)
		start := time.Now()
		Expect(l.NetworkError(ctx, with()...)).To(HaveSuffix("OVN central not reachable at " + lab.NB + " and auto-create not enabled"))
		Expect(time.Since(start)).To(BeNumerically("<", 25*time.Second), "Docker itself gives up after 30 s, with a text of its own")
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	}, suite.Hang)
})

// A network and a container are there all the time: what is wrong must not touch what is right.
var _ = Describe("bad input", Ordered, Label("badinput"), func() {
	BeforeAll(func(ctx SpecContext) {
		l.Reset(ctx)
		l.Network(ctx, lab.Net{Name: "right", Subnet: "10.8.0.0/24", Switch: "ls-right", Auto: true, Options: []string{"tenant_id=tenant-1"}})
		l.Container(ctx, "c1", "right")
		l.Container(ctx, "c2", "right")
		l.Ping(ctx, "c1", "c2")
	}, suite.Hang)
	AfterAll(func(ctx SpecContext) { l.Clean(ctx) }, suite.Hang)

	DescribeTable("is refused with the README's words", func(spec SpecContext, args []string, text string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		before := l.State(ctx)
		Expect(l.NetworkError(ctx, args...)).To(HaveSuffix(text))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	},
		Entry("no option at all", create(), needsSwitch),
		Entry("no switch", create(nb, sb), needsSwitch),
		Entry("no connections", create("ovn.switch=ls-wrong"), needsConnection),
		Entry("no sb_connection", create("ovn.switch=ls-wrong", nb), needsConnection),
		Entry("no nb_connection", create("ovn.switch=ls-wrong", sb), needsConnection),
		Entry("nobody at nb_connection", create("ovn.switch=ls-wrong", "ovn.nb_connection=tcp:127.0.0.1:1", sb),
			"OVN central not reachable at tcp:127.0.0.1:1 and auto-create not enabled"),
	)

	DescribeTable("is refused and named", func(spec SpecContext, args []string, texts ...string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		before := l.State(ctx)
		message := l.NetworkError(ctx, args...)
		for _, text := range texts {
			Expect(message).To(ContainSubstring(text))
		}
		Expect(len(message)).To(BeNumerically("<", 1000))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	},
		Entry("a switch that looks like a flag", named("-x"), "ovn.switch", `"-x"`),
		Entry("a switch of two words", named("a b"), "ovn.switch", `"a b"`),
		Entry("a switch that is a quote", named(`"`), "ovn.switch"),
		Entry("a switch of 300 characters", named(strings.Repeat("s", 300)), "ovn.switch", "too long"),
		Entry("a switch with a comma", named("a,b"), "ovn.switch"),
		Entry("a VLAN above the last", with("vlan=4096"), "vlan", "4096", "1 to 4094"),
		Entry("a VLAN that is a word", with("vlan=blue"), "vlan", "blue"),
		Entry("an MTU below IPv4's least", with("mtu=10"), "mtu", `"10"`),
		Entry("Docker's name for it", with("com.docker.network.driver.mtu=10"), `"10"`),
		Entry("an option with a typing mistake", create("ovn.swich=ls-wrong", nb, sb), `"ovn.swich"`, `"ovn.switch"`),
		Entry("an option that nobody knows", with("colour=blue"), `"colour"`),
		Entry("a connection without a scheme", create("ovn.switch=ls-wrong", "ovn.nb_connection=172.30.0.5:6641", sb), "ovn.nb_connection", "tcp:HOST:PORT"),
		Entry("a connection without a port", create("ovn.switch=ls-wrong", "ovn.nb_connection=tcp:172.30.0.5", sb), "ovn.nb_connection", "tcp:HOST:PORT"),
		Entry("a bridge with a long name", with("bridge=br-integration-1"), "bridge", "15 characters"),
		Entry("a tenant with a quote", with(`tenant_id="x"`), "tenant_id"),
		Entry("auto_create that is neither", with("ovn.auto_create=perhaps"), "ovn.auto_create", "perhaps"),
		Entry("an encapsulation that OVN lacks", with("ovn.encap=gre"), "ovn.encap", "gre"),
		Entry("an encapsulation address with a prefix", with("ovn.encap_ip=192.0.2.1/24"), "ovn.encap_ip"),
		Entry("an OVN central elsewhere that does not answer and cannot be made", create("ovn.switch=ls-wrong",
			"ovn.nb_connection=tcp:192.0.2.5:6641", "ovn.sb_connection=tcp:192.0.2.5:6642", "ovn.auto_create=true"), "192.0.2.5"),
		Entry("another bridge than the chassis uses", with("bridge=br-other"), "br-other", "br-int"),
		Entry("another southbound database than the chassis uses",
			create("ovn.switch=ls-wrong", nb, "ovn.sb_connection=tcp:192.0.2.5:6642"), "192.0.2.5"),
		Entry("a role that nobody plays", create("ovn.role=transitt", nb, sb), "ovn.role", "transitt", "transit"),
		Entry("an external gateway elsewhere", create("ovn.role=transit", "ovn.external_gateway=192.0.2.1", nb, sb), "192.0.2.1", "in no subnet"),
		Entry("a transit network without a router", with("ovn.transit_network=somewhere"), "ovn.transit_network", "ovn.router"),
		Entry("a switch of another tenant", create("ovn.switch=ls-right", nb, sb, "tenant_id=tenant-2"), "ls-right", "tenant-2"),
	)

	It("is refused where it takes certificates that the host does not have", func(ctx SpecContext) {
		before := l.State(ctx)
		Expect(l.NetworkError(ctx, create("ovn.switch=ls-wrong", "ovn.nb_connection=ssl:172.30.0.5:6641", "ovn.sb_connection=ssl:172.30.0.5:6642")...)).
			To(SatisfyAll(ContainSubstring(`ovn.nb_connection "ssl:172.30.0.5:6641"`), ContainSubstring("have it join that OVN")))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	}, suite.Hang)

	DescribeTable("on the command line is refused", func(spec SpecContext, flags []string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		n := lab.Net{Name: "wrong", Switch: "ls-wrong", Flags: flags}
		before := l.State(ctx)
		l.NetworkError(ctx, n.Args()...)
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	},
		Entry("a subnet that another network has", []string{"--subnet", "10.8.0.0/24"}),
		Entry("the subnet of transit-overlay", []string{"--subnet", "172.30.0.0/24"}),
		Entry("a driver option without the tag is another driver", []string{"--driver", "ovs-container-network", "--subnet", "10.9.0.0/24"}),
	)

	It("in a container's start leaves nothing", func(ctx SpecContext) {
		before := l.State(ctx)
		_, err := l.Docker(ctx, "run", "--rm", "--network", "right", host.ImageDemo, "/no-such-command")
		Expect(err).To(HaveOccurred())
		_, err = l.Docker(ctx, "run", "--rm", "--network", "right", "--ip", "10.99.99.99", host.ImageDemo, "true")
		Expect(err).To(HaveOccurred())
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Changes(ctx, before)).To(BeEmpty()) })
	}, suite.Hang)

	It("has harmed nobody", func(ctx SpecContext) {
		l.Ping(ctx, "c1", "c2")
		l.Container(ctx, "c3", "right")
		l.Ping(ctx, "c3", "c1")
	}, suite.Hang)
})
