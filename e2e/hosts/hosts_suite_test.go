// Package hosts_test has several hosts share one OVN.
package hosts_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestHosts(t *testing.T) { suite.Run(t, "hosts") }

var (
	cluster host.Cluster
	hosts   []*lab.Lab // the first has OVN central
)

// near and far are the two hosts at the end, of which neither has OVN central where there are three.
func near() int { return len(hosts) - 2 }
func far() int  { return len(hosts) - 1 }

// needsThree skips what needs a host beside OVN central's and two more.
func needsThree() {
	GinkgoHelper()
	if len(hosts) < 3 {
		Skip("there are two hosts, since they have kernels of their own")
	}
}

// member is a host that can send tunnels.
func member(name string) host.Options {
	o := host.Fresh(name)
	o.Tunnels = true
	return o
}

var _ = BeforeSuite(func(ctx SpecContext) {
	spec := host.Spec{Name: "hosts", Hosts: []host.Options{member("h1"), member("h2"), member("h3")}}
	if host.NoKernel() == "" {
		spec.Hosts = spec.Hosts[:2] // emulated machines take all that this one has
	}
	cluster = suite.Up(ctx, spec)
	for _, h := range cluster.Hosts() {
		hosts = append(hosts, lab.New(h))
	}
}, NodeTimeout(15*time.Minute))

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)

// set changes settings of a host's plugin.
func set(ctx context.Context, l *lab.Lab, settings ...string) {
	GinkgoHelper()
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	l.MustDocker(ctx, append([]string{"plugin", "set", host.PluginName}, settings...)...)
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
}

// connections are the options by which a host's networks use the OVN of the first host.
func connections(l *lab.Lab) (nb, sb string) {
	if l == hosts[0] {
		return lab.NB, lab.SB
	}
	return "ssl:" + hosts[0].Address() + ":6641", "ssl:" + hosts[0].Address() + ":6642"
}

// network makes a network of a host whose addresses no other host gives. The same name, subnet and switch on another host is
// the same network.
func network(ctx context.Context, l *lab.Lab, name, subnet string, options ...string) {
	GinkgoHelper()
	nb, sb := connections(l)
	args := []string{
		"network", "create", "--driver", host.PluginName, "--ipam-driver", host.PluginName, "--subnet", subnet,
		"--opt", "ovn.switch=ls-" + name, "--opt", "ovn.nb_connection=" + nb, "--opt", "ovn.sb_connection=" + sb, "--opt", "ovn.auto_create=true",
	}
	for _, o := range options {
		args = append(args, "--opt", o)
	}
	l.MustDocker(ctx, append(args, name)...)
}

// invite has the first host invite another one, and returns the invitation.
func invite(ctx context.Context, name string) string {
	GinkgoHelper()
	return hosts[0].Command(ctx, "invite", name, "-")
}

// join has a host accept an invitation, and returns what its command says.
func join(ctx context.Context, l *lab.Lab, invitation string) (string, error) {
	GinkgoHelper()
	const file = "/root/invitation"
	Expect(l.WriteFile(ctx, file, []byte(invitation), 0o600)).To(Succeed())
	// The command is in the plugin's root folder: these hosts have no installed one.
	out, err := l.TryCommand(ctx, "join", file)
	return strings.TrimSpace(out), err
}

// share has the first host publish its OVN central, with a network that it needs to have one, and the others join it, unless
// they have.
func share(ctx context.Context) {
	GinkgoHelper()
	network(ctx, hosts[0], "first", "10.8.0.0/24")
	if hosts[0].MustDocker(ctx, "ps", "-q", "--filter", "name=^/?ovn-relay$") == "" {
		set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH="+hosts[0].Address())
	}
	for i, l := range hosts[1:] {
		if _, err := join(ctx, l, invite(ctx, fmt.Sprint("h", i+2))); err != nil {
			Fail(err.Error())
		}
	}
	hosts[0].MustDocker(ctx, "network", "rm", "first")
}

// clean removes all containers and networks of all hosts, OVN excepted, and proves that nothing of them is left on any.
func clean(ctx context.Context) {
	GinkgoHelper()
	for _, l := range hosts {
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
	}
	hosts[0].Clean(ctx)
	for _, l := range hosts[1:] {
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(l.OVSOwned(ctx)).To(BeEmpty())
			g.Expect(l.LinksOwned(ctx)).To(BeEmpty())
			g.Expect(l.Records(ctx)).To(BeEmpty())
		})
	}
}

// reaches waits until one container has answers of another one's address.
func reaches(ctx context.Context, l *lab.Lab, container, address string) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", address)
		g.Expect(err).NotTo(HaveOccurred())
	})
}
