package options_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const collector = "192.0.2.9" // a machine beside the host, which takes what is mirrored

// beside has the host reach the collector, by a bridge of its own, and returns the process that stands for that machine.
func beside(ctx context.Context) (pid string) {
	GinkgoHelper()
	_, _ = l.Run(ctx, "rm", "-f", "/var/log/collector.log")
	stop, err := l.Start(ctx, "/var/log/collector.log", "unshare", "--net", "sh", "-c", "echo $$ && exec sleep 900")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
	lab.Soon(ctx, func(g Gomega) {
		pid = strings.TrimSpace(l.Must(ctx, "cat", "/var/log/collector.log"))
		g.Expect(pid).NotTo(BeEmpty())
	})
	datapath := l.Must(ctx, "ovs-vsctl", "--bare", "get", "Bridge", "br-int", "datapath_type")
	for _, command := range [][]string{
		{"ip", "link", "add", "name", "wan0", "type", "veth", "peer", "name", "wan1"},
		{"ethtool", "-K", "wan0", "tx", "off"},
		{"ethtool", "-K", "wan1", "tx", "off"},
		{"ip", "link", "set", "dev", "wan1", "netns", pid},
		{"nsenter", "-t", pid, "-n", "ip", "address", "add", collector + "/24", "dev", "wan1"},
		{"nsenter", "-t", pid, "-n", "ip", "link", "set", "dev", "wan1", "up"},
		{"ip", "link", "set", "dev", "wan0", "up"},
		{"ovs-vsctl", "add-br", "br-wan", "--", "set", "Bridge", "br-wan", "datapath_type=" + datapath, "--", "add-port", "br-wan", "wan0"},
		{"ip", "address", "add", "192.0.2.1/24", "dev", "br-wan"},
		{"ip", "link", "set", "dev", "br-wan", "up"},
		{"ping", "-c", "1", "-w", "10", collector},
	} {
		l.Must(ctx, command...)
	}
	DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "ovs-vsctl", "del-br", "br-wan") })
	return pid
}

var _ = Describe("mirroring to another machine", Label("options"), func() {
	for _, kind := range []string{"gre", "erspan"} {
		It("leads all packets there in "+kind, func(ctx SpecContext) {
			pid := beside(ctx)
			l.Network(ctx, monitored("mirror.ports=all", "mirror.dest="+kind+":"+collector))
			l.Container(ctx, "m1", "monitored-network")
			l.Container(ctx, "m2", "monitored-network")
			settles(ctx, pid, "wan1", "monitored-network", "m1", "m2")
			n := listen(ctx, pid, "wan1")
			n.hears(ctx, talk(ctx, "monitored-network", "m1", "m2")...)

			By("with packets that are too long for the way there")
			n = listen(ctx, pid, "wan1")
			n.hears(ctx, ping(ctx, "monitored-network", "m1", "m2", 10, 1472))
		}, suite.Hang)
	}
})
