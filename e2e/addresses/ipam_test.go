package addresses_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// ours are the flags of a network whose addresses the plugin gives.
func ours(more ...string) []string {
	return append([]string{"--ipam-driver", host.PluginName}, more...)
}

var _ = Describe("the plugin's IPAM driver", func() {
	It("gives addresses as Docker's does, and those that are asked for", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{
			Name: "a", Subnet: "10.0.0.0/24", Switch: "ls-a", Options: []string{"ovn.router=lr-a", "dhcp=ovn"},
			Flags: ours("--ip-range", "10.0.0.128/25", "--aux-address", "printer=10.0.0.129"),
		})
		l.Container(ctx, "a1", "a")
		l.Container(ctx, "a2", "a", "--ip", "10.0.0.9")
		Expect(l.AddressOf(ctx, "a1", "a")).To(Equal("10.0.0.128"))
		Expect(l.AddressOf(ctx, "a2", "a")).To(Equal("10.0.0.9"))
		Expect(lease(ctx, "a2", false)).To(HaveKeyWithValue("ip", "10.0.0.9"))
		l.Container(ctx, "a3", "a")
		Expect(l.AddressOf(ctx, "a3", "a")).To(Equal("10.0.0.130"))
		l.Ping(ctx, "a1", "a2")
		l.Ping(ctx, "a1", "10.0.0.1")
		for _, wrong := range []struct{ ip, says string }{
			{"10.0.0.9", "is taken"}, {"10.0.0.1", "is the gateway's"}, {"10.0.0.255", "is one that nobody can have"}, {"10.0.1.9", "10.0.1.9"},
		} {
			_, err := l.Docker(ctx, "run", "--rm", "--network", "a", "--ip", wrong.ip, host.ImageDemo, "true")
			Expect(err).To(MatchError(ContainSubstring(wrong.says)))
		}
		By("again after a stop, a restart of the plugin, and of Docker")
		l.MustDocker(ctx, "restart", "-t", "0", "a1", "a2")
		Expect(l.AddressOf(ctx, "a2", "a")).To(Equal("10.0.0.9"))
		l.RestartPlugin(ctx)
		l.MustDocker(ctx, "rm", "-f", "a3")
		Expect(l.RestartDocker(ctx)).To(Succeed())
		l.MustDocker(ctx, "start", "a1", "a2")
		lab.Soon(ctx, func(g Gomega) { // OVN's containers start too
			_, err := l.Docker(ctx, "exec", "a1", "ping", "-c", "1", "-W", "1", "a2")
			g.Expect(err).NotTo(HaveOccurred())
		})
		l.Container(ctx, "a4", "a")
		Expect(l.AddressOf(ctx, "a4", "a")).To(BeElementOf("10.0.0.128", "10.0.0.130"))
		By("and after its data directory was lost")
		data := l.DataDir(ctx)
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Must(ctx, "rm", "-rf", data)
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		seen := []string{l.AddressOf(ctx, "a1", "a"), l.AddressOf(ctx, "a2", "a"), l.AddressOf(ctx, "a4", "a")}
		l.Container(ctx, "a5", "a")
		Expect(seen).NotTo(ContainElement(l.AddressOf(ctx, "a5", "a")))
		l.Ping(ctx, "a5", "a1")
		l.Agree(ctx)
	}, suite.Hang)

	It("chooses a subnet when none is given", func(ctx SpecContext) {
		for _, name := range []string{"a", "b"} {
			l.Network(ctx, lab.Net{Name: name, Switch: "ls-" + name, Flags: ours()})
			l.Container(ctx, name+"1", name)
			l.Container(ctx, name+"2", name)
			l.Ping(ctx, name+"1", name+"2")
		}
		a, b := l.AddressOf(ctx, "a1", "a"), l.AddressOf(ctx, "b1", "b")
		Expect(a).To(HavePrefix("10.201."))
		Expect(a).NotTo(Equal(b))
	}, suite.Hang)

	It("has a tenant use the same addresses as another one, apart from each other", func(ctx SpecContext) {
		for _, tenant := range []string{"red", "blue"} {
			l.Network(ctx, lab.Net{
				Name: tenant, Subnet: "10.40.0.0/24", Switch: "ls-" + tenant, Options: []string{"tenant_id=" + tenant}, Flags: ours("--ipam-opt", "tenant_id="+tenant),
			})
			for i := range 2 {
				l.Container(ctx, fmt.Sprint(tenant, i), tenant)
			}
			server := tenant + "1"
			l.MustDocker(ctx, "exec", "-d", server, "sh", "-c", "while :; do echo "+tenant+" | nc -l -p 8080; done")
		}
		for _, tenant := range []string{"red", "blue"} {
			Expect(l.AddressOf(ctx, tenant+"0", tenant)).To(Equal("10.40.0.2"))
			Expect(l.AddressOf(ctx, tenant+"1", tenant)).To(Equal("10.40.0.3"))
			for range 5 {
				lab.Soon(ctx, func(g Gomega) {
					out, err := l.Docker(ctx, "exec", tenant+"0", "nc", "-w", "2", "10.40.0.3", "8080")
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(strings.TrimSpace(out)).To(Equal(tenant))
				})
			}
		}
		l.MustDocker(ctx, "stop", "-t", "0", "blue1")
		_, err := l.Docker(ctx, "exec", "blue0", "ping", "-c", "1", "-W", "1", "10.40.0.3")
		Expect(err).To(HaveOccurred(), "blue reaches red's container")
		l.Agree(ctx)
	}, suite.Hang)

	It("refuses two ways out of the same addresses when they are to leave with those", func(ctx SpecContext) {
		net := func(tenant string, flags ...string) lab.Net {
			return lab.Net{
				Name: tenant, Subnet: "10.41.0.0/24", Switch: "ls-" + tenant, Options: []string{"tenant_id=" + tenant, "ovn.router=lr-" + tenant, "ovn.nat=none"},
				Flags: append(ours("--ipam-opt", "tenant_id="+tenant), flags...),
			}
		}
		l.Network(ctx, net("red"))
		Expect(l.NetworkError(ctx, net("blue").Args()...)).To(ContainSubstring("this host cannot lead both out"))
		l.Network(ctx, net("blue", "--internal"))
		for _, tenant := range []string{"red", "blue"} {
			l.Container(ctx, tenant+"0", tenant)
			l.Container(ctx, tenant+"1", tenant)
			l.Ping(ctx, tenant+"0", tenant+"1")
			l.Ping(ctx, tenant+"0", "10.41.0.1")
		}
		l.Agree(ctx)
	}, suite.Hang)

	DescribeTable("refuses", func(ctx SpecContext, n lab.Net, says string) {
		l.Network(ctx, lab.Net{Name: "there", Subnet: "10.50.0.0/24", Switch: "ls-there", Flags: ours()})
		before := l.State(ctx)
		n.Name, n.Switch = "n", "ls-n"
		Expect(l.NetworkError(ctx, n.Args()...)).To(ContainSubstring(says))
		Expect(l.Changes(ctx, before)).To(BeEmpty())
		l.Container(ctx, "c1", "there")
	},
		Entry("a subnet that another network has", lab.Net{Subnet: "10.50.0.0/24", Flags: ours()}, "subnet 10.50.0.0/24 is that of network", suite.Hang),
		Entry("one that overlaps", lab.Net{Subnet: "10.50.0.128/25", Flags: ours()}, "overlaps with 10.50.0.0/24", suite.Hang),
		Entry("an option that it does not know", lab.Net{Subnet: "10.51.0.0/24", Flags: ours("--ipam-opt", "tenant=x")}, `unknown --ipam-opt "tenant"`, suite.Hang),
		Entry("a tenant that is not the network's", lab.Net{Subnet: "10.51.0.0/24", Flags: ours("--ipam-opt", "tenant_id=x")}, "give both the same", suite.Hang),
		Entry("addresses that are somebody else's", lab.Net{Subnet: "10.51.0.0/24", Options: []string{"ipam=external"}, Flags: ours()}, "--ipam-driver null", suite.Hang),
		Entry("addresses that OVN chooses", lab.Net{Subnet: "10.51.0.0/24", Options: []string{"ipam=ovn", "ovn.subnet=10.52.0.0/24"}, Flags: ours()}, "--ipam-driver null", suite.Hang),
	)

	It("gives no address by itself with ipam=static", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "s", Subnet: "10.0.0.0/24", Switch: "ls-s", Options: []string{"ipam=static"}, Flags: ours()})
		_, err := l.Docker(ctx, "run", "-d", "--name", "s1", "--network", "s", host.ImageDemo)
		Expect(err).To(MatchError(ContainSubstring("has ipam=static: give the container its address with --ip")))
		l.MustDocker(ctx, "rm", "-f", "s1")
		l.Container(ctx, "s1", "s", "--ip", "10.0.0.7")
		l.Ping(ctx, "s1", "s1")
	}, suite.Hang)
})

