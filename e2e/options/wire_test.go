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

const collector = "192.0.2.9" // the machine's address on the wire, without a tag

// wire leads the host to a machine beside it, by the bridge br-wan, which is the physical network "wan".
func wire(ctx context.Context) {
	GinkgoHelper()
	_, err := l.Start(ctx, "/var/log/machine.log", "unshare", "--net", "python3", "-u", "-c", "import os, time; print(os.getpid()); time.sleep(3600)")
	Expect(err).NotTo(HaveOccurred())
	var pid string
	lab.Soon(ctx, func(g Gomega) {
		pid = machine(ctx)
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
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	l.MustDocker(ctx, "plugin", "set", host.PluginName, "PLUGIN_BRIDGE_MAPPINGS=wan:br-wan")
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
}

// machine is the process that stands for the machine on the wire.
func machine(ctx context.Context) string {
	GinkgoHelper()
	return strings.TrimSpace(l.Must(ctx, "cat", "/var/log/machine.log"))
}

var _ = Describe("a VLAN", Label("options"), func() {
	It("is the tag that a physical network's frames have on the wire", func(ctx SpecContext) {
		pid := machine(ctx)
		for name, vlan := range map[string]string{"one": "100", "two": "200"} {
			n := lab.Net{Name: name, Subnet: "203.0.113.0/24", Gateway: "203.0.113.1", Switch: "ls-" + name, Auto: true, Options: []string{"ovn.physical_network=wan", "vlan=" + vlan}}
			if name == "two" {
				n.Subnet, n.Gateway = "198.51.100.0/24", "198.51.100.1"
			}
			l.Network(ctx, n)
			l.Container(ctx, "v"+vlan, name)
		}
		n := listen(ctx, pid, "wan1")
		mac := strings.Fields(l.Must(ctx, "nsenter", "-t", pid, "-n", "ip", "-br", "link", "show", "dev", "wan1"))[2]
		for name, gateway := range map[string]string{"one": "203.0.113.1", "two": "198.51.100.1"} {
			vlan := map[string]string{"one": "100", "two": "200"}[name]
			inside := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "v"+vlan)
			// Where the kernel knows no tags, the machine does not answer; that it is asked is seen all the same.
			l.Must(ctx, "nsenter", "-t", inside, "-n", "ip", "neighbour", "replace", gateway, "lladdr", mac, "dev", "eth0")
			_, _ = l.Run(ctx, "nsenter", "-t", inside, "-n", "ping", "-c", "3", "-i", "0.2", "-W", "1", gateway)
			asked := l.AddressOf(ctx, "v"+vlan, name) + " > " + gateway + " 8 3"
			lab.Soon(ctx, func(g Gomega) { g.Expect(n.heard(ctx)).To(HaveKey(asked + " vlan " + vlan)) })
			Expect(n.heard(ctx)).NotTo(HaveKey(asked))
		}
	}, suite.Hang)

	It("is one with that of real machines", func(ctx SpecContext) {
		suite.RequireKernel()
		pid := machine(ctx)
		for _, command := range [][]string{
			{"link", "add", "link", "wan1", "name", "wan1.100", "type", "vlan", "id", "100"},
			{"address", "add", "203.0.113.1/24", "dev", "wan1.100"},
			{"link", "set", "dev", "wan1.100", "up"},
		} {
			l.Must(ctx, append([]string{"nsenter", "-t", pid, "-n", "ip"}, command...)...)
		}
		DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "nsenter", "-t", pid, "-n", "ip", "link", "delete", "wan1.100") })
		for name, vlan := range map[string]string{"same": "100", "other": "200"} {
			l.Network(ctx, lab.Net{
				Name: name, Subnet: map[string]string{"same": "203.0.113.0/25", "other": "203.0.113.128/25"}[name], Gateway: map[string]string{"same": "203.0.113.1", "other": "203.0.113.129"}[name],
				Switch: "ls-" + name, Auto: true, Options: []string{"ovn.physical_network=wan", "vlan=" + vlan},
			})
			l.Container(ctx, "v"+vlan, name)
		}
		l.Ping(ctx, "v100", "203.0.113.1")
		at := l.AddressOf(ctx, "v100", "same")
		l.Must(ctx, "nsenter", "-t", pid, "-n", "ping", "-c", "3", "-i", "0.2", "-M", "do", "-s", "1472", at)
		_, err := l.Run(ctx, "nsenter", "-t", pid, "-n", "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "v200", "other"))
		Expect(err).To(HaveOccurred(), "the other VLAN is reached")

		By("after a restart of the plugin, and of Open vSwitch")
		l.RestartPlugin(ctx)
		l.Ping(ctx, "v100", "203.0.113.1")
		Expect(l.StopOVS(ctx)).To(Succeed())
		Expect(l.StartOVS(ctx)).To(Succeed())
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", "v100", "ping", "-c", "1", "-W", "1", "203.0.113.1")
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)
})
