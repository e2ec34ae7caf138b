package wayout_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("a network with a router", Label("wayout"), func() {
	It("reaches the world as the host does", func(ctx SpecContext) {
		l.Network(ctx, routed("a", "10.0.0.0/24"))
		l.Container(ctx, "a1", "a")
		l.Ping(ctx, "a1", outside.Address())
		Expect(fetch(ctx, "a1", "http://"+outside.Address()+":9000/")).To(Equal("a page outside"))
		Expect(caller(ctx)).To(Equal(l.Address()), "the container's own address is nobody else's business")
		By("carrying 10 MB intact")
		l.Exec(ctx, "a1", "timeout", "30", "wget", "-q", "-O", "/tmp/blob", "http://"+outside.Address()+":9000/blob")
		sum, _, _ := strings.Cut(outside.Must(ctx, "sha256sum", "/var/tmp/www/blob"), " ")
		Expect(l.Exec(ctx, "a1", "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
		By("with one link in the container, and no other network of Docker's")
		Expect(l.Exec(ctx, "a1", "ls", "/sys/class/net")).NotTo(ContainSubstring("eth1"))
		l.Agree(ctx)
	}, suite.Hang)

	It("publishes ports to whoever Docker's bridge does", func(ctx SpecContext) {
		l.Network(ctx, routed("a", "10.0.0.0/24"))
		l.Network(ctx, routed("b", "10.1.0.0/24"))
		l.Container(ctx, "a1", "a", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "80/udp")
		l.Container(ctx, "b1", "b")
		reaches(ctx, "a1")
		By("to a container of another network, and to the container itself")
		for _, from := range []string{"b1", "a1"} {
			Expect(fetch(ctx, from, "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))
		}
		By("at one address of the host only")
		Expect(curl(ctx, l, "http://127.0.0.1:8081/")).To(ContainSubstring("hello"))
		_, err := outside.Run(ctx, "curl", "-sf", "--max-time", "2", "http://"+l.Address()+":8081/")
		Expect(err).To(HaveOccurred())
		By("not twice, and who has it is said")
		out, err := l.Docker(ctx, "run", "-d", "--name", "a2", "--network", "b", "-p", "8080:80", host.ImageDemo)
		Expect(err).To(MatchError(ContainSubstring("8080")), out)
		l.MustDocker(ctx, "rm", "-f", "a2")
		By("while the container is connected to another network, too")
		l.MustDocker(ctx, "network", "connect", "b", "a1")
		reaches(ctx, "a1")
		l.MustDocker(ctx, "network", "disconnect", "b", "a1")
		reaches(ctx, "a1")
		By("until the container stops")
		l.MustDocker(ctx, "stop", "-t", "0", "a1")
		_, err = outside.Run(ctx, "curl", "-sf", "--max-time", "2", "http://"+l.Address()+":8080/")
		Expect(err).To(HaveOccurred())
		l.MustDocker(ctx, "start", "a1")
		reaches(ctx, "a1")
		l.Agree(ctx)
	}, suite.Hang)

	It("keeps its containers' addresses outside when it is told so", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{
			Name: "transit-net", Subnet: "192.168.100.0/24", Gateway: "192.168.100.1", Switch: "ls-transit",
			Options: []string{"ovn.role=transit", "ovn.external_gateway=192.168.100.1", "ovn.nat=none"},
		})
		vpc := routed("vpc", "10.1.0.0/24")
		vpc.Options = append(vpc.Options, "ovn.transit_network=transit-net")
		l.Network(ctx, vpc)
		own := routed("own", "10.0.0.0/24")
		own.Options = append(own.Options, "ovn.nat=none")
		l.Network(ctx, own)
		outside.Must(ctx, "ip", "route", "add", "10.0.0.0/15", "via", l.Address())
		DeferCleanup(func(ctx SpecContext) { outside.Must(ctx, "ip", "route", "delete", "10.0.0.0/15") })
		l.Container(ctx, "v1", "vpc")
		l.Container(ctx, "o1", "own", "-p", "8080:80")
		reaches(ctx, "o1")
		Expect(caller(ctx)).To(Equal(l.AddressOf(ctx, "o1", "own")))
		Expect(fetch(ctx, "v1", "http://"+outside.Address()+":9000/")).To(Equal("a page outside"))
		Expect(caller(ctx)).To(Equal(l.AddressOf(ctx, "v1", "vpc")))
		By("where nobody gets in by them")
		_, err := outside.Run(ctx, "curl", "-sf", "--max-time", "2", "http://"+l.AddressOf(ctx, "o1", "own")+"/")
		Expect(err).To(HaveOccurred())
		l.Agree(ctx)
	}, suite.Hang)

	It("translates what its containers send, whatever others with their addresses have sent", func(ctx SpecContext) {
		n := routed("own", "10.0.0.0/24")
		for _, nat := range []string{"none", "host", "none"} {
			n.Options = []string{"ovn.router=lr-own", "ovn.nat=" + nat}
			l.Network(ctx, n)
			l.Container(ctx, "o1", "own")
			// Pings of one process number are one connection to the kernel.
			for range 5 {
				if nat == "host" {
					l.Ping(ctx, "o1", outside.Address())
				} else {
					unreachable(ctx, "o1", outside.Address())
				}
			}
			l.Clean(ctx)
		}
	}, suite.Hang)

	It("has no way out and none in when it is internal, and keeps its neighbours", func(ctx SpecContext) {
		l.Network(ctx, routed("open", "10.0.0.0/24"))
		inside := routed("inside", "10.1.0.0/24", "--internal")
		inside.Options = []string{"ovn.router=lr-open", "tenant_id=open"}
		l.Network(ctx, inside)
		l.Container(ctx, "o1", "open")
		l.Container(ctx, "i1", "inside", "-p", "8080:80")
		l.Ping(ctx, "i1", l.AddressOf(ctx, "o1", "open"))
		l.Ping(ctx, "o1", outside.Address())
		unreachable(ctx, "i1", outside.Address())
		unreachable(ctx, "i1", l.Address())
		_, err := l.Run(ctx, "curl", "-sf", "--max-time", "2", "http://"+l.Address()+":8080/")
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("reaches nothing by way of the host that is not its own", func(ctx SpecContext) {
		l.Network(ctx, routed("a", "10.0.0.0/24"))
		l.Network(ctx, routed("b", "10.1.0.0/24"))
		l.MustDocker(ctx, "network", "create", "--subnet", "10.7.0.0/24", "bridged")
		l.Container(ctx, "plain", "bridged")
		l.Container(ctx, "a1", "a")
		l.Container(ctx, "b1", "b")
		l.Ping(ctx, "a1", outside.Address())
		By("another tenant, by its own address or by its router's on the join switch")
		unreachable(ctx, "a1", l.AddressOf(ctx, "b1", "b"))
		joined, _, _ := strings.Cut(l.NBCtl(ctx, "--bare", "--columns=networks", "find", "Logical_Router_Port", `name="lr-b:ls-join"`), "/")
		Expect(joined).To(HavePrefix("100.64."))
		unreachable(ctx, "a1", joined)
		By("containers of Docker's own bridges")
		unreachable(ctx, "a1", l.AddressOf(ctx, "plain", "bridged"))
		By("OVN central")
		_, err := l.Docker(ctx, "exec", "a1", "timeout", "3", "nc", "172.30.0.5", "6641")
		Expect(err).To(HaveOccurred())
		By("and who is outside does not reach it")
		l.MustDocker(ctx, "rm", "-f", "plain")
		l.MustDocker(ctx, "network", "rm", "bridged")
		outside.Must(ctx, "ip", "route", "add", "10.0.0.0/24", "via", l.Address())
		DeferCleanup(func(ctx SpecContext) { outside.Must(ctx, "ip", "route", "del", "10.0.0.0/24") }, suite.Hang)
		_, err = outside.Run(ctx, "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "a1", "a"))
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("is not made over a network that the host has a route to", func(ctx SpecContext) {
		l.Must(ctx, "ip", "link", "add", "lan0", "type", "bridge")
		DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "ip", "link", "del", "lan0") }, suite.Hang)
		l.Must(ctx, "ip", "address", "add", "10.0.0.1/20", "dev", "lan0")
		l.Must(ctx, "ip", "link", "set", "lan0", "up")
		Expect(l.NetworkError(ctx, routed("a", "10.0.0.0/24").Args()...)).To(SatisfyAll(ContainSubstring("10.0.0.0/20"), ContainSubstring("lan0")))
		Expect(l.NetworkError(ctx, routed("a", "100.64.9.0/24").Args()...)).To(ContainSubstring("100.64.0.0/16"))
	}, suite.Hang)
})

var _ = Describe("the way out and in", Ordered, ContinueOnFailure, Label("wayout"), func() {
	BeforeAll(func(ctx SpecContext) {
		l.Network(ctx, routed("a", "10.0.0.0/24"))
		l.Container(ctx, "a1", "a", "-p", "8080:80", "--restart", "always")
		reaches(ctx, "a1")
	}, suite.Hang)

	AfterEach(func(ctx SpecContext) {
		reaches(ctx, "a1")
		l.Agree(ctx)
	}, suite.Hang)

	It("stands while the plugin is restarted", func(ctx SpecContext) { l.RestartPlugin(ctx) }, suite.Hang)

	It("is there again after a loss of the data directory", func(ctx SpecContext) {
		data := l.DataDir(ctx)
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Must(ctx, "rm", "-rf", data)
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(ContainSubstring(":8080->80/tcp")) })
		l.Command(ctx, "reconcile")
		By("as the endpoint's own: nobody else gets it, and it goes with the container")
		out, err := l.Docker(ctx, "run", "-d", "--name", "a2", "--network", "a", "-p", "8080:80", host.ImageDemo)
		Expect(err).To(MatchError(ContainSubstring("8080")), out)
		l.MustDocker(ctx, "rm", "-f", "a2")
	}, suite.Hang)

	It("is there again after a restart of Docker", func(ctx SpecContext) { Expect(l.RestartDocker(ctx)).To(Succeed()) }, suite.Hang)

	It("is there again after a restart of Open vSwitch", func(ctx SpecContext) {
		Expect(l.StopOVS(ctx)).To(Succeed())
		Expect(l.StartOVS(ctx)).To(Succeed())
	}, suite.Hang)

	DescribeTable("is restored by a reconciliation when somebody", func(ctx SpecContext, commands ...[]string) {
		for _, c := range commands {
			l.Must(ctx, c...)
		}
		l.Command(ctx, "reconcile")
	},
		Entry("emptied its chains", suite.Hang, []string{"iptables", "-F", "OCN-FORWARD"}, []string{"iptables", "-t", "nat", "-F", "OCN-PUBLISH"}, []string{"iptables", "-t", "nat", "-F", "OCN-SOURCE"}),
		Entry("took the hooks away", suite.Hang, []string{"iptables", "-D", "DOCKER-USER", "-j", "OCN-FORWARD"}, []string{"iptables", "-t", "nat", "-D", "POSTROUTING", "-j", "OCN-SOURCE"}),
		Entry("deleted the interface", suite.Hang, []string{"ovs-vsctl", "del-port", "ovn-host0"}),
		Entry("deleted the routes", suite.Hang, []string{"ip", "route", "del", "10.0.0.0/24"}),
	)

	It("is restored when the join switch is deleted", func(ctx SpecContext) {
		l.NBCtl(ctx, "ls-del", "ls-join")
		l.Command(ctx, "reconcile")
	}, suite.Hang)

	It("is restored when the packet filter is flushed, and what leads to Docker's chains with it", func(ctx SpecContext) {
		l.Must(ctx, "iptables", "-F")
		l.Command(ctx, "reconcile")
	}, suite.Hang)

	It("is put back by the plugin after a reload of the firewall", func(ctx SpecContext) {
		for _, table := range []string{"raw", "filter", "nat"} {
			l.Must(ctx, "iptables", "-t", table, "-F")
		}
		Eventually(func() string { return l.Must(ctx, "iptables", "-t", "nat", "-S", "OCN-PUBLISH") }).WithContext(ctx).
			WithTimeout(50 * time.Second).WithPolling(time.Second).Should(ContainSubstring("8080"))
		reaches(ctx, "a1")
		By("and stands before the rules of Docker's users once there are such again")
		Expect(l.RestartDocker(ctx)).To(Succeed())
		l.Command(ctx, "reconcile")
		Expect(l.Lines(ctx, "iptables", "-S", "DOCKER-USER")).To(ContainElement("-A DOCKER-USER -j OCN-FORWARD"))
		Expect(l.Lines(ctx, "iptables", "-S", "FORWARD")).NotTo(ContainElement("-A FORWARD -j OCN-FORWARD"))
	}, suite.Hang)
})

var _ = It("leads out of VPCs whose transit network names its own gateway as the way out", Label("wayout"), func(ctx SpecContext) {
	l.Network(ctx, lab.Net{Name: "transit-net", Subnet: "192.168.100.0/24", Options: []string{"ovn.role=transit", "ovn.external_gateway=192.168.100.1"}})
	n := routed("a", "10.0.0.0/24")
	n.Options = append(n.Options, "ovn.transit_network=transit-net")
	l.Network(ctx, n)
	l.Container(ctx, "a1", "a", "-p", "8080:80")
	l.Container(ctx, "t1", "transit-net")
	reaches(ctx, "a1")
	l.Ping(ctx, "t1", outside.Address())
	By("also once the transit network is gone, which the VPC goes on using")
	l.MustDocker(ctx, "rm", "-f", "t1")
	l.MustDocker(ctx, "network", "rm", "transit-net")
	reaches(ctx, "a1")
}, suite.Hang)