// pool is what a host's plugin has stored of the subnet.
func pool(ctx context.Context, of *lab.Lab, subnet string) (id string, taken []string) {
	GinkgoHelper()
	for _, file := range of.Lines(ctx, "find", filepath.Join(of.DataDir(ctx), "pools"), "-name", "*.json") {
		var record struct {
			Data struct {
				Tenant string               `json:"tenant_id"`
				Subnet string               `json:"subnet"`
				Taken  map[string]time.Time `json:"taken"`
			} `json:"data"`
		}
		Expect(json.Unmarshal([]byte(of.Must(ctx, "cat", file)), &record)).To(Succeed())
		if record.Data.Subnet == subnet {
			for a := range record.Data.Taken {
				taken = append(taken, a)
			}
			return "ovn," + record.Data.Tenant + "," + subnet + ",", taken
		}
	}
	Fail("no pool of " + subnet)
	return "", nil
}

// call is what dockerd does: a request to the plugin's socket.
func call(ctx context.Context, of *lab.Lab, socket, method string, body map[string]any) (map[string]any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	out, err := of.Run(ctx, "curl", "-s", "--max-time", "25", "--unix-socket", socket, "-d", string(text), "http://plugin/"+method)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	err = json.Unmarshal([]byte(out), &answer)
	return answer, err
}

