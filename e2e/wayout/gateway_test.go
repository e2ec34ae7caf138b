package wayout_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// natGateway runs a container that is on Docker's bridge and on the transit network, and does NAT for a subnet. Its rules are
// made with the host's programs: the image has none.
func natGateway(ctx SpecContext, subnet string) {
	GinkgoHelper()
	l.MustDocker(ctx, "create", "--name", "gateway", "--sysctl", "net.ipv4.ip_forward=1", host.ImageDemo)
	l.MustDocker(ctx, "network", "connect", "--ip", "192.168.100.254", "transit-net", "gateway")
	l.MustDocker(ctx, "start", "gateway")
	inside := []string{"nsenter", "-n", "-t", l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", "gateway")}
	l.Must(ctx, append(inside, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", subnet, "-j", "MASQUERADE")...)
	l.Must(ctx, append(inside, "ip", "route", "add", subnet, "via", "192.168.100.1")...)
}

var _ = It("leads out of VPCs by a container that does NAT, and in by the host", Label("wayout"), func(ctx SpecContext) {
	l.Network(ctx, lab.Net{
		Name: "transit-net", Subnet: "192.168.100.0/24", Gateway: "192.168.100.1", Switch: "ls-transit",
		Options: []string{"ovn.role=transit", "ovn.external_gateway=192.168.100.254"},
	})
	a := routed("a", "10.0.0.0/24")
	a.Options = append(a.Options, "ovn.transit_network=transit-net")
	l.Network(ctx, a)
	l.Container(ctx, "a1", "a", "-p", "8080:80")
	sealed := routed("sealed", "10.0.5.0/24", "--internal")
	sealed.Options = append(sealed.Options, "ovn.transit_network=transit-net")
	l.Network(ctx, sealed)
	l.Container(ctx, "s1", "sealed")
	By("not before the gateway is there, but for what is published")
	unreachable(ctx, "a1", outside.Address())
	Expect(curl(ctx, outside, "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))

	for _, turn := range []string{"with the gateway", "with another one in its place"} {
		By(turn)
		natGateway(ctx, "10.0.0.0/16")
		reaches(ctx, "a1")
		Expect(caller(ctx)).To(Equal(l.Address()))
		By("not from a network that is internal, though the gateway would take it")
		unreachable(ctx, "s1", outside.Address())
		l.Ping(ctx, "s1", l.AddressOf(ctx, "a1", "a"))
		l.Ping(ctx, "a1", l.AddressOf(ctx, "s1", "sealed"))
		l.Exec(ctx, "a1", "timeout", "30", "wget", "-q", "-O", "/tmp/blob", "http://"+outside.Address()+":9000/blob")
		sum, _, _ := strings.Cut(outside.Must(ctx, "sha256sum", "/var/tmp/www/blob"), " ")
		Expect(l.Exec(ctx, "a1", "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
		By("through it, and not through the host")
		l.Exec(ctx, "gateway", "ping", "-c", "1", "-W", "2", l.AddressOf(ctx, "a1", "a"))
		l.MustDocker(ctx, "rm", "-f", "gateway")
		unreachable(ctx, "a1", outside.Address())
	}
	By("where the container reaches nothing of the host by the way in")
	_, err := l.Docker(ctx, "exec", "a1", "timeout", "3", "nc", "100.64.0.1", "8080")
	Expect(err).To(HaveOccurred())
	By("with the VPC made first, and its transit network later")
	l.RemoveContainers(ctx)
	l.RemoveNetworks(ctx)
	l.Network(ctx, a)
	l.Network(ctx, lab.Net{
		Name: "transit-net", Subnet: "192.168.100.0/24", Gateway: "192.168.100.1", Switch: "ls-transit",
		Options: []string{"ovn.role=transit", "ovn.external_gateway=192.168.100.254"},
	})
	lab.Soon(ctx, func(g Gomega) { g.Expect(l.Run(ctx, "ip", "link", "show", "ovn-host0")).NotTo(BeEmpty()) })
	l.Container(ctx, "a1", "a", "-p", "8080:80")
	natGateway(ctx, "10.0.0.0/24")
	reaches(ctx, "a1")
	l.Agree(ctx)
}, suite.Hang)
