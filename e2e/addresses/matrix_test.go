package addresses_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

// way is one combination of who gives addresses, who is said to, who answers DHCP, and which families there are.
type way struct{ driver, ipam, dhcp, family string }

// number tells those apart that are tried at the same time.
func (w way) number() int { return slices.Index(answerers, w.dhcp) }

func (w way) name() string { return fmt.Sprint("net", w.number()) }

func (w way) subnet4() string { return fmt.Sprintf("10.60.%d.0/24", w.number()) }

func (w way) subnet6() string { return fmt.Sprintf("fd00:60:%d::/64", w.number()) }

func (w way) container(i int) string { return fmt.Sprintf("c%d%d", w.number(), i) }

var answerers = []string{"none", "ovn", "external"}

func (w way) String() string {
	return fmt.Sprintf("--ipam-driver %s, ipam=%s, dhcp=%s, %s", w.driver, w.ipam, w.dhcp, w.family)
}

// net is the network; "v6" asks for nothing but IPv6, of which an engine before version 28 makes both.
func (w way) net() lab.Net {
	n := lab.Net{Name: w.name(), Switch: "ls-" + w.name(), Options: []string{"ipam=" + w.ipam, "dhcp=" + w.dhcp}}
	switch w.driver {
	case "ours":
		n.Flags = ours()
	case "null":
		n.Flags = slices.Clone(null)
	}
	if w.driver != "null" && w.family != "v6" {
		n.Subnet = w.subnet4()
	}
	if w.family != "v4" {
		n.Flags = append(n.Flags, "--ipv6", "--subnet", w.subnet6())
	}
	if w.ipam == "ovn" {
		n.Options = append(n.Options, "ovn.subnet="+w.subnet4())
	}
	return n
}

// refused is what the error says of a combination that cannot work; "" if it works.
func (w way) refused() string {
	switch {
	case w.driver == "null" && w.family != "v4":
		return "null ipam driver does not handle specific address pool requests" // Docker's words
	case w.driver == "null" && w.ipam == "static":
		return "create the network with --subnet, without --ipam-driver null"
	case w.driver == "null" && w.ipam != "ovn" && w.dhcp == "ovn":
		return "dhcp=ovn needs a subnet"
	case w.driver != "null" && w.ipam == "ovn":
		return "create the network with --ipam-driver null"
	case w.driver == "ours" && w.ipam == "external":
		return "leave ipam=external out"
	}
	return ""
}

// addressless is true of networks whose containers get no address from anybody here.
func (w way) addressless() bool { return w.driver == "null" && w.ipam != "ovn" }

// asks is true of networks whose containers are to name their addresses.
func (w way) asks() bool { return w.driver == "ours" && w.ipam == "static" }

// run starts a container, and returns its name.
func (w way) run(ctx context.Context, i int) string {
	GinkgoHelper()
	four := strings.Replace(w.subnet4(), ".0/24", fmt.Sprint(".1", i), 1)
	flags := []string{"--cap-add", "NET_ADMIN"}
	if w.asks() {
		flags = append(flags, "--ip", four)
		if w.family != "v4" {
			flags = append(flags, "--ip6", strings.Replace(w.subnet6(), "/64", fmt.Sprint("1", i), 1))
		}
	}
	name := w.container(i)
	l.Container(ctx, name, w.name(), flags...)
	if w.addressless() {
		Expect(l.Endpoint(ctx, name, w.name()).IPAddress).To(BeEmpty())
		l.Exec(ctx, name, "ip", "address", "add", four+"/24", "dev", "eth0")
	}
	return name
}

// address4 and address6 are what the container has on its link.
func address4(ctx context.Context, container string) string {
	GinkgoHelper()
	return onLink(ctx, container, "-4")
}

func address6(ctx context.Context, container string) string {
	GinkgoHelper()
	return onLink(ctx, container, "-6")
}

func onLink(ctx context.Context, container, family string) string {
	GinkgoHelper()
	fields := strings.Fields(l.Exec(ctx, container, "ip", family, "-o", "address", "show", "dev", "eth0", "scope", "global"))
	Expect(len(fields)).To(BeNumerically(">", 3))
	address, _, _ := strings.Cut(fields[3], "/")
	return address
}

// serveDHCP has the container give the upper addresses of its subnet away.
func serveDHCP(ctx context.Context, container string) string {
	GinkgoHelper()
	prefix := address4(ctx, container)
	prefix = prefix[:strings.LastIndex(prefix, ".")]
	conf := fmt.Sprintf("interface eth0\nstart %s.100\nend %[1]s.150\nlease_file /tmp/leases\npidfile /tmp/pid\noption subnet 255.255.255.0\n", prefix)
	l.Exec(ctx, container, "sh", "-c", "printf '%s' \"$0\" >/tmp/udhcpd.conf; touch /tmp/leases", conf)
	l.MustDocker(ctx, "exec", "-d", container, "udhcpd", "-f", "/tmp/udhcpd.conf")
	return prefix + ".1"
}

