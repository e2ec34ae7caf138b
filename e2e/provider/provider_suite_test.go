// Package provider_test leads containers to a physical network: directly, and by OVN's own NAT.
package provider_test

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestProvider(t *testing.T) { suite.Run(t, "provider networks") }

const (
	gateway  = "203.0.113.1"  // of the wire, a machine on it
	internet = "198.51.100.1" // behind that
)

var (
	cluster host.Cluster
	l       *lab.Lab // the host under test
	wire    *lab.Lab // the machine on the wire, which knows nothing of containers
	before  []string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	fresh := host.Fresh("h1")
	fresh.Wire = true
	cluster = suite.Up(ctx, host.Spec{Name: "provider", Hosts: []host.Options{fresh, {Name: "h2", Wire: true}}})
	l, wire = lab.New(cluster.Hosts()[0]), lab.New(cluster.Hosts()[1])
	for _, command := range [][]string{
		{"ip", "link", "set", host.WireLink, "up"},
		{"ip", "address", "add", gateway + "/24", "dev", host.WireLink},
		{"ip", "address", "add", internet + "/32", "dev", "lo"},
		{"ethtool", "-K", host.WireLink, "tx", "off"}, // as what comes off a real wire has its checksums
		{"mkdir", "-p", "/var/tmp/www"},
		{"dd", "if=/dev/urandom", "of=/var/tmp/www/blob", "bs=1M", "count=10"},
	} {
		wire.Must(ctx, command...)
	}
	Expect(wire.WriteFile(ctx, "/var/tmp/www/index.html", []byte("a page outside"), 0o644)).To(Succeed())
	stop, err := wire.Start(ctx, "/var/log/httpd.log", "busybox", "httpd", "-f", "-v", "-p", "9000", "-h", "/var/tmp/www")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)

	// As the README says.
	l.Must(ctx, "ovs-vsctl", "add-br", "br-wan", "--", "set", "Bridge", "br-wan", "datapath_type=netdev", "--", "add-port", "br-wan", host.WireLink)
	l.Must(ctx, "ip", "link", "set", host.WireLink, "up")
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	l.MustDocker(ctx, "plugin", "set", host.PluginName, "PLUGIN_BRIDGE_MAPPINGS=wan:br-wan")
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
	l.Network(ctx, lab.Net{Name: "first", Subnet: "10.8.0.0/24", Switch: "ls-first", Auto: true})
	l.MustDocker(ctx, "run", "--rm", "--network", "first", host.ImageDemo, "true")
	l.Clean(ctx)
	before = l.NBOwned(ctx)
}, NodeTimeout(15*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	_ = AfterEach(func(ctx SpecContext) {
		l.Clean(ctx)
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.NBOwned(ctx)).To(Equal(before)) })
		Expect(l.OVSOwned(ctx)).To(BeEmpty())
	}, suite.Hang)
)

// wan is the provider network.
func wan(flags ...string) lab.Net {
	return lab.Net{Name: "wan", Subnet: "203.0.113.0/24", Gateway: gateway, Switch: "ls-wan", Options: []string{"ovn.physical_network=wan"}, Flags: flags, Auto: true}
}

// behind is a network of the router lr-app.
func behind(name, subnet string, options ...string) lab.Net {
	return lab.Net{Name: name, Subnet: subnet, Switch: "ls-" + name, Options: append([]string{"ovn.router=lr-app"}, options...)}
}

// fetch has a container get a page over HTTP.
func fetch(ctx context.Context, container, url string) string {
	GinkgoHelper()
	return l.Exec(ctx, container, "timeout", "10", "wget", "-q", "-O", "-", url)
}

func unreachable(ctx context.Context, container, address string) {
	GinkgoHelper()
	_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", address)
	Expect(err).To(HaveOccurred(), "%s reaches %s", container, address)
}

// curl is a page that the machine on the wire gets.
func curl(ctx context.Context, url string) string {
	GinkgoHelper()
	return wire.Must(ctx, "curl", "-sf", "--max-time", "5", url)
}

// leaves proves the way out of a container, and which address it has outside.
func leaves(ctx context.Context, container, address string) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", internet)
		g.Expect(err).NotTo(HaveOccurred())
	})
	Expect(fetch(ctx, container, "http://"+internet+":9000/")).To(Equal("a page outside"))
	lines := wire.Lines(ctx, "cat", "/var/log/httpd.log")
	Expect(lines[len(lines)-1]).To(ContainSubstring(address + "]"))
	l.Exec(ctx, container, "timeout", "60", "wget", "-q", "-O", "/tmp/blob", "http://"+internet+":9000/blob")
	sum, _, _ := strings.Cut(wire.Must(ctx, "sha256sum", "/var/tmp/www/blob"), " ")
	Expect(l.Exec(ctx, container, "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
}

// followed waits until ovn-controller has followed what OVN was told after switches or routers were made anew. Until then,
// flows of those before may lead the first packets out, and a connection of theirs ends with them: OVN's conntrack zones are
// of the switch or router that was lost. With no chassis in the database, sync waits for none.
func followed(ctx context.Context) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		chassis, err := l.Docker(ctx, "exec", "ovn-central", "ovn-sbctl", "--bare", "--columns=name", "list", "Chassis")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(chassis).NotTo(BeEmpty())
		_, err = l.Docker(ctx, "exec", "ovn-central", "ovn-nbctl", "--wait=hv", "--timeout=5", "sync")
		g.Expect(err).NotTo(HaveOccurred())
	})
}
