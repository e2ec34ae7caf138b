package addresses_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// callers answers whoever connects with the caller's address.
const callers = `
import socket
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 7000))
s.listen()
while True:
    c, who = s.accept()
    c.sendall((who[0] + "\n").encode())
    c.close()
`

// dual is a network of both families.
func dual(name string, i int, options ...string) lab.Net {
	return lab.Net{
		Name: name, Subnet: fmt.Sprintf("10.70.%d.0/24", i), Switch: "ls-" + name, Options: options,
		Flags: []string{"--ipv6", "--subnet", fmt.Sprintf("fd00:70:%d::/64", i)},
	}
}

var _ = Describe("IPv6", Ordered, func() {
	// The hosts' own addresses: l is h1, and the outside is h2, which has no plugin's network.
	const here, outside = "fd99::1", "fd99::2"
	var out *lab.Lab

	reach := func(ctx context.Context, container, address string) {
		GinkgoHelper()
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", container, "ping6", "-c", "1", "-W", "1", address)
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
	// seenAs is the address that the outside sees a container's connection come from.
	seenAs := func(ctx context.Context, container, to string) string {
		GinkgoHelper()
		var answer string
		lab.Soon(ctx, func(g Gomega) {
			text, err := l.Docker(ctx, "exec", container, "nc", "-w", "2", to, "7000")
			g.Expect(err).NotTo(HaveOccurred())
			answer = strings.TrimSpace(text)
			g.Expect(answer).NotTo(BeEmpty())
		})
		return answer
	}
	published := func(ctx context.Context, from *lab.Lab, at string) {
		GinkgoHelper()
		lab.Soon(ctx, func(g Gomega) {
			text, err := from.Run(ctx, "curl", "-sS", "-g", "--max-time", "3", "http://"+at+"/")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(text).To(ContainSubstring("ovs-container-network"))
		})
	}
	closed := func(ctx context.Context, from *lab.Lab, at string) {
		GinkgoHelper()
		_, err := from.Run(ctx, "curl", "-sS", "-g", "--max-time", "1", "http://"+at+"/")
		Expect(err).To(HaveOccurred())
	}

	BeforeAll(func(ctx SpecContext) {
		out = lab.New(cluster.Hosts()[1])
		l.Must(ctx, "ip", "address", "add", here+"/64", "dev", "eth0", "nodad")
		out.Must(ctx, "ip", "address", "add", outside+"/64", "dev", "eth0", "nodad")
		stop, err := out.Start(ctx, "/var/log/callers.log", "python3", "-c", callers)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stop)
	}, suite.Hang)

	It("leads out and in, as IPv4 does, whatever happens to host and plugin", func(ctx SpecContext) {
		l.Network(ctx, dual("a", 1, "ovn.router=lr-a"))
		l.Network(ctx, dual("b", 2, "ovn.router=lr-a"))
		l.Network(ctx, dual("sealed", 3, "ovn.router=lr-b"))
		l.Container(ctx, "a1", "a", "-p", "8080:80", "-p", "0.0.0.0:8081:80", "-p", "[::]:8082:80", "-p", "7000:7000")
		l.Container(ctx, "b1", "b")
		l.Container(ctx, "s1", "sealed")
		Expect(l.Exec(ctx, "a1", "ip", "-6", "route")).To(ContainSubstring("default via fd00:70:1::1"))
		check := func() {
			GinkgoHelper()
			reach(ctx, "a1", address6(ctx, "b1"))
			reach(ctx, "a1", outside)
			Expect(seenAs(ctx, "a1", outside)).To(Equal(here))
			Expect(seenAs(ctx, "b1", out.Address())).To(HaveSuffix(l.Address()))
			for _, from := range []*lab.Lab{out, l} {
				published(ctx, from, "["+here+"]:8080")
				published(ctx, from, "["+here+"]:8082")
				published(ctx, from, l.Address()+":8080")
				published(ctx, from, l.Address()+":8081")
				closed(ctx, from, "["+here+"]:8081")
				closed(ctx, from, l.Address()+":8082")
			}
			By("another router's containers reach what is published, and nothing else")
			_, err := l.Docker(ctx, "exec", "s1", "ping6", "-c", "1", "-W", "1", address6(ctx, "a1"))
			Expect(err).To(HaveOccurred())
			lab.Soon(ctx, func(g Gomega) {
				// busybox's wget reads no such URL.
				text, err := l.Docker(ctx, "exec", "s1", "sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 "+here+" 8080")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(text).To(ContainSubstring("ovs-container-network"))
			})
		}
		check()
		By("a caller's address is kept")
		stop, err := l.Start(ctx, "/var/log/callers.log", "nsenter", "-t", l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "a1"), "-n", "python3", "-c", callers)
		Expect(err).NotTo(HaveOccurred())
		lab.Soon(ctx, func(g Gomega) {
			text, err := out.Run(ctx, "busybox", "nc", "-w", "2", here, "7000")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(strings.TrimSpace(text)).To(Equal(outside))
		})
		stop()
		By("the host forwards for its containers, and for nobody else")
		Expect(l.Must(ctx, "ip6tables", "-S", "FORWARD")).To(ContainSubstring("-P FORWARD DROP"))
		By("after a restart of the plugin")
		l.RestartPlugin(ctx)
		check()
		By("after somebody flushed the packet filter")
		for _, table := range []string{"filter", "nat", "raw"} {
			l.Must(ctx, "ip6tables", "-t", table, "-F")
		}
		l.Must(ctx, "ip6tables", "-P", "FORWARD", "ACCEPT")
		l.Command(ctx, "reconcile")
		Expect(l.Must(ctx, "ip6tables", "-S", "FORWARD")).To(ContainSubstring("-P FORWARD DROP"))
		check()
		By("after a restart of Open vSwitch")
		Expect(l.StopOVS(ctx)).To(Succeed())
		Expect(l.StartOVS(ctx)).To(Succeed())
		check()
		By("after a restart of Docker")
		Expect(l.RestartDocker(ctx)).To(Succeed())
		l.MustDocker(ctx, "start", "a1", "b1", "s1")
		check()
		l.Agree(ctx)
		l.Clean(ctx)
		lab.Soon(ctx, func(g Gomega) {
			rules, err := l.Run(ctx, "ip6tables-save")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(rules).NotTo(ContainSubstring("OCN-"))
			routes, err := l.Run(ctx, "ip", "-6", "route")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(routes).NotTo(ContainSubstring("ovn-host0"))
		})
	}, suite.Hang)

	It("has no way out of an --internal network", func(ctx SpecContext) {
		n := dual("i", 4, "ovn.router=lr-i")
		n.Flags = append(n.Flags, "--internal")
		l.Network(ctx, n)
		l.Container(ctx, "i1", "i")
		l.Container(ctx, "i2", "i")
		reach(ctx, "i1", address6(ctx, "i2"))
		_, err := l.Docker(ctx, "exec", "i1", "ping6", "-c", "1", "-W", "1", outside)
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("joins VPCs, and leads them out", func(ctx SpecContext) {
		t := lab.Net{
			Name: "t", Subnet: "192.168.70.0/24", Options: []string{"ovn.role=transit", "ovn.external_gateway=192.168.70.1"},
			Flags: []string{"--ipv6", "--subnet", "fd00:70:ffff::/64"},
		}
		l.Network(ctx, t)
		for i, name := range []string{"red", "blue"} {
			l.Network(ctx, dual(name, 10+i, "ovn.router=lr-"+name, "ovn.transit_network=t"))
			l.Container(ctx, name+"1", name)
		}
		reach(ctx, "red1", address6(ctx, "blue1"))
		Expect(seenAs(ctx, "blue1", outside)).To(Equal(here))
		l.Agree(ctx)
	}, suite.Hang)

	It("gives addresses of the plugin's, and tells them by DHCPv6", func(ctx SpecContext) {
		n := dual("d", 5, "ovn.router=lr-d", "dhcp=ovn", "dhcp.dns=192.0.2.53,2001:db8::53", "dhcp.domain=lab.example")
		n.Flags = append(n.Flags, ours()...)
		l.Network(ctx, n)
		l.Container(ctx, "d1", "d")
		l.Container(ctx, "d2", "d", "--ip6", "fd00:70:5::77")
		Expect(address6(ctx, "d2")).To(Equal("fd00:70:5::77"))
		for _, c := range []string{"d1", "d2"} {
			Expect(lease6(ctx, c)).To(SatisfyAll(ContainSubstring("new_ip6_address="+address6(ctx, c)), ContainSubstring("new_dhcp6_name_servers=2001:db8::53")))
		}
		By("the router says so, and what it says leaves the container's own address alone")
		lab.Soon(ctx, func(g Gomega) {
			routes := l.Must(ctx, "nsenter", "-t", l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "d1"), "-n", "ip", "-6", "route")
			g.Expect(routes).To(MatchRegexp(`default via fe80:\S+ dev eth0 proto ra .* pref low`))
		})
		Expect(strings.Count(l.Exec(ctx, "d1", "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global"), "inet6")).To(Equal(1))
		reach(ctx, "d1", "fd00:70:5::77")
		Expect(l.MustDocker(ctx, "network", "inspect", "-f", "{{.EnableIPv6}}", "d")).To(Equal("true"))
		l.Agree(ctx)
	}, suite.Hang)

	AfterAll(func(ctx SpecContext) {
		l.Must(ctx, "ip", "address", "del", here+"/64", "dev", "eth0")
		out.Must(ctx, "ip", "address", "del", outside+"/64", "dev", "eth0")
	}, suite.Hang)
})
