package devrun_test

import (
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const (
	binary  = "/var/tmp/dev/ovs-container-network"
	data    = "/var/tmp/dev/data"
	socket  = "/run/docker/plugins/ovs-dev.sock"
	control = "/var/tmp/dev/control.sock"
	logFile = "/var/log/ovs-dev.log"
)

var _ = Describe("the plugin in the foreground", Ordered, Label("devrun"), func() {
	var stop func()

	BeforeAll(func(ctx SpecContext) {
		l.Reset(ctx)
		Expect(l.CopyIn(ctx, filepath.Join(host.PluginDir(), "..", "ovs-container-network"), binary)).To(Succeed())
		l.Must(ctx, "mkdir", "-p", data, "/run/docker/plugins")
		l.Must(ctx, "truncate", "-s", "0", logFile)
		var err error
		// what hack/dev-run.sh sets
		stop, err = l.Start(ctx, logFile, "env", "PLUGIN_SOCKET="+socket, "PLUGIN_DATA_DIR="+data, "PLUGIN_CONTROL_SOCKET="+control,
			"PLUGIN_LOG_LEVEL=debug", binary, "serve")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stop)
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Run(ctx, "test", "-S", socket)
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)

	It("obeys the README's commands under its own driver name, beside the installed plugin", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "dev", Driver: "ovs-dev", Subnet: "10.0.0.0/24", Switch: "ls-dev", Auto: true})
		l.Network(ctx, lab.Net{Name: "installed", Subnet: "10.1.0.0/24", Switch: "ls-installed"})
		for _, network := range []string{"dev", "installed"} {
			l.Container(ctx, network+"-1", network)
			l.Container(ctx, network+"-2", network)
			l.Ping(ctx, network+"-1", network+"-2")
		}
	}, suite.Hang)

	It("keeps its state in its own folder", func(ctx SpecContext) {
		endpoint := l.Endpoint(ctx, "dev-1", "dev")
		Expect(l.Lines(ctx, "find", data, "-name", "*.json")).To(SatisfyAll(
			ContainElement(data+"/networks/"+endpoint.NetworkID+".json"),
			ContainElement(data+"/endpoints/"+endpoint.EndpointID+".json")))
		Expect(l.StateFiles(ctx)).NotTo(ContainElement(ContainSubstring(endpoint.EndpointID)))
	}, suite.Hang)

	It("prints its plans, ready to be pasted into a shell", func(ctx SpecContext) {
		port := l.Endpoint(ctx, "dev-1", "dev").EndpointID
		log := l.Must(ctx, "cat", logFile)
		Expect(log).To(MatchRegexp(`ovn-nbctl .*lsp-add ls-dev ` + port))
		Expect(log).To(MatchRegexp(`ovs-vsctl .*add-port br-int ocn` + port[:12]))
	}, suite.Hang)

	It("answers its own status command, and the installed one's is another", func(ctx SpecContext) {
		id := l.Endpoint(ctx, "dev-1", "dev").NetworkID
		Expect(l.Must(ctx, "env", "PLUGIN_CONTROL_SOCKET="+control, binary, "status")).To(ContainSubstring("ls-dev"))
		installed := l.Must(ctx, binary, "status")
		Expect(installed).To(ContainSubstring("ls-installed"))
		Expect(installed).NotTo(ContainSubstring(id[:12]))
	}, suite.Hang)

	It("takes only its own rows away", func(ctx SpecContext) {
		l.MustDocker(ctx, "rm", "-f", "dev-1", "dev-2")
		l.MustDocker(ctx, "network", "rm", "dev")
		Expect(strings.Fields(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch"))).To(ConsistOf("ls-installed"))
		l.Ping(ctx, "installed-1", "installed-2")
	}, suite.Hang)

	It("removes its sockets when it ends", func(ctx SpecContext) {
		stop()
		for _, path := range []string{socket, control} {
			_, err := l.Run(ctx, "test", "-e", path)
			Expect(err).To(HaveOccurred(), path)
		}
		l.Container(ctx, "installed-3", "installed")
		l.Ping(ctx, "installed-3", "installed-1")
		l.Clean(ctx)
		Expect(l.Lines(ctx, "find", filepath.Join(data, "endpoints"), "-type", "f", "-name", "*.json")).To(BeEmpty())
	}, suite.Hang)
})
