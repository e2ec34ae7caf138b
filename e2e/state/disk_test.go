package state_test

import (
	"context"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const (
	binary  = "/var/tmp/dev/ovs-container-network"
	data    = "/var/tmp/dev/data"
	driver  = "ovs-dev"
	socket  = "/run/docker/plugins/" + driver + ".sock"
	control = "/var/tmp/dev/control.sock"
	logFile = "/var/log/ovs-dev.log"
)

// foreground runs the plugin outside of Docker, with its state on a small file system of its own: Docker takes away what
// somebody mounts over an installed plugin's.
func foreground(ctx context.Context) {
	GinkgoHelper()
	Expect(l.CopyIn(ctx, filepath.Join(host.PluginDir(), "..", "ovs-container-network"), binary)).To(Succeed())
	l.Must(ctx, "mkdir", "-p", data, filepath.Dir(socket))
	l.Must(ctx, "mount", "-t", "tmpfs", "-o", "size=512k", "none", data)
	DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "umount", data); l.Must(ctx, "rm", "-rf", filepath.Dir(data)) }, suite.Hang)
	start(ctx, socket, control)
	DeferCleanup(func(ctx SpecContext) { l.Clean(ctx) }, suite.Hang)
}

// start starts a plugin, to end with the spec, and returns when it listens.
func start(ctx context.Context, socket, control string) {
	GinkgoHelper()
	stop, err := l.Start(ctx, logFile, "env", "PLUGIN_SOCKET="+socket, "PLUGIN_DATA_DIR="+data, "PLUGIN_CONTROL_SOCKET="+control, binary, "serve")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
	lab.Soon(ctx, func(g Gomega) { _, err := l.Run(ctx, "test", "-S", socket); g.Expect(err).NotTo(HaveOccurred()) })
}

var _ = Describe("a data directory", func() {
	dev := n1
	dev.Driver = driver
	run := []string{"run", "-d", "--name", "late", "--network", "n1", host.ImageDemo}
	connected := func(ctx context.Context) *lab.Traffic {
		GinkgoHelper()
		foreground(ctx)
		l.Network(ctx, dev)
		l.Container(ctx, "web1", "n1")
		l.Container(ctx, "web2", "n1")
		return l.Traffic(ctx, "web1", "web2", "n1")
	}

	It("on a full disk keeps what it holds, and says so", func(ctx SpecContext) {
		traffic := connected(ctx)
		_, err := l.Run(ctx, "dd", "if=/dev/zero", "of="+data+"/full", "bs=1k", "count=2048")
		Expect(err).To(MatchError(ContainSubstring("No space left")))
		_, err = l.Docker(ctx, run...)
		Expect(err).To(MatchError(SatisfyAll(ContainSubstring("no space left on device"), ContainSubstring("free some space"))))
		second := lab.Net{Name: "n2", Driver: driver, Subnet: "10.2.0.0/24", Switch: "ls-2"}
		Expect(l.NetworkError(ctx, second.Args()...)).To(ContainSubstring("free some space"))
		By("removing, which needs no space")
		l.MustDocker(ctx, "rm", "-f", "late")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		l.MustDocker(ctx, "rm", "-f", "web2")
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.LinksOwned(ctx)).To(HaveLen(1)) })
		By("going on when there is room again")
		l.Must(ctx, "rm", data+"/full")
		l.Container(ctx, "web2", "n1")
		l.Ping(ctx, "web2", "web1")
		l.Network(ctx, second)
	}, suite.Hang)

	It("that turns read-only keeps what it holds, and says so", func(ctx SpecContext) {
		traffic := connected(ctx)
		l.Must(ctx, "mount", "-o", "remount,ro", data)
		DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "mount", "-o", "remount,rw", data) }, suite.Hang)
		_, err := l.Docker(ctx, run...)
		Expect(err).To(MatchError(ContainSubstring("read-only file system")))
		l.MustDocker(ctx, "rm", "-f", "late")
		l.Must(ctx, "mount", "-o", "remount,rw", data)
		works(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("belongs to one plugin: a second one refuses every request, and says why", func(ctx SpecContext) {
		traffic := connected(ctx)
		start(ctx, "/run/docker/plugins/second.sock", "/var/tmp/dev/second-control.sock")
		text := l.NetworkError(ctx, lab.Net{Name: "n2", Driver: "second", Subnet: "10.2.0.0/24", Switch: "ls-2"}.Args()...)
		Expect(text).To(SatisfyAll(ContainSubstring("in use by another process"), ContainSubstring("PLUGIN_DATA_DIR")))
		works(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("is each plugin's own: two on one database leave each other's rows alone", func(ctx SpecContext) {
		traffic := connected(ctx)
		l.Network(ctx, lab.Net{Name: "n2", Subnet: "10.2.0.0/24", Switch: "ls-1"})
		l.Container(ctx, "theirs1", "n2")
		l.Container(ctx, "theirs2", "n2")
		installed := l.Traffic(ctx, "theirs1", "theirs2", "n2")
		l.RestartPlugin(ctx)
		time.Sleep(5 * time.Second) // the comparison with Docker's lists takes three
		works(ctx)
		Expect(installed.Ends(ctx).Lost).To(BeZero())
		l.MustDocker(ctx, "rm", "-f", "theirs1", "theirs2")
		l.MustDocker(ctx, "network", "rm", "n2")
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("does not make the host two chassis: a second plugin that names other databases is told of the first's", func(ctx SpecContext) {
		traffic := connected(ctx)
		l.MustDocker(ctx, "run", "-d", "--name", "other-central", host.ImageCentral)
		address := l.MustDocker(ctx, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "other-central")
		other := lab.Net{Name: "n2", Subnet: "10.2.0.0/24", Switch: "ls-2", NB: "tcp:" + address + ":6641", SB: "tcp:" + address + ":6642"}
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", "other-central", "ovn-nbctl", "show")
			g.Expect(err).NotTo(HaveOccurred())
		})
		Expect(l.NetworkError(ctx, other.Args()...)).To(SatisfyAll(ContainSubstring(lab.SB), ContainSubstring(other.SB)))
		Expect(l.MustDocker(ctx, "exec", "other-central", "ovn-nbctl", "ls-list")).To(BeEmpty(), "nothing of it is left there")
		works(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)
})
