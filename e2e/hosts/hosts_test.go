package hosts_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// carries has one container send 10 MB to another one, which must be what arrives.
func carries(ctx context.Context, from *lab.Lab, server string, to *lab.Lab, client, address string) {
	GinkgoHelper()
	from.Exec(ctx, server, "dd", "if=/dev/urandom", "of=/www/blob", "bs=1M", "count=10")
	sum, _, _ := strings.Cut(from.Exec(ctx, server, "sha256sum", "/www/blob"), " ")
	to.Exec(ctx, client, "timeout", "60", "wget", "-q", "-O", "/tmp/blob", "http://"+address+"/blob")
	Expect(to.Exec(ctx, client, "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
}

var _ = Describe("several hosts", Ordered, func() {
	at := func(i int) string { return fmt.Sprint("c", i+1) } // the container of a host
	address := func(ctx context.Context, i int, network string) string {
		return hosts[i].AddressOf(ctx, at(i), network)
	}

	BeforeAll(func(ctx SpecContext) {
		joined.Set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH=")
		lab.Soon(ctx, func(g Gomega) {
			g.Expect(joined.Listens(ctx, hosts[0])).NotTo(ContainElement(hosts[0].Address() + ":6641"))
		})
	}, suite.Hang)

	It("are offered nothing by a host that has OVN central and was not told to", func(ctx SpecContext) {
		before := joined.Listens(ctx, hosts[0])
		hosts.Network(ctx, hosts[0], "app", "10.0.0.0/24")
		hosts[0].Container(ctx, at(0), "app")
		Expect(joined.Listens(ctx, hosts[0])).To(Equal(before))
		for _, port := range []string{"6641", "6642"} {
			_, err := hosts[1].Run(ctx, "ovsdb-client", "--timeout=3", "list-dbs", "tcp:"+hosts[0].Address()+":"+port)
			Expect(err).To(HaveOccurred())
		}
		Expect(hosts[0].CommandError(ctx, "invite", "h2", "/root/h2.invitation")).To(ContainSubstring("set PLUGIN_CENTRAL_PUBLISH"))
		Expect(hosts[0].Exec(ctx, at(0), "cat", "/sys/class/net/eth0/mtu")).To(Equal("1500"))
	}, suite.Hang)

	It("get a certificate each, and no word without one", func(ctx SpecContext) {
		before := joined.Listens(ctx, hosts[0])
		joined.Set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH="+hosts[0].Address())
		for i, l := range hosts[1:] {
			Expect(hosts.Join(ctx, l, hosts.Invite(ctx, fmt.Sprint("h", i+2)))).To(ContainSubstring("--opt ovn.nb_connection=ssl:" + hosts[0].Address() + ":6641"))
		}
		Expect(joined.Listens(ctx, hosts[0])).To(ConsistOf(append(before, hosts[0].Address()+":6641", hosts[0].Address()+":6642")))
		for _, port := range []string{"6641", "6642"} {
			for _, server := range []string{"tcp:", "ssl:"} {
				_, err := hosts[1].Run(ctx, "ovsdb-client", "--timeout=3", "list-dbs", server+hosts[0].Address()+":"+port)
				Expect(err).To(HaveOccurred(), "%s without a certificate", server)
			}
		}
	}, suite.Hang)

	It("refuse what is no invitation, and connections without one", func(ctx SpecContext) {
		_, err := hosts.Join(ctx, hosts[hosts.Far()], "hello")
		Expect(err).To(MatchError(ContainSubstring("this is not an invitation")))
		_, err = hosts.Join(ctx, hosts[hosts.Far()], strings.Replace(hosts.Invite(ctx, "h9"), hosts[0].Address()+":6641", hosts[hosts.Far()].Address()+":6641", 1))
		Expect(err).To(MatchError(ContainSubstring("TLS with " + hosts[hosts.Far()].Address() + ":6641")))
		nb, sb := hosts.Connections(hosts[1])
		Expect(hosts[0].NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.9.0.0/24", Switch: "ls-wrong", NB: nb, SB: sb}.Args()...)).
			To(ContainSubstring("takes certificates, and this host has none"))
	}, suite.Hang)

	It("are one network, over geneve", func(ctx SpecContext) {
		for _, l := range hosts[1:] {
			hosts.Network(ctx, l, "app", "10.0.0.0/24")
		}
		hosts[0].MustDocker(ctx, "rm", "-f", at(0))
		for i, l := range hosts {
			l.Container(ctx, at(i), "app")
			Expect(l.Exec(ctx, at(i), "cat", "/sys/class/net/eth0/mtu")).To(Equal("1442"), "on host %d", i+1)
			Expect(l.Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:ovn-encap-ip")).To(Equal(`"` + l.Address() + `"`))
		}
		seen := map[string]bool{}
		for i := range hosts {
			seen[address(ctx, i, "app")] = true
			for j, l := range hosts {
				if i != j {
					joined.Reaches(ctx, l, at(j), address(ctx, i, "app"))
				}
			}
		}
		Expect(seen).To(HaveLen(len(hosts)), "addresses")
		carries(ctx, hosts[hosts.Near()], at(hosts.Near()), hosts[hosts.Far()], at(hosts.Far()), address(ctx, hosts.Near(), "app"))
		carries(ctx, hosts[hosts.Far()], at(hosts.Far()), hosts[0], at(0), address(ctx, hosts.Far(), "app"))
	}, suite.Hang)

	It("refuse a host that would take another one's place", func(ctx SpecContext) {
		nb, sb := hosts.Connections(hosts[hosts.Far()])
		attempt := func(options ...string) string {
			return hosts[hosts.Far()].NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.9.0.0/24", Switch: "ls-wrong", NB: nb, SB: sb, Auto: true, Options: options}.Args()...)
		}
		hosts[hosts.Far()].RemoveContainers(ctx)
		hosts[hosts.Far()].RemoveNetworks(ctx)
		before := hosts[hosts.Far()].Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids")
		Expect(attempt("ovn.encap_ip=" + hosts[hosts.Near()].Address())).To(ContainSubstring(fmt.Sprintf("tunnels to %s end at host %q", hosts[hosts.Near()].Address(), hosts[hosts.Near()].Name())))
		Expect(hosts[hosts.Far()].Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids")).To(Equal(before))

		hosts[hosts.Far()].MustDocker(ctx, "stop", "-t", "5", "ovn-controller") // it would begin to take the other one's ports
		mine := hosts[hosts.Far()].Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id")
		hosts[hosts.Far()].Must(ctx, "ovs-vsctl", "set", "Open_vSwitch", ".", "external_ids:system-id="+hosts[hosts.Near()].Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id"))
		DeferCleanup(func(ctx SpecContext) {
			hosts[hosts.Far()].Must(ctx, "ovs-vsctl", "set", "Open_vSwitch", ".", "external_ids:system-id="+mine)
			hosts[hosts.Far()].MustDocker(ctx, "start", "ovn-controller")
		})
		Expect(attempt()).To(ContainSubstring(`of this host's Open vSwitch is that of host "` + hosts[hosts.Near()].Name() + `" too`))
	}, suite.Hang)

	It("keep a network that one of them removes", func(ctx SpecContext) {
		joined.Reaches(ctx, hosts[hosts.Near()], at(hosts.Near()), address(ctx, 0, "app"))
		hosts.Network(ctx, hosts[hosts.Far()], "app", "10.0.0.0/24")
		hosts[hosts.Far()].Container(ctx, at(hosts.Far()), "app")
		joined.Reaches(ctx, hosts[hosts.Far()], at(hosts.Far()), address(ctx, 0, "app"))
		_, err := hosts[hosts.Far()].Docker(ctx, "run", "--rm", "--network", "app", "--ip", address(ctx, 0, "app"), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring("is in use on logical switch")))
	}, suite.Hang)

	It("are one network, over vxlan", func(ctx SpecContext) {
		hosts.Clean(ctx)
		for i, l := range hosts {
			hosts.Network(ctx, l, "wide", "10.1.0.0/24", "ovn.encap=vxlan")
			l.Container(ctx, at(i), "wide")
			Expect(l.Exec(ctx, at(i), "cat", "/sys/class/net/eth0/mtu")).To(Equal("1450"))
		}
		for i := range hosts {
			for j, l := range hosts {
				if i != j {
					joined.Reaches(ctx, l, at(j), address(ctx, i, "wide"))
				}
			}
		}
		carries(ctx, hosts[hosts.Near()], at(hosts.Near()), hosts[hosts.Far()], at(hosts.Far()), address(ctx, hosts.Near(), "wide"))
		carries(ctx, hosts[hosts.Far()], at(hosts.Far()), hosts[0], at(0), address(ctx, hosts.Far(), "wide"))
		hosts.Clean(ctx)
	}, suite.Hang)
})
