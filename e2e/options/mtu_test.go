package options_test

import (
	"context"
	"fmt"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// sized is a network of a router with an MTU, of both families.
func sized(name string, n, mtu int, router string, options ...string) lab.Net {
	return lab.Net{
		Name: name, Subnet: fmt.Sprintf("10.60.%d.0/24", n), Switch: "ls-" + name, Auto: true,
		Options: append([]string{"ovn.router=" + router, "mtu=" + strconv.Itoa(mtu)}, options...),
		Flags:   []string{"--ipv6", "--subnet", fmt.Sprintf("fd00:%d::/64", n)},
	}
}

// longest is what "ping -M do" finds to be the longest packet on the way, of a few.
func longest(ctx context.Context, from, address string, header int, sizes ...int) int {
	GinkgoHelper()
	most := 0
	for _, size := range sizes {
		pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", from)
		out, err := l.Run(ctx, "nsenter", "-t", pid, "-n", "ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", strconv.Itoa(size-header), address)
		if err == nil {
			most = max(most, size)
			continue
		}
		// It does not vanish: the router, or what the host has learnt of it, says why.
		Expect(fmt.Sprint(out, err)).To(Or(ContainSubstring("Frag needed"), ContainSubstring("essage too long"), ContainSubstring("Packet too big")), "%d bytes to %s", size, address)
	}
	return most
}

var _ = Describe("the MTU", Label("options"), Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "transit-net", Subnet: "172.31.0.0/24", Switch: "ls-t", Auto: true, Options: []string{"ovn.role=transit", "ovn.external_gateway=172.31.0.1"}})
		for _, n := range []lab.Net{
			sized("large", 1, 9000, "lr-one"), sized("large2", 2, 9000, "lr-one"), sized("usual", 3, 1500, "lr-one"), sized("small", 4, 1400, "lr-one", "dhcp=ovn"),
			{Name: "behind", Subnet: "10.60.5.0/24", Switch: "ls-behind", Auto: true, Options: []string{"ovn.router=lr-two", "ovn.transit_network=transit-net", "mtu=9000"}},
			{Name: "over", Subnet: "10.60.6.0/24", Switch: "ls-over", Auto: true, Options: []string{"ovn.router=lr-three", "ovn.transit_network=transit-net", "mtu=1400"}},
		} {
			l.Network(ctx, n)
			l.Container(ctx, n.Name+"0", n.Name, "-p", "80")
		}
	}, suite.Hang)

	It("is that of the links of containers, and what DHCP and router advertisements tell", func(ctx SpecContext) {
		for name, mtu := range map[string]string{"large": "9000", "usual": "1500", "small": "1400", "behind": "9000"} {
			Expect(l.Exec(ctx, name+"0", "cat", "/sys/class/net/eth0/mtu")).To(Equal(mtu))
		}
		Expect(l.NBCtl(ctx, "--bare", "--columns=options", "find", "DHCP_Options", "cidr=10.60.4.0/24")).To(ContainSubstring("mtu=1400"))
		Expect(l.NBCtl(ctx, "--bare", "--columns=ipv6_ra_configs", "find", "Logical_Router_Port", "name=\"lr-one:ls-small\"")).To(ContainSubstring("mtu=1400"))
		Expect(l.Command(ctx, "status")).To(MatchRegexp(`small.* ready +1400 `))
	}, suite.Hang)

	DescribeTable("lets the largest packets of the way through, and answers those that are too long", func(ctx SpecContext, from, to string, mtu int) {
		at := l.AddressOf(ctx, to+"0", to)
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", from+"0", "ping", "-c", "1", "-W", "1", at)
			g.Expect(err).NotTo(HaveOccurred())
		})
		Expect(longest(ctx, from+"0", at, 28, 1400, 1401, 1500, 1501, 9000)).To(Equal(mtu))
	},
		Entry("on one switch's router", "large", "large2", 9000),
		Entry("to a smaller network", "large", "usual", 1500),
		Entry("to the smallest", "large", "small", 1400),
		Entry("from a smaller one", "small", "large", 1400),
		Entry("over a transit network", "behind", "over", 1400),
	)

	It("does so for IPv6", func(ctx SpecContext) {
		at := l.MustDocker(ctx, "inspect", "-f", `{{(index .NetworkSettings.Networks "small").GlobalIPv6Address}}`, "small0")
		Expect(longest(ctx, "large0", at, 48, 1400, 1401, 9000)).To(Equal(1400))
	}, suite.Hang)

	It("lets the host reach every container, and carries whole files", func(ctx SpecContext) {
		l.Exec(ctx, "small0", "sh", "-c", "dd if=/dev/urandom of=/www/blob bs=1M count=10 2>/dev/null")
		sum := l.Exec(ctx, "small0", "sha256sum", "/www/blob")[:64]
		for _, from := range []string{"large0", "usual0"} {
			l.Exec(ctx, from, "timeout", "60", "wget", "-q", "-O", "/tmp/blob", "http://"+l.AddressOf(ctx, "small0", "small")+"/blob")
			Expect(l.Exec(ctx, from, "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
		}
		l.Exec(ctx, "large0", "sh", "-c", "cp /tmp/blob /www/blob")
		l.Exec(ctx, "small0", "timeout", "60", "wget", "-q", "-O", "/tmp/blob", "http://"+l.AddressOf(ctx, "large0", "large")+"/blob")
		Expect(l.Exec(ctx, "small0", "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
		for _, name := range []string{"small", "large", "over"} {
			l.Must(ctx, "curl", "-sf", "--max-time", "10", "-o", "/dev/null", "http://"+l.AddressOf(ctx, name+"0", name)+"/")
		}
		l.Must(ctx, "curl", "-sf", "--max-time", "30", "-o", "/var/tmp/blob", "http://"+l.AddressOf(ctx, "small0", "small")+"/blob")
		Expect(l.Must(ctx, "sha256sum", "/var/tmp/blob")).To(HavePrefix(sum))
		l.Must(ctx, "ping", "-c", "2", "-M", "do", "-s", "1372", l.AddressOf(ctx, "small0", "small"))
	}, suite.Hang)
})
