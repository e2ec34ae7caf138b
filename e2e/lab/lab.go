package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
)

// Owner is the value of the key "owner" on every row, and of the label on every Docker object, that the plugin makes.
const Owner = "ovs-container-network"

// The connections of the README: OVN central on the default transit-overlay network.
const (
	NB = "tcp:172.30.0.5:6641"
	SB = "tcp:172.30.0.5:6642"
)

// Lab is a host that specs give commands to.
type Lab struct{ host.Host }

// New makes a lab of a host.
func New(h host.Host) *Lab { return &Lab{h} }

// Must runs a command that has to succeed and returns its output, trimmed.
func (l *Lab) Must(ctx context.Context, argv ...string) string {
	GinkgoHelper()
	out, err := l.Run(ctx, argv...)
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(out)
}

// MustDocker runs a docker command that has to succeed.
func (l *Lab) MustDocker(ctx context.Context, args ...string) string {
	GinkgoHelper()
	return l.Must(ctx, append([]string{"docker"}, args...)...)
}

// Lines are the lines of a command's output; none for empty output.
func (l *Lab) Lines(ctx context.Context, argv ...string) []string {
	GinkgoHelper()
	return strings.FieldsFunc(l.Must(ctx, argv...), func(r rune) bool { return r == '\n' })
}

// Soon polls until a function stops failing, for things that other processes do in their own time.
func Soon(ctx context.Context, f func(g Gomega)) {
	GinkgoHelper()
	Eventually(f).WithContext(ctx).WithTimeout(20 * time.Second).WithPolling(50 * time.Millisecond).Should(Succeed())
}

// NBCtl runs ovn-nbctl as the README does.
func (l *Lab) NBCtl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	return l.MustDocker(ctx, append([]string{"exec", "ovn-central", "ovn-nbctl"}, args...)...)
}

// Explain prints what helps to understand a spec that failed.
func (l *Lab) Explain(ctx context.Context) {
	for _, argv := range [][]string{
		{"docker", "plugin", "ls"},
		{"docker", "network", "ls"},
		{"docker", "ps", "-a"},
		{"ovs-vsctl", "show"},
		{"ovs-vsctl", "--columns=external_ids", "list", "Open_vSwitch"},
		{"docker", "exec", "ovn-central", "ovn-nbctl", "show"},
		{"docker", "exec", "ovn-central", "ovn-sbctl", "show"},
		{"docker", "logs", "--tail=15", "ovn-controller"},
		{"grep", "-E", "plugin=|level=error", "/var/log/dockerd.log"},
	} {
		out, err := l.Run(ctx, argv...)
		if err != nil {
			continue // not every host runs everything, and the spec's own failure says what should have
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) > 30 {
			lines = lines[len(lines)-30:]
		}
		fmt.Fprintf(GinkgoWriter, "--- %s: %s\n%s\n", l.Name(), strings.Join(argv, " "), strings.Join(lines, "\n"))
	}
}

// Reset brings the host back to what it was with the plugin just installed: no network, no OVN, no bridge.
func (l *Lab) Reset(ctx context.Context) {
	GinkgoHelper()
	Expect(l.StartOVS(ctx)).To(Succeed())
	l.RemoveContainers(ctx)
	l.RemoveNetworks(ctx)
	for _, kind := range [][]string{{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q", "--filter", "type=custom"}} {
		found := l.Lines(ctx, append([]string{"docker"}, kind...)...)
		if len(found) == 0 {
			continue
		}
		remove := map[string][]string{"ps": {"rm", "-f"}, "volume": {"volume", "rm"}, "network": {"network", "rm"}}[kind[0]]
		l.MustDocker(ctx, append(remove, found...)...)
	}
	for _, br := range l.Lines(ctx, "ovs-vsctl", "list-br") {
		l.Must(ctx, "ovs-vsctl", "del-br", br)
	}
	for _, name := range l.LinksOwned(ctx) { // of a plugin that was killed
		_, _ = l.Run(ctx, "ip", "link", "delete", name) // gone already where its other end was
	}
	for _, key := range []string{"ovn-remote", "ovn-bridge", "ovn-encap-type", "ovn-encap-ip", "ovn-bridge-datapath-type", "ovn-ofctrl-wait-before-clear"} {
		l.Must(ctx, "ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", key)
	}
	l.RestartPlugin(ctx)
}

// pluginDir is the folder of the installed plugin on the host.
func (l *Lab) pluginDir(ctx context.Context) string {
	GinkgoHelper()
	return "/var/lib/docker/plugins/" + l.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName)
}

// DataDir is the data directory of the installed plugin.
func (l *Lab) DataDir(ctx context.Context) string {
	GinkgoHelper()
	return l.pluginDir(ctx) + "/propagated-mount/data"
}

// Command runs the host's command, which is the plugin's binary.
func (l *Lab) Command(ctx context.Context, args ...string) string {
	GinkgoHelper()
	return l.Must(ctx, append([]string{l.pluginDir(ctx) + "/rootfs/usr/bin/ovs-container-network"}, args...)...)
}

// TryCommand is Command for what may fail.
func (l *Lab) TryCommand(ctx context.Context, args ...string) (string, error) {
	GinkgoHelper()
	return l.Run(ctx, append([]string{l.pluginDir(ctx) + "/rootfs/usr/bin/ovs-container-network"}, args...)...)
}

// CommandError runs the plugin's own command, which has to fail, and returns what it says.
func (l *Lab) CommandError(ctx context.Context, args ...string) string {
	GinkgoHelper()
	_, err := l.TryCommand(ctx, args...)
	Expect(err).To(HaveOccurred())
	return stderr(err)
}

// RestartPlugin disables and enables the plugin. Without -f Docker refuses to disable one that has networks.
func (l *Lab) RestartPlugin(ctx context.Context) {
	GinkgoHelper()
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
}
