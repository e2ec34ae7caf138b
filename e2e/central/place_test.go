package central_test

import (
	"context"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var (
	first  = lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true}
	second = lab.Net{Name: "n2", Subnet: "10.1.0.0/24", Switch: "ls-2"}
)

// works proves a network by two containers on it.
func works(ctx context.Context, network string) {
	GinkgoHelper()
	l.Container(ctx, "a-"+network, network)
	l.Container(ctx, "b-"+network, network)
	l.Ping(ctx, "a-"+network, "b-"+network)
}

// occupy takes subnets with bridge networks of Docker's own.
func occupy(ctx context.Context, subnets ...string) {
	GinkgoHelper()
	for i, subnet := range subnets {
		l.MustDocker(ctx, "network", "create", "--subnet", subnet, "occupant"+string(rune('a'+i)))
	}
}

func remote(ctx context.Context) string {
	GinkgoHelper()
	return l.Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:ovn-remote")
}

var fallbacks = []string{"172.30.0.0/24", "172.31.0.0/24", "192.168.200.0/24", "192.168.201.0/24"}

var _ = Describe("the place of OVN central", Label("central"), func() {
	DescribeTable("is the first free of the four subnets, and the connections follow", func(spec SpecContext, taken int, address string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		occupy(ctx, fallbacks[:taken]...)
		l.Network(ctx, first)
		Expect(l.AddressOf(ctx, "ovn-central", "transit-overlay")).To(Equal(address))
		Expect(remote(ctx)).To(Equal(`"tcp:` + address + `:6642"`))
		works(ctx, "n1")
		By("following for a later network, which names the default address too")
		n := second
		n.Auto = true
		l.Network(ctx, n)
		works(ctx, "n2")
	},
		Entry("second", 1, "172.31.0.5"),
		Entry("fourth", 3, "192.168.201.5"),
	)

	It("gives way to the network's own subnet", func(ctx SpecContext) {
		n := first
		n.Subnet = "172.30.0.0/24"
		l.Network(ctx, n)
		Expect(l.AddressOf(ctx, "ovn-central", "transit-overlay")).To(Equal("172.31.0.5"))
		works(ctx, "n1")
	}, suite.Hang)

	It("cannot be taken by a later network", func(ctx SpecContext) {
		l.Network(ctx, first)
		n := second
		n.Subnet = "172.30.0.0/24"
		Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring("Pool overlaps with other one on this address space"))
	}, suite.Hang)

	It("cannot be found when all four are taken, and the error says what to do", func(ctx SpecContext) {
		occupy(ctx, fallbacks...)
		before := l.State(ctx)
		text := l.NetworkError(ctx, first.Args()...)
		for _, subnet := range fallbacks {
			Expect(text).To(ContainSubstring(subnet))
		}
		Expect(l.Changes(ctx, before)).To(BeEmpty())

		By("following the advice to the letter")
		command := regexp.MustCompile(`docker network create [^()]*`).FindString(text)
		l.Must(ctx, strings.Fields(command)...)
		n := first
		n.Options = []string{regexp.MustCompile(`ovn.transit_overlay_network=[a-z-]+`).FindString(text)}
		n.NB, n.SB = regexp.MustCompile(`tcp:[0-9.]+:6641`).FindString(text), regexp.MustCompile(`tcp:[0-9.]+:6642`).FindString(text)
		l.Network(ctx, n)
		works(ctx, "n1")
	}, suite.Hang)

	It("is on a network of the user's, where the user names one", func(ctx SpecContext) {
		l.MustDocker(ctx, "network", "create", "--driver", "bridge", "--subnet", "10.200.0.0/24", "--gateway", "10.200.0.1", "my-transit-overlay")
		n := first
		n.NB, n.SB = "tcp:10.200.0.5:6641", "tcp:10.200.0.5:6642"
		n.Options = []string{"ovn.transit_overlay_network=my-transit-overlay"}
		l.Network(ctx, n)
		Expect(l.AddressOf(ctx, "ovn-central", "my-transit-overlay")).To(Equal("10.200.0.5"))
		Expect(l.Lines(ctx, "docker", "network", "ls", "-q", "--filter", "name=^transit-overlay$")).To(BeEmpty())
		Expect(remote(ctx)).To(Equal(`"tcp:10.200.0.5:6642"`))
		works(ctx, "n1")
	}, suite.Hang)

	It("is one for two networks that are created at once", func(ctx SpecContext) {
		n := second
		n.Auto = true
		var work errgroup.Group
		for _, n := range []lab.Net{first, n} {
			work.Go(func() error {
				_, err := l.Docker(ctx, n.Args()...)
				return err
			})
		}
		Expect(work.Wait()).To(Succeed())
		Expect(l.Lines(ctx, "docker", "network", "ls", "-q", "--filter", "name=^transit-overlay$")).To(HaveLen(1))
		Expect(l.Lines(ctx, "docker", "ps", "-aq", "--filter", "label=owner="+lab.Owner)).To(HaveLen(2), "ovn-central and ovn-controller")
		works(ctx, "n1")
		works(ctx, "n2")
	}, suite.Hang)
})