func socketOf(ctx context.Context, of *lab.Lab) string {
	GinkgoHelper()
	return filepath.Join("/run/docker/plugins", of.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName), "ocn.sock")
}

var _ = Describe("two hosts on one network", Ordered, func() {
	const subnet = "10.20.0.0/22" // 1,022 addresses
	var both []*lab.Lab
	var central host.Host

	BeforeAll(func(ctx SpecContext) {
		all := cluster.Hosts()
		central = all[1]
		_, err := central.Docker(ctx, "run", "-d", "--name", "shared-ovn", "-p", central.Address()+":6641:6641", "-p", central.Address()+":6642:6642", host.ImageCentral)
		Expect(err).NotTo(HaveOccurred())
		lab.Soon(ctx, func(g Gomega) {
			_, err := central.Docker(ctx, "exec", "shared-ovn", "ovn-nbctl", "--timeout=1", "ls-list")
			g.Expect(err).NotTo(HaveOccurred())
		})
		nb, sb := "tcp:"+central.Address()+":6641", "tcp:"+central.Address()+":6642"
		for _, h := range all[1:] {
			one := lab.New(h)
			both = append(both, one)
			one.Network(ctx, lab.Net{Name: "shared", Subnet: subnet, Switch: "ls-shared", NB: nb, SB: sb, Auto: true, Flags: ours()})
		}
	}, suite.Hang)

	shared := func(ctx context.Context, args ...string) string {
		GinkgoHelper()
		out, err := central.Docker(ctx, append([]string{"exec", "shared-ovn", "ovn-nbctl"}, args...)...)
		Expect(err).NotTo(HaveOccurred())
		return strings.TrimSpace(out)
	}

	It("gives each container an address of its own, and the one that is asked for", func(ctx SpecContext) {
		seen := map[string]string{}
		run := func(on *lab.Lab, name string, flags ...string) string {
			GinkgoHelper()
			on.Container(ctx, name, "shared", flags...)
			a := on.AddressOf(ctx, name, "shared")
			Expect(seen).NotTo(HaveKey(a))
			seen[a] = name
			return a
		}
		for i, h := range both {
			run(h, fmt.Sprint("c", i))
		}
		By("also one of the span that the other host has leased")
		asked := netip.MustParseAddr(both[0].AddressOf(ctx, "c0", "shared")).Next().String()
		Expect(run(both[1], "asked", "--ip", asked)).To(Equal(asked))
		run(both[0], "next")
		By("but for one that a container of the other host has")
		_, err := both[1].Docker(ctx, "run", "--rm", "--network", "shared", "--ip", both[0].AddressOf(ctx, "c0", "shared"), host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring("is in use on logical switch")))
		both[0].MustDocker(ctx, "rm", "-f", "c0", "next")
		both[1].MustDocker(ctx, "rm", "-f", "c1", "asked")
	}, suite.Hang)

	It("gives a thousand to eight who ask at once, none twice, until there is none; also when a plugin is killed meanwhile", func(ctx SpecContext) {
		type given struct {
			address string
			on      int
		}
		var mu sync.Mutex
		var all []given
		var lost int
		var killed sync.Once
		var ids [2]string
		for i, h := range both {
			ids[i], _ = pool(ctx, h, subnet)
		}
		begun := time.Now()
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				defer GinkgoRecover()
				on := worker % 2
				socket := socketOf(ctx, both[on])
				for ctx.Err() == nil {
					answer, err := call(ctx, both[on], socket, "IpamDriver.RequestAddress", map[string]any{"PoolID": ids[on]})
					mu.Lock()
					n := len(all)
					text, _ := answer["Address"].(string)
					switch refused, _ := answer["Err"].(string); {
					case err != nil:
						lost++ // whatever it was, nobody knows
					case strings.Contains(refused, "is full"):
						mu.Unlock()
						return
					case refused != "":
						mu.Unlock()
						Fail(refused)
					default:
						all = append(all, given{text, on})
					}
					mu.Unlock()
					if n > 400 {
						killed.Do(func() {
							// The oldest of the name: what it starts has it too, for a moment.
							both[1].Must(ctx, "kill", "-9", both[1].Must(ctx, "pgrep", "-o", "-f", "ovs-container-network serve"))
						})
					}
				}
			})
		}
		group.Wait()
		took := time.Since(begun)
		addresses := map[string]bool{}
		for _, g := range all {
			Expect(addresses).NotTo(HaveKey(g.address), "given twice")
			addresses[g.address] = true
		}
		AddReportEntry(fmt.Sprintf("%d addresses in %s, %s each; %d requests without an answer", len(all), took, took/time.Duration(len(all)), lost))
		By("what is stored is what was given")
		stored := 0
		for i, h := range both {
			_, taken := pool(ctx, h, subnet)
			stored += len(taken)
			for _, g := range all {
				a, _, _ := strings.Cut(g.address, "/")
				if g.on == i {
					Expect(taken).To(ContainElement(a))
				}
			}
		}
		Expect(stored).To(BeNumerically("<=", len(all)+lost))
		Expect(len(all) + lost).To(BeNumerically(">=", 1021))
		By("and is free again once it is given back")
		back := all[:200]
		for _, g := range back {
			a, _, _ := strings.Cut(g.address, "/")
			answer, err := call(ctx, both[g.on], socketOf(ctx, both[g.on]), "IpamDriver.ReleaseAddress", map[string]any{"PoolID": ids[g.on], "Address": a})
			Expect(err).NotTo(HaveOccurred())
			Expect(answer).NotTo(HaveKey("Err"))
		}
		left := 0
		for _, h := range both {
			_, taken := pool(ctx, h, subnet)
			left += len(taken)
		}
		Expect(left).To(Equal(stored - len(back)))
		for on := range both {
			_, err := call(ctx, both[on], socketOf(ctx, both[on]), "IpamDriver.RequestAddress", map[string]any{"PoolID": ids[on]})
			Expect(err).NotTo(HaveOccurred())
		}
	}, NodeTimeout(4*time.Minute))

	AfterAll(func(ctx SpecContext) {
		for _, h := range both {
			h.RemoveNetworks(ctx)
		}
		Expect(shared(ctx, "ls-list")).To(BeEmpty())
	}, suite.Hang)
})
