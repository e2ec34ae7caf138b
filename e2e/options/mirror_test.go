package options_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const subnet = "10.0.0.0/24"

func monitored(options ...string) lab.Net {
	return lab.Net{Name: "monitored-network", Subnet: subnet, Switch: "ls-monitored", Auto: true, Options: options}
}

// talk is all pings of the containers around the circle.
func talk(ctx context.Context, network string, containers ...string) []exchange {
	GinkgoHelper()
	var all []exchange
	for i, c := range containers {
		all = append(all, ping(ctx, network, c, containers[(i+1)%len(containers)], 25, 56))
	}
	return all
}

var _ = Describe("mirroring", Label("options"), func() {
	It("leads all packets of three containers to a port, none twice, whatever happens", func(ctx SpecContext) {
		l.MustDocker(ctx, "network", "create",
			"--driver", host.PluginName,
			"--subnet", subnet,
			"--opt", "ovn.switch=ls-monitored",
			"--opt", "ovn.nb_connection=tcp:172.30.0.5:6641",
			"--opt", "ovn.sb_connection=tcp:172.30.0.5:6642",
			"--opt", "ovn.auto_create=true",
			"--opt", "mirror.ports=all",
			"--opt", "mirror.dest=monitor-port",
			"monitored-network")
		Expect(mirrors(ctx)).To(ConsistOf("theirs", "monitor-port"))
		n := listen(ctx, "", "monitor-port")
		names := []string{"m1", "m2", "m3"}
		for _, c := range names {
			l.Container(ctx, c, "monitored-network", "--restart", "always")
		}
		n.hears(ctx, talk(ctx, "monitored-network", names...)...)

		By("with the largest packets")
		n = listen(ctx, "", "monitor-port")
		n.hears(ctx, ping(ctx, "monitored-network", "m1", "m3", 10, 1472))

		By("without answering for the host")
		Expect(l.Must(ctx, "ip", "link", "show", "dev", "monitor-port")).To(And(ContainSubstring("NOARP"), ContainSubstring("UP")))
		Expect(l.Must(ctx, "ip", "-6", "address", "show", "dev", "monitor-port")).To(BeEmpty())
		Expect(l.Must(ctx, "cat", "/proc/sys/net/ipv4/conf/monitor-port/rp_filter")).To(Equal("1"))

		for _, fault := range []struct {
			text string
			do   func()
		}{
			{"after a restart of the plugin", func() { l.RestartPlugin(ctx) }},
			{"after one of a container", func() { l.MustDocker(ctx, "restart", "-t", "0", "m2") }},
			{"after one of Docker", func() {
				Expect(l.RestartDocker(ctx)).To(Succeed())
				for _, c := range names {
					lab.Soon(ctx, func(g Gomega) {
						_, err := l.Docker(ctx, "exec", c, "true")
						g.Expect(err).NotTo(HaveOccurred())
					})
				}
			}},
			{"after one of Open vSwitch", func() {
				Expect(l.StopOVS(ctx)).To(Succeed())
				Expect(l.StartOVS(ctx)).To(Succeed())
			}},
			{"after somebody has removed the mirror", func() {
				l.Must(ctx, "ovs-vsctl", "--", "--id=@m", "get", "Mirror", "monitor-port", "--", "remove", "Bridge", "br-int", "mirrors", "@m")
			}},
			{"after somebody has removed the port", func() { l.Must(ctx, "ovs-vsctl", "del-port", "monitor-port") }},
		} {
			By(fault.text)
			fault.do()
			lab.Soon(ctx, func(g Gomega) {
				g.Expect(l.Run(ctx, "ip", "link", "show", "dev", "monitor-port", "up")).NotTo(BeEmpty())
				g.Expect(mirrors(ctx)).To(ConsistOf("theirs", "monitor-port"))
				g.Expect(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Mirror", "monitor-port", "output_port")).NotTo(Equal("[]"))
				g.Expect(strings.Split(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Mirror", "monitor-port", "select_src_port"), ",")).To(HaveLen(3))
			})
			lab.Soon(ctx, func(g Gomega) {
				_, err := l.Docker(ctx, "exec", "m1", "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "m2", "monitored-network"))
				g.Expect(err).NotTo(HaveOccurred())
			})
			n = listen(ctx, "", "monitor-port")
			n.hears(ctx, talk(ctx, "monitored-network", names...)...)
		}
		l.Agree(ctx)
	}, suite.Hang)

	It("leads those on a list there: an address, a MAC address, the name of a container", func(ctx SpecContext) {
		l.Network(ctx, monitored("mirror.ports=10.0.0.11,0a:00:0a:00:00:0c,third", "mirror.dest=monitor-port"))
		n := listen(ctx, "", "monitor-port")
		for name, address := range map[string]string{"first": "10.0.0.11", "second": "10.0.0.12", "third": "10.0.0.13", "x1": "10.0.0.21", "x2": "10.0.0.22"} {
			l.Container(ctx, name, "monitored-network", "--ip", address)
		}
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(strings.Split(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Mirror", "monitor-port", "select_src_port"), ",")).To(HaveLen(3))
		})
		silent := talk(ctx, "monitored-network", "x1", "x2")
		n.hears(ctx, ping(ctx, "monitored-network", "first", "x1", 10, 56), ping(ctx, "monitored-network", "second", "x1", 10, 56), ping(ctx, "monitored-network", "x2", "third", 10, 56))
		for packet := range n.heard(ctx) {
			Expect(packet).NotTo(HavePrefix(silent[0].from + " > " + silent[0].to))
		}
	}, suite.Hang)

	It("leads the containers that ask for it to a container, which loses nothing of its own", func(ctx SpecContext) {
		l.Network(ctx, monitored("mirror.dest=container:ids"))
		l.Container(ctx, "asks", "monitored-network")
		l.MustDocker(ctx, "network", "disconnect", "monitored-network", "asks")
		l.MustDocker(ctx, "network", "connect", "--driver-opt", "mirror=true", "monitored-network", "asks")
		l.Container(ctx, "peer", "monitored-network")
		l.Container(ctx, "ids", "monitored-network")
		pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "ids")
		lab.Soon(ctx, func(g Gomega) { g.Expect(mirrors(ctx)).To(HaveLen(2)) })
		traffic := l.Traffic(ctx, "ids", "peer", "monitored-network")
		n := listen(ctx, pid, "mirror0")
		n.hears(ctx, ping(ctx, "monitored-network", "asks", "peer", 20, 56))
		Expect(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Mirror", "container:ids", "select_src_port")).NotTo(ContainSubstring(","))

		By("until that container goes, and again when it is back")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		l.MustDocker(ctx, "rm", "-f", "ids")
		Expect(mirrors(ctx)).To(ConsistOf("theirs"))
		l.Container(ctx, "ids", "monitored-network")
		lab.Soon(ctx, func(g Gomega) { g.Expect(mirrors(ctx)).To(HaveLen(2)) })
		pid = l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "ids")
		settles(ctx, pid, "mirror0", "monitored-network", "asks", "peer")
		n = listen(ctx, pid, "mirror0")
		n.hears(ctx, ping(ctx, "monitored-network", "asks", "peer", 20, 56))
	}, suite.Hang)

	It("refuses what would mislead, and leaves nothing", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "red", Subnet: "10.1.0.0/24", Switch: "ls-red", Auto: true, Options: []string{"tenant_id=red", "mirror.ports=all", "mirror.dest=monitor-port"}})
		l.Network(ctx, lab.Net{Name: "plain", Subnet: "10.2.0.0/24", Switch: "ls-plain", Auto: true})
		l.Container(ctx, "web", "red")
		before := l.State(ctx)
		for dest, says := range map[string]string{
			"monitor-port":    `is that of network`,
			"br-int":          "is a bridge",
			"lo":              "ovs-vsctl add-port br-int lo",
			"gre:10.3.0.9":    "is an address of the network itself",
			"vxlan:192.0.2.1": "want the name of an OVS port, container:NAME, gre:ADDRESS or erspan:ADDRESS",
		} {
			n := lab.Net{Name: "blue", Subnet: "10.3.0.0/24", Switch: "ls-blue", Auto: true, Options: []string{"tenant_id=blue", "mirror.ports=all", "mirror.dest=" + dest}}
			Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring(says))
			Expect(l.Changes(ctx, before)).To(BeEmpty())
		}
		l.MustDocker(ctx, "create", "--name", "late", "--network", "red", host.ImageDemo)
		_, err := l.Docker(ctx, "network", "connect", "--driver-opt", "mirror=true", "plain", "web")
		Expect(err).To(MatchError(ContainSubstring("has no mirror.dest, where to")))
	}, suite.Hang)
})