var _ = Describe("OVN central", Label("central"), func() {
	It("is started again when it was stopped, with what it held", func(ctx SpecContext) {
		l.Network(ctx, first)
		l.Container(ctx, "before", "n1")
		port := l.Endpoint(ctx, "before", "n1").EndpointID
		l.MustDocker(ctx, "stop", "-t", "5", "ovn-central")

		By("not by a network without auto_create")
		Expect(l.NetworkError(ctx, second.Args()...)).
			To(HaveSuffix("OVN central not reachable at " + lab.NB + " and auto-create not enabled"))
		n := second
		n.Auto = true
		l.Network(ctx, n)
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "find", "Logical_Switch_Port", "name="+port)).To(Equal(port))
		works(ctx, "n2")
		l.Container(ctx, "after", "n1")
		l.Ping(ctx, "after", "before")
	}, suite.Hang)

	It("takes an image, and the error says how to make it", func(ctx SpecContext) {
		l.MustDocker(ctx, "tag", host.ImageCentral, "aside:1")
		DeferCleanup(func(ctx SpecContext) {
			l.MustDocker(ctx, "tag", "aside:1", host.ImageCentral)
			l.MustDocker(ctx, "rmi", "aside:1")
		}, suite.Hang)
		l.MustDocker(ctx, "rmi", host.ImageCentral)
		before := l.State(ctx)
		Expect(l.NetworkError(ctx, first.Args()...)).To(SatisfyAll(ContainSubstring(host.ImageCentral), ContainSubstring("make images")))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	}, suite.Hang)

	It("is not asked for while Open vSwitch is down", func(ctx SpecContext) {
		Expect(l.StopOVS(ctx)).To(Succeed())
		DeferCleanup(l.StartOVS, suite.Hang) // harmless where it runs
		before := l.State(ctx)
		Expect(l.NetworkError(ctx, first.Args()...)).To(MatchRegexp("(?i)open vswitch"))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
		Expect(l.StartOVS(ctx)).To(Succeed())
		l.Network(ctx, first)
		works(ctx, "n1")
	}, suite.Hang)

	It("runs on without Docker's socket, and only making it takes the socket", func(ctx SpecContext) {
		l.Network(ctx, first)
		// the daemon listens on, under a name that the plugin does not know
		l.Must(ctx, "mv", "/run/docker.sock", "/run/docker-aside.sock")
		defer l.Must(ctx, "mv", "/run/docker-aside.sock", "/run/docker.sock") // AfterEach needs it, so DeferCleanup were too late
		docker := func(args ...string) (string, error) {
			return l.Docker(ctx, append([]string{"-H", "unix:///run/docker-aside.sock"}, args...)...)
		}
		for _, args := range [][]string{
			// with no connection left from before
			{"plugin", "disable", "-f", host.PluginName},
			{"plugin", "enable", host.PluginName},
			second.Args(),
			{"run", "-d", "--name", "c1", "--network", "n2", host.ImageDemo},
			{"run", "--rm", "--network", "n2", host.ImageDemo, "ping", "-c", "1", "-W", "2", "c1"},
			{"stop", "-t", "5", "ovn-central"},
		} {
			_, err := docker(args...)
			Expect(err).NotTo(HaveOccurred())
		}
		n := lab.Net{Name: "n3", Subnet: "10.3.0.0/24", Switch: "ls-3", Auto: true}
		_, err := docker(n.Args()...)
		Expect(err).To(MatchError(ContainSubstring("docker.sock")))
		_, err = docker("start", "ovn-central")
		Expect(err).NotTo(HaveOccurred())
	}, suite.Hang)
})
