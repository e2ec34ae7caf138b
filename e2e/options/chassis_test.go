package options_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// chassis is what Open vSwitch's settings say.
func chassis(ctx context.Context, key string) string {
	GinkgoHelper()
	return strings.Trim(l.Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:"+key), `"`)
}

// plain is a network without a router.
func plain(name, subnet string, options ...string) lab.Net {
	return lab.Net{Name: name, Subnet: subnet, Switch: "ls-" + name, Auto: true, Options: options}
}

var _ = Describe("the options of the chassis", Label("options"), func() {
	It("set its encapsulation, and the MTU with it, and refuse another one beside", func(ctx SpecContext) {
		l.Network(ctx, plain("tunnels", "10.0.1.0/24", "ovn.encap=vxlan", "ovn.encap_ip="+l.Address()))
		Expect(chassis(ctx, "ovn-encap-type")).To(Equal("vxlan"))
		Expect(chassis(ctx, "ovn-encap-ip")).To(Equal(l.Address()))
		for _, c := range []string{"c1", "c2"} {
			l.Container(ctx, c, "tunnels")
			Expect(l.Exec(ctx, c, "cat", "/sys/class/net/eth0/mtu")).To(Equal("1450"))
		}
		e := ping(ctx, "tunnels", "c1", "c2", 3, 1422)
		Expect(e.count).To(Equal(3))

		before := l.State(ctx)
		for says, n := range map[string]lab.Net{
			"mtu 1500 does not fit": plain("wrong", "10.0.2.0/24", "ovn.encap=vxlan", "ovn.encap_ip="+l.Address(), "mtu=1500"),
			"geneve":                plain("wrong", "10.0.2.0/24", "ovn.encap=geneve"),
			"192.0.2.77":            plain("wrong", "10.0.2.0/24", "ovn.encap_ip=192.0.2.77"),
		} {
			Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring(says))
			Expect(l.Changes(ctx, before)).To(BeEmpty())
		}
	}, suite.Hang)

	It("give it another integration bridge while it has no network, and refuse it beside one", func(ctx SpecContext) {
		l.Network(ctx, plain("own", "10.0.1.0/24", "bridge=br-own"))
		DeferCleanup(func(ctx SpecContext) {
			l.Clean(ctx)
			l.Network(ctx, plain("back", "10.0.1.0/24"))
			l.Clean(ctx)
			l.Must(ctx, "ovs-vsctl", "del-br", "br-own")
			Expect(chassis(ctx, "ovn-bridge")).To(Equal("br-int"))
		})
		Expect(chassis(ctx, "ovn-bridge")).To(Equal("br-own"))
		l.Container(ctx, "c1", "own")
		l.Container(ctx, "c2", "own")
		l.Ping(ctx, "c1", "c2")
		Expect(l.Must(ctx, "ovs-vsctl", "port-to-br", "ocn"+l.Endpoint(ctx, "c1", "own").EndpointID[:12])).To(Equal("br-own"))
		before := l.State(ctx)
		Expect(l.NetworkError(ctx, plain("wrong", "10.0.2.0/24").Args()...)).To(And(ContainSubstring("br-own"), ContainSubstring("br-int")))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
	}, suite.Hang)
})
