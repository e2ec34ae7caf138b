// Package wayout_test leads containers behind a router to the world and back, by way of the host that they run on, and proves
// what does not get through.
package wayout_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestWayOut(t *testing.T) { suite.Run(t, "way out") }

var (
	cluster host.Cluster
	l       *lab.Lab // the host under test
	outside *lab.Lab // a machine on the same underlay that knows nothing of containers
	before  lab.State
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "wayout", Hosts: []host.Options{host.Fresh("h1"), {Name: "h2"}}})
	l, outside = lab.New(cluster.Hosts()[0]), lab.New(cluster.Hosts()[1])
	Expect(outside.WriteFile(ctx, "/var/tmp/www/index.html", []byte("a page outside"), 0o644)).To(Succeed())
	outside.Must(ctx, "dd", "if=/dev/urandom", "of=/var/tmp/www/blob", "bs=1M", "count=10")
	stop, err := outside.Start(ctx, "/var/log/httpd.log", "busybox", "httpd", "-f", "-v", "-p", "9000", "-h", "/var/tmp/www")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
	// What Docker and the plugin make once, and keep.
	l.Network(ctx, lab.Net{Name: "first", Subnet: "10.8.0.0/24", Switch: "ls-first", Auto: true})
	l.MustDocker(ctx, "run", "--rm", "--network", "first", host.ImageDemo, "true")
	l.Network(ctx, routed("once", "10.9.0.0/24")) // an empty table of the packet filter stays
	l.Clean(ctx)
	before = l.State(ctx)
}, NodeTimeout(15*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	// Nothing of the way out is left once nobody needs it: not on the host, not in OVN.
	_ = AfterEach(func(ctx SpecContext) {
		l.Clean(ctx)
		_, _ = l.Docker(ctx, "network", "rm", "bridged") // of a spec that has failed midway
		lab.Soon(ctx, func(g Gomega) { g.Expect(left(ctx)).To(BeEmpty()) })
	}, suite.Hang, OncePerOrdered)
)

// left is what differs, from before, of what a way out is made of. A restart of Docker changes other things.
func left(ctx context.Context) []string {
	GinkgoHelper()
	return slices.DeleteFunc(l.Changes(ctx, before), func(change string) bool {
		return !slices.ContainsFunc([]string{"firewall: ", "OVN northbound: ", "OVS interfaces: ", "links: ovn-"}, func(kind string) bool {
			return strings.Contains(change, kind)
		})
	})
}

// routed is a network with a router of its own.
func routed(name, subnet string, flags ...string) lab.Net {
	return lab.Net{Name: name, Subnet: subnet, Switch: "ls-" + name, Options: []string{"ovn.router=lr-" + name, "tenant_id=" + name}, Flags: flags}
}

// fetch has a container get a page over HTTP.
func fetch(ctx context.Context, container, url string) string {
	GinkgoHelper()
	return l.Exec(ctx, container, "timeout", "10", "wget", "-q", "-O", "-", url)
}

// unreachable proves that a container gets no answer at all.
func unreachable(ctx context.Context, container, address string) {
	GinkgoHelper()
	_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", address)
	Expect(err).To(HaveOccurred(), "%s reaches %s", container, address)
}

// curl is a page that a machine gets.
func curl(ctx context.Context, from *lab.Lab, url string) string {
	GinkgoHelper()
	return from.Must(ctx, "curl", "-sf", "--max-time", "5", url)
}

// caller is the address that the last caller of the page outside had.
func caller(ctx context.Context) string {
	GinkgoHelper()
	lines := outside.Lines(ctx, "cat", "/var/log/httpd.log")
	Expect(lines).NotTo(BeEmpty())
	address, _, _ := strings.Cut(strings.TrimPrefix(lines[len(lines)-1], "[::ffff:"), "]") // "[::ffff:192.0.2.1]:4711: response:200"
	return address
}

// reaches proves the way out, and the way in to a container that has port 80 published as 8080.
func reaches(ctx context.Context, container string) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", outside.Address())
		g.Expect(err).NotTo(HaveOccurred())
	})
	Expect(fetch(ctx, container, "http://"+outside.Address()+":9000/")).To(Equal("a page outside"))
	Expect(curl(ctx, outside, "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))
	for _, address := range []string{"127.0.0.1", l.Address()} {
		Expect(curl(ctx, l, "http://"+address+":8080/")).To(ContainSubstring("hello"))
	}
}
