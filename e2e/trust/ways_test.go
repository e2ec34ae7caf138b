package trust_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// underlay is the link by which a host reaches the others.
func underlay(l *lab.Lab) string {
	if host.Emulated(l.Host) {
		return "eth0"
	}
	return host.UnderlayBridge
}

var _ = Describe("a network that other hosts have containers on", Ordered, func() {
	// attempt has the second host make the network, which must fail, and leave nothing there.
	attempt := func(ctx context.Context, options ...string) string {
		GinkgoHelper()
		nb, sb := hosts.Connections(hosts[1])
		said := hosts[1].NetworkError(ctx, lab.Net{Name: "ways", Subnet: "10.3.0.0/24", Switch: "ls-ways", NB: nb, SB: sb, Auto: true, Options: options}.Args()...)
		data := hosts[1].DataDir(ctx)
		Expect(hosts[1].Lines(ctx, "find", data+"/networks", data+"/endpoints", "-type", "f")).To(BeEmpty())
		lab.Soon(ctx, func(g Gomega) { g.Expect(hosts[1].Records(ctx)).To(BeEmpty()) }) // what people read is written in its own time
		return said
	}
	// refuse has the second host's packet filter refuse tunnels to the first one.
	refuse := func(ctx context.Context, how string) {
		hosts[1].Must(ctx, "iptables", how, "OUTPUT", "-p", "udp", "--dport", "6081", "-d", hosts[0].Address(), "-j", "REJECT", "--reject-with", "icmp-host-prohibited")
	}
	// deaf has the first host refuse pings of the second one, which says nothing about tunnels.
	deaf := func(ctx context.Context, how string) {
		hosts[0].Must(ctx, "iptables", how, "INPUT", "-p", "icmp", "-s", hosts[1].Address(), "-j", "REJECT", "--reject-with", "icmp-host-prohibited")
	}
	narrow := func(ctx context.Context, how string) {
		hosts[1].Must(ctx, "ip", "route", how, hosts[0].Address()+"/32", "dev", underlay(hosts[1]), "mtu", "lock", "1400")
	}

	BeforeAll(func(ctx SpecContext) {
		hosts.Share(ctx)
		hosts.Network(ctx, hosts[0], "ways", "10.3.0.0/24")
		hosts[0].Container(ctx, "w1", "ways")
	}, suite.Hang)

	AfterAll(func(ctx SpecContext) { hosts.Clean(ctx) }, suite.Hang)

	It("is refused where tunnels to them are", func(ctx SpecContext) {
		refuse(ctx, "-I")
		DeferCleanup(refuse, "-D")
		Expect(attempt(ctx)).To(MatchRegexp(`tunnels to host "h1" at ` + hosts[0].Address() + `, UDP port 6081, are refused \((no route to host|operation not permitted)\)`))
	}, suite.Hang)

	It("is made where only pings are refused", func(ctx SpecContext) {
		deaf(ctx, "-I")
		DeferCleanup(deaf, "-D")
		hosts.Network(ctx, hosts[1], "ways", "10.3.0.0/24")
		Expect(hosts[1].Command(ctx, "hosts")).To(MatchRegexp(`(?m)^h1 +` + hosts[0].Address() + ` +geneve +no answer`))
		hosts[1].Container(ctx, "w2", "ways")
		joined.Reaches(ctx, hosts[1], "w2", hosts[0].AddressOf(ctx, "w1", "ways"))
		hosts[1].MustDocker(ctx, "rm", "-f", "w2")
		hosts[1].MustDocker(ctx, "network", "rm", "ways")
	}, suite.Hang)

	It("is refused where their tunnels are others", func(ctx SpecContext) {
		Expect(attempt(ctx, "ovn.encap=vxlan")).To(ContainSubstring(`host "h1" takes tunnels of geneve, and this host at ` + hosts[1].Address() + ` of vxlan: use ovn.encap=geneve`))
	}, suite.Hang)

	It("is refused where the way takes no packets of that length, and made with shorter ones", func(ctx SpecContext) {
		narrow(ctx, "add")
		DeferCleanup(narrow, "del")
		Expect(attempt(ctx)).To(ContainSubstring("takes packets of 1400 bytes, and those of this network are as long as 1500 in geneve: use mtu=1342"))
		hosts.Network(ctx, hosts[1], "ways", "10.3.0.0/24", "mtu=1342")
		hosts[1].MustDocker(ctx, "network", "rm", "ways")
	}, suite.Hang)

	It("is made where some of them are reached, and the hosts command tells which", func(ctx SpecContext) {
		hosts.Network(ctx, hosts[2], "ways", "10.3.0.0/24")
		hosts[2].Container(ctx, "w3", "ways")
		refuse(ctx, "-I")
		refused := true
		DeferCleanup(func(ctx SpecContext) {
			if refused {
				refuse(ctx, "-D")
			}
		})
		hosts.Network(ctx, hosts[1], "ways", "10.3.0.0/24")
		line := func(i int, way string) string {
			return fmt.Sprintf(`(?m)^h%d +%s +geneve +%s`, i+1, hosts[i].Address(), way)
		}
		Expect(hosts[1].Command(ctx, "hosts")).To(And(MatchRegexp(line(0, "tunnels to host .* are refused")), MatchRegexp(line(2, "ok"))))
		refuse(ctx, "-D")
		refused = false
		Expect(hosts[1].Command(ctx, "hosts")).To(And(MatchRegexp(line(0, "ok")), MatchRegexp(line(2, "ok"))))
	}, suite.Hang)

	It("is not harmed by another host that looks for what is left over", func(ctx SpecContext) {
		const many = 6
		made := make(chan struct{})
		var looks sync.WaitGroup
		looks.Go(func() {
			defer GinkgoRecover()
			for n := 0; ; n++ {
				select {
				case <-made:
					Expect(n).To(BeNumerically(">", 0), "looks")
					return
				default:
				}
				if n%4 == 3 {
					hosts[2].RestartPlugin(ctx)
				}
				hosts[2].Command(ctx, "reconcile")
			}
		})
		func() {
			defer looks.Wait()
			defer close(made)
			for i := range many {
				name := fmt.Sprint("made", i)
				hosts.Network(ctx, hosts[1], name, fmt.Sprintf("10.4.%d.0/24", i), "ovn.router=lr-ways")
				hosts[1].Container(ctx, name, "ways")
				hosts[1].MustDocker(ctx, "network", "connect", name, name)
				if i%2 == 1 {
					hosts[1].MustDocker(ctx, "rm", "-f", name)
					hosts[1].MustDocker(ctx, "network", "rm", name)
				}
			}
		}()
		for i := 0; i < many; i += 2 {
			name := fmt.Sprint("made", i)
			joined.Reaches(ctx, hosts[2], "w3", hosts[1].AddressOf(ctx, name, "ways"))
			joined.Reaches(ctx, hosts[1], name, hosts[2].AddressOf(ctx, "w3", "ways"))
		}
		ports := func(name string) int {
			return len(strings.Split(hosts[0].NBCtl(ctx, "--bare", "get", "Logical_Switch", name, "ports"), ","))
		}
		Expect(ports("ls-ways")).To(Equal(2+many/2), "those of w1, of w3, and of what was made")
		for i := 0; i < many; i += 2 {
			Expect(ports(fmt.Sprint("ls-made", i))).To(Equal(2), "that of the container, and the router's")
		}
	}, suite.Hang)
})
