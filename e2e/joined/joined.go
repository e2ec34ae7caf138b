// Package joined has hosts share one OVN, for the suites that are about several hosts.
package joined

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// Hosts are those of a suite; the first has OVN central.
type Hosts []*lab.Lab

// Suite declares the hosts of a suite, in h: three, or two where they have kernels of their own, since emulated machines take
// all that this one has. The result means nothing, but lets it stand at the top of a file.
func Suite(h *Hosts, name string) bool {
	var cluster host.Cluster
	BeforeSuite(func(ctx SpecContext) {
		spec := host.Spec{Name: name, Hosts: []host.Options{member("h1"), member("h2"), member("h3")}}
		if host.NoKernel() == "" {
			spec.Hosts = spec.Hosts[:2]
		}
		cluster = suite.Up(ctx, spec)
		for _, each := range cluster.Hosts() {
			*h = append(*h, lab.New(each))
		}
	}, NodeTimeout(15*time.Minute))
	AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	return true
}

// member is a host that can send tunnels.
func member(name string) host.Options {
	o := host.Fresh(name)
	o.Tunnels = true
	return o
}

// Near and Far are the two hosts at the end, of which neither has OVN central where there are three.
func (h Hosts) Near() int { return len(h) - 2 }

// Far is the last one.
func (h Hosts) Far() int { return len(h) - 1 }

// NeedThree skips what needs a host beside OVN central's and two more.
func (h Hosts) NeedThree() {
	GinkgoHelper()
	if len(h) < 3 {
		Skip("there are two hosts, since they have kernels of their own")
	}
}

// Set changes settings of a host's plugin.
func Set(ctx context.Context, l *lab.Lab, settings ...string) {
	GinkgoHelper()
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	l.MustDocker(ctx, append([]string{"plugin", "set", host.PluginName}, settings...)...)
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
}

// Connections are the options by which a host's networks use the OVN of the first host.
func (h Hosts) Connections(l *lab.Lab) (nb, sb string) {
	if l == h[0] {
		return lab.NB, lab.SB
	}
	return "ssl:" + h[0].Address() + ":6641", "ssl:" + h[0].Address() + ":6642"
}

// Network makes a network of a host whose addresses no other host gives. The same name, subnet and switch on another host is
// the same network.
func (h Hosts) Network(ctx context.Context, l *lab.Lab, name, subnet string, options ...string) {
	GinkgoHelper()
	nb, sb := h.Connections(l)
	args := []string{
		"network", "create", "--driver", host.PluginName, "--ipam-driver", host.PluginName, "--subnet", subnet,
		"--opt", "ovn.switch=ls-" + name, "--opt", "ovn.nb_connection=" + nb, "--opt", "ovn.sb_connection=" + sb, "--opt", "ovn.auto_create=true",
	}
	for _, o := range options {
		args = append(args, "--opt", o)
	}
	l.MustDocker(ctx, append(args, name)...)
}

// Invite has the first host invite another one, and returns the invitation.
func (h Hosts) Invite(ctx context.Context, name string) string {
	GinkgoHelper()
	return h[0].Command(ctx, "invite", name, "-")
}

// Join has a host accept an invitation, and returns what its command says.
func (h Hosts) Join(ctx context.Context, l *lab.Lab, invitation string) (string, error) {
	GinkgoHelper()
	const file = "/root/invitation"
	Expect(l.WriteFile(ctx, file, []byte(invitation), 0o600)).To(Succeed())
	// The command is in the plugin's root folder: these hosts have no installed one.
	out, err := l.TryCommand(ctx, "join", file)
	return strings.TrimSpace(out), err
}

// Share has the first host publish its OVN central, with a network that it needs to have one, and the others join it, unless
// they have.
func (h Hosts) Share(ctx context.Context) {
	GinkgoHelper()
	h.Network(ctx, h[0], "first", "10.8.0.0/24")
	if h[0].MustDocker(ctx, "ps", "-q", "--filter", "name=^/?ovn-relay$") == "" {
		Set(ctx, h[0], "PLUGIN_CENTRAL_PUBLISH="+h[0].Address())
	}
	for i, l := range h[1:] {
		if _, err := h.Join(ctx, l, h.Invite(ctx, fmt.Sprint("h", i+2))); err != nil {
			Fail(err.Error())
		}
	}
	h[0].MustDocker(ctx, "network", "rm", "first")
}

// Clean removes all containers and networks of all hosts, OVN excepted, and proves that nothing of them is left on any.
func (h Hosts) Clean(ctx context.Context) {
	GinkgoHelper()
	for _, l := range h {
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
	}
	h[0].Clean(ctx)
	for _, l := range h[1:] {
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(l.OVSOwned(ctx)).To(BeEmpty())
			g.Expect(l.LinksOwned(ctx)).To(BeEmpty())
			g.Expect(l.Records(ctx)).To(BeEmpty())
		})
	}
}

// Reaches waits until one container has answers of another one's address.
func Reaches(ctx context.Context, l *lab.Lab, container, address string) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", address)
		g.Expect(err).NotTo(HaveOccurred())
	})
}

// Listens are the addresses, with ports, that a host listens at for TCP, but those of loopback.
func Listens(ctx context.Context, l *lab.Lab) []string {
	GinkgoHelper()
	var all []string
	for _, line := range l.Lines(ctx, "ss", "-Htln") {
		if f := strings.Fields(line); len(f) > 3 && !strings.HasPrefix(f[3], "127.") && !strings.HasPrefix(f[3], "[::1]") {
			all = append(all, f[3])
		}
	}
	return all
}