// lease6 is what a DHCPv6 client in the container is told, by the names that dhclient gives to its script.
func lease6(ctx context.Context, container string) string {
	GinkgoHelper()
	script, told, leases, pidfile := "/tmp/dhcp6-"+container, "/tmp/told-"+container, "/tmp/leases6-"+container, "/tmp/dhclient6-"+container
	Expect(l.WriteFile(ctx, script, []byte("#!/bin/sh\nenv >"+told+"\n"), 0o755)).To(Succeed())
	l.Must(ctx, "rm", "-f", told, leases)
	lab.Soon(ctx, func(g Gomega) { // the client speaks from it
		g.Expect(l.Exec(ctx, container, "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link")).To(SatisfyAll(ContainSubstring("fe80:"), Not(ContainSubstring("tentative"))))
	})
	pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", container)
	l.Must(ctx, "timeout", "30", "nsenter", "-t", pid, "-n", "dhclient", "-6", "-1", "-sf", script, "-lf", leases, "-pf", pidfile, "eth0")
	client := ""
	lab.Soon(ctx, func(g Gomega) { // which the client, behind its parent's back by then, writes when it gets to it
		client = l.Must(ctx, "cat", pidfile)
		g.Expect(client).NotTo(BeEmpty())
	})
	l.Must(ctx, "kill", client)
	return l.Must(ctx, "cat", told)
}

// works proves it with traffic, and with DHCP clients.
func (w way) works(ctx context.Context) {
	GinkgoHelper()
	l.Network(ctx, w.net())
	if w.asks() {
		_, err := l.Docker(ctx, "run", "--rm", "--network", w.name(), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring("give the container its address with --ip")))
		if w.family == "v6" {
			_, err = l.Docker(ctx, "run", "--rm", "--network", w.name(), "--ip", "10.201.0.9", host.ImageDemo, "true")
			Expect(err).To(MatchError(ContainSubstring("only when connecting to networks with user configured subnets"))) // Docker's words
			return
		}
	}
	one, two := w.run(ctx, 1), w.run(ctx, 2)
	l.Ping(ctx, one, address4(ctx, two))
	six := w.driver != "null" && w.family != "v4"
	if six {
		lab.Soon(ctx, func(g Gomega) { // not before the address has been found to be nobody's
			_, err := l.Docker(ctx, "exec", one, "ping6", "-c", "1", "-W", "1", address6(ctx, two))
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
	switch w.dhcp {
	case "ovn":
		Expect(lease(ctx, one, false)).To(HaveKeyWithValue("ip", address4(ctx, one)))
		if six {
			Expect(lease6(ctx, two)).To(ContainSubstring("new_ip6_address=" + address6(ctx, two) + "\n"))
		}
	case "external":
		prefix := serveDHCP(ctx, two)
		Expect(lease(ctx, one, true)).To(HaveKeyWithValue("ip", HavePrefix(prefix)))
		l.Ping(ctx, one, address4(ctx, two))
	default:
		By("nobody answers DHCP")
		_, err := l.Docker(ctx, "exec", one, "timeout", "5", "udhcpc", "-f", "-n", "-q", "-t", "1", "-T", "1", "-A", "0", "-i", "eth0", "-s", "/bin/true")
		Expect(err).To(HaveOccurred())
	}
}

var _ = Describe("every way to get addresses", func() {
	for _, driver := range []string{"default", "ours", "null"} {
		for _, ipam := range []string{"docker", "static", "external", "ovn"} {
			It(fmt.Sprintf("is what it says, or refused: --ipam-driver %s, ipam=%s", driver, ipam), func(ctx SpecContext) {
				var all sync.WaitGroup
				for _, dhcp := range answerers {
					all.Go(func() {
						defer GinkgoRecover()
						for _, family := range []string{"v4", "dual", "v6"} {
							w := way{driver, ipam, dhcp, family}
							By(w.String())
							if says := w.refused(); says != "" {
								Expect(l.NetworkError(ctx, w.net().Args()...)).To(ContainSubstring(says))
								continue
							}
							w.works(ctx)
							_, err := l.Docker(ctx, "rm", "-f", w.container(1), w.container(2)) // one may never have been
							GinkgoWriter.Println(err)
							l.MustDocker(ctx, "network", "rm", w.name())
						}
					})
				}
				all.Wait()
			}, NodeTimeout(5*time.Minute))
		}
	}
})
