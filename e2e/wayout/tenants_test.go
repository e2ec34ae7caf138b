package wayout_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// spaced is a tenant's routed network with an address space of its own.
func spaced(tenant string) lab.Net {
	return routed(tenant, "10.41.0.0/24", "--ipam-driver", host.PluginName, "--ipam-opt", "tenant_id="+tenant)
}

var _ = Describe("tenants with the same addresses", Label("wayout"), func() {
	ports := map[string]string{"red": "8080", "blue": "8081"}
	said := func(g Gomega, from *lab.Lab, ctx context.Context, url, tenant string) {
		page, err := from.Run(ctx, "curl", "-sf", "--max-time", "3", url)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(strings.TrimSpace(page)).To(Equal(tenant))
	}
	// leads proves both ways of both tenants, whose containers have the same addresses.
	leads := func(ctx context.Context) {
		GinkgoHelper()
		for tenant, port := range ports {
			published := "http://" + l.Address() + ":" + port + "/who"
			lab.Soon(ctx, func(g Gomega) {
				for _, container := range []string{tenant + "0", tenant + "1"} {
					_, err := l.Docker(ctx, "exec", container, "ping", "-c", "1", "-W", "1", outside.Address())
					g.Expect(err).NotTo(HaveOccurred())
				}
				said(g, outside, ctx, published, tenant)
				said(g, l, ctx, published, tenant)
				said(g, l, ctx, "http://127.0.0.1:"+port+"/who", tenant)
			})
			Expect(fetch(ctx, tenant+"0", "http://"+outside.Address()+":9000/")).To(Equal("a page outside"))
			Expect(caller(ctx)).To(Equal(l.Address()))
			for of, port := range ports {
				Expect(strings.TrimSpace(fetch(ctx, tenant+"0", "http://"+l.Address()+":"+port+"/who"))).To(Equal(of))
			}
		}
	}

	BeforeEach(func(ctx SpecContext) {
		for tenant, port := range ports {
			l.Network(ctx, spaced(tenant))
			l.Container(ctx, tenant+"0", tenant, "-p", port+":80", "--restart", "always")
			l.Exec(ctx, tenant+"0", "sh", "-c", "echo "+tenant+" >/www/who")
			l.Container(ctx, tenant+"1", tenant, "--restart", "always")
			Expect(l.AddressOf(ctx, tenant+"0", tenant)).To(Equal("10.41.0.2"))
		}
	}, suite.Hang)

	AfterEach(func(ctx SpecContext) {
		leads(ctx)
		l.Agree(ctx)
	}, suite.Hang)

	It("lead out side by side, and are led in", func(SpecContext) {})

	It("do not reach each other in any other way", func(ctx SpecContext) {
		for tenant := range ports {
			places := strings.Fields(l.NBCtl(ctx, "--bare", "--columns=external_ip", "find", "NAT", "type=dnat_and_snat", "external_ids:tenant_id="+tenant))
			Expect(places).To(HaveLen(2))
			for other := range ports {
				for _, place := range places {
					if other != tenant {
						unreachable(ctx, other+"1", place)
					}
				}
			}
		}
	}, suite.Hang)

	It("stay so when the plugin is restarted, and Docker", func(ctx SpecContext) {
		l.RestartPlugin(ctx)
		leads(ctx)
		Expect(l.RestartDocker(ctx)).To(Succeed())
	}, suite.Hang)

	It("stay so after a loss of the data directory", func(ctx SpecContext) {
		data := l.DataDir(ctx)
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Must(ctx, "rm", "-rf", data)
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		lab.Soon(ctx, func(g Gomega) {
			status := l.Command(ctx, "status")
			for _, port := range ports {
				g.Expect(status).To(ContainSubstring(":" + port + "->80/tcp"))
			}
		})
		l.Command(ctx, "reconcile")
	}, suite.Hang)

	It("stay so when somebody removes what leads them out", func(ctx SpecContext) {
		l.NBCtl(ctx, "clear", "Logical_Router", "lr-red", "nat")
		l.NBCtl(ctx, "clear", "Logical_Router_Port", "lr-blue:ls-join", "gateway_chassis")
		l.Command(ctx, "reconcile")
		leads(ctx)
		l.NBCtl(ctx, "ls-del", "ls-join")
		l.Command(ctx, "reconcile")
	}, suite.Hang)
})

var _ = It("leads IPv6 of tenants with the same addresses out side by side", Label("wayout"), func(ctx SpecContext) {
	for machine, address := range map[*lab.Lab]string{l: "fd99::1/64", outside: "fd99::2/64"} {
		machine.Must(ctx, "ip", "address", "add", address, "dev", "eth0", "nodad")
		DeferCleanup(func(ctx SpecContext) { machine.Must(ctx, "ip", "address", "del", address, "dev", "eth0") })
	}
	for i, tenant := range []string{"red", "blue"} {
		n := spaced(tenant)
		n.Flags = append(n.Flags, "--ipv6", "--subnet", "fd00:41::/64")
		l.Network(ctx, n)
		l.Container(ctx, tenant+"0", tenant, "-p", fmt.Sprintf("808%d:80", i))
		l.Exec(ctx, tenant+"0", "sh", "-c", "echo "+tenant+" >/www/who")
	}
	lab.Soon(ctx, func(g Gomega) {
		for i, tenant := range []string{"red", "blue"} {
			_, err := l.Docker(ctx, "exec", tenant+"0", "ping6", "-c", "1", "-W", "1", "fd99::2")
			g.Expect(err).NotTo(HaveOccurred())
			for _, at := range []string{l.Address(), "[fd99::1]"} {
				page, err := outside.Run(ctx, "curl", "-sfg", "--max-time", "3", fmt.Sprintf("http://%s:808%d/who", at, i))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(strings.TrimSpace(page)).To(Equal(tenant))
			}
		}
	})
	l.Agree(ctx)
}, suite.Hang)
