package basic_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const net = "my-ovn-network"

var basic = lab.Net{Name: net, Subnet: "10.0.0.0/24", Switch: "ls-my-network", Auto: true, Options: []string{"tenant_id=tenant-1"}}

// Each spec goes on where the one before left off, as a user does.
var _ = Describe("the README's basic usage", Ordered, Label("basic"), func() {
	var id string

	BeforeAll(func(ctx SpecContext) { l.Reset(ctx) }, suite.Hang)
	AfterAll(func(ctx SpecContext) { l.RemoveContainers(ctx) }, suite.Hang)

	It("makes OVN central, the chassis and the network from one command", func(ctx SpecContext) {
		Expect(l.Must(ctx, "ovs-vsctl", "list-br")).To(BeEmpty())
		id = l.Network(ctx, basic)

		Expect(l.MustDocker(ctx, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "transit-overlay")).To(Equal("172.30.0.0/24"))
		Expect(l.AddressOf(ctx, "ovn-central", "transit-overlay")).To(Equal("172.30.0.5"))
		for _, name := range []string{"ovn-central", "ovn-controller"} {
			Expect(l.MustDocker(ctx, "inspect", "-f",
				`{{.State.Running}} {{.HostConfig.Privileged}} {{.HostConfig.RestartPolicy.Name}} {{index .Config.Labels "owner"}}`, name)).
				To(Equal("true false always "+lab.Owner), name)
		}
		Expect(l.MustDocker(ctx, "volume", "ls", "-q")).To(ContainSubstring("ovn-central-db"))
		Expect(l.Must(ctx, "ovs-vsctl", "list-br")).To(Equal("br-int"))
		chassis := l.Must(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids")
		Expect(chassis).To(ContainSubstring(`ovn-remote="` + lab.SB + `"`))
		Expect(chassis).To(ContainSubstring("ovn-encap-type=geneve"))
		Expect(l.NBCtl(ctx, "--bare", "--columns=external_ids", "find", "Logical_Switch", "name=ls-my-network")).
			To(SatisfyAll(ContainSubstring("owner="+lab.Owner), ContainSubstring("tenant_id=tenant-1")))
		Expect(l.StateFiles(ctx)).To(ContainElement(HaveSuffix("/data/networks/" + id + ".json")))
	}, suite.Hang)

	It("lets containers reach one another by address and by name with the first packet", func(ctx SpecContext) {
		l.Container(ctx, "web", net)
		l.Container(ctx, "client", net)
		l.Ping(ctx, "client", l.AddressOf(ctx, "web", net))
		l.Ping(ctx, "client", "web")
		l.Ping(ctx, "web", "client")
	}, suite.Hang)

	It("carries 5 MB of TCP unharmed", func(ctx SpecContext) {
		l.Exec(ctx, "web", "dd", "if=/dev/urandom", "of=/www/blob", "bs=1M", "count=5")
		sum, _, _ := strings.Cut(l.Exec(ctx, "web", "sha256sum", "/www/blob"), " ")
		l.Exec(ctx, "client", "timeout", "10", "wget", "-q", "-O", "/tmp/blob", "http://web/blob")
		Expect(l.Exec(ctx, "client", "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
	}, suite.Hang)

	It("gives the container the address, MAC and MTU that Docker and the options say", func(ctx SpecContext) {
		e := l.Endpoint(ctx, "web", net)
		link := l.Interface(ctx, "web", e.IPAddress+"/24")
		Expect(e.MacAddress).NotTo(BeEmpty())
		Expect(link.MAC).To(Equal(e.MacAddress))
		Expect(link.MTU).To(Equal("1500"))
	}, suite.Hang)

	It("keeps the keys that exporters read on the OVS interface, and the same on the OVN port", func(ctx SpecContext) {
		e := l.Endpoint(ctx, "web", net)
		keys := l.Must(ctx, "ovs-vsctl", "--bare", "--columns=external_ids", "find", "Interface", "external_ids:iface-id="+e.EndpointID)
		for _, want := range []string{
			"owner=" + lab.Owner, "network_id=" + id, "container_id=" + e.EndpointID, "tenant_id=tenant-1", "iface-id=" + e.EndpointID,
			"ovn-installed=true",
		} {
			Expect(strings.Fields(keys)).To(ContainElement(want))
		}
		port := l.NBCtl(ctx, "--bare", "--columns=external_ids", "list", "Logical_Switch_Port", e.EndpointID)
		Expect(port).To(SatisfyAll(ContainSubstring("owner="+lab.Owner), ContainSubstring("network_id="+id), ContainSubstring("tenant_id=tenant-1")))
		address := e.MacAddress + " " + e.IPAddress
		Expect(l.NBCtl(ctx, "lsp-get-addresses", e.EndpointID)).To(Equal(address))
		Expect(l.NBCtl(ctx, "lsp-get-port-security", e.EndpointID)).To(Equal(address))
		Expect(l.StateFiles(ctx)).To(ContainElement(HaveSuffix("/data/endpoints/" + e.EndpointID + ".json")))
	}, suite.Hang)

	It("obeys --ip, and refuses an address that is taken", func(ctx SpecContext) {
		l.Container(ctx, "fixed", net, "--ip", "10.0.0.100")
		Expect(l.AddressOf(ctx, "fixed", net)).To(Equal("10.0.0.100"))
		l.Ping(ctx, "client", "10.0.0.100")
		before := l.OVSOwned(ctx)
		_, err := l.Docker(ctx, "run", "--rm", "--network", net, "--ip", "10.0.0.100", host.ImageDemo, "true")
		Expect(err).To(MatchError(ContainSubstring("Address already in use")))
		Expect(l.OVSOwned(ctx)).To(Equal(before))
	}, suite.Hang)

	It("obeys --mac-address", func(ctx SpecContext) {
		const mac = "02:42:c0:ff:ee:01"
		l.Container(ctx, "withmac", net, "--mac-address", mac)
		Expect(l.Interface(ctx, "withmac", l.AddressOf(ctx, "withmac", net)+"/24").MAC).To(Equal(mac))
		l.Ping(ctx, "client", "withmac")
		l.Ping(ctx, "withmac", "client")
	}, suite.Hang)

	It("makes a second network on the OVN that runs, without auto_create", func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "second", Subnet: "10.1.0.0/24", Switch: "ls-second", Options: []string{"mtu=1400"}})
		l.Container(ctx, "other", "second")
		Expect(l.Interface(ctx, "other", l.AddressOf(ctx, "other", "second")+"/24").MTU).To(Equal("1400"))
		By("keeping it apart from the first")
		_, err := l.Docker(ctx, "exec", "client", "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "other", "second"))
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("puts one container on several networks", func(ctx SpecContext) {
		l.MustDocker(ctx, "network", "connect", "second", "client")
		l.Ping(ctx, "client", "other")
		l.Ping(ctx, "client", "web")
		l.MustDocker(ctx, "network", "disconnect", "second", "client")
		l.Ping(ctx, "client", "web")
		_, err := l.Docker(ctx, "exec", "client", "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "other", "second"))
		Expect(err).To(HaveOccurred())
		l.MustDocker(ctx, "network", "connect", "--ip", "10.1.0.77", "second", "client")
		l.Ping(ctx, "other", "10.1.0.77")
		By("at its start too")
		l.MustDocker(ctx, "restart", "-t", "0", "client")
		l.Ping(ctx, "client", "other")
		l.Ping(ctx, "client", "web")
	}, suite.Hang)

	It("answers the first ping of a new container, 50 of 50", func(ctx SpecContext) {
		count := 50
		if host.Emulated(l.Host) {
			count = 10 // each takes seconds of a processor
		}
		address := l.AddressOf(ctx, "web", net)
		work, wctx := errgroup.WithContext(ctx)
		work.SetLimit(4)
		for range count {
			work.Go(func() error {
				_, err := l.Docker(wctx, "run", "--rm", "--network", net, host.ImageDemo, "ping", "-c", "1", "-W", "1", address)
				return err
			})
		}
		Expect(work.Wait()).To(Succeed())
	}, suite.Hang)

	It("goes on with its networks after the plugin was disabled and enabled", func(ctx SpecContext) {
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		l.Ping(ctx, "client", l.AddressOf(ctx, "web", net)) // running traffic does not pass through the plugin
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		l.Ping(ctx, "client", "web")
		l.Container(ctx, "later", net)
		l.Ping(ctx, "later", "web")
		l.Ping(ctx, "web", "later")
		l.MustDocker(ctx, "rm", "-f", "withmac") // made before, removed after
		Expect(l.LinksOwned(ctx)).To(HaveLen(len(l.OVSOwned(ctx))))
	}, suite.Hang)

	It("starts a container while OVN central is away, and connects it when it is back", func(ctx SpecContext) {
		l.MustDocker(ctx, "stop", "-t", "2", "ovn-central")
		l.Container(ctx, "meanwhile", net)
		l.MustDocker(ctx, "rm", "-f", "later") // made before, removed now
		l.Ping(ctx, "client", "web")           // what runs goes on
		l.MustDocker(ctx, "start", "ovn-central")
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", "meanwhile", "ping", "-c", "1", "-W", "1", "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(l.Lines(ctx, "docker", "exec", "ovn-central", "ovn-nbctl", "--bare", "--columns=name", "list", "Logical_Switch_Port")).
				To(HaveLen(len(l.OVSOwned(ctx))))
		})
	}, suite.Hang)

	It("loses next to nothing over a restart of ovn-controller", func(ctx SpecContext) {
		var work errgroup.Group
		var out string
		work.Go(func() (err error) {
			out, err = l.Docker(ctx, "exec", "client", "ping", "-i", "0.1", "-c", "60", "-w", "15", "web")
			return err
		})
		work.Go(func() error {
			_, err := l.Docker(ctx, "restart", "-t", "2", "ovn-controller")
			return err
		})
		Expect(work.Wait()).To(Succeed())
		Expect(out).To(MatchRegexp(`60 packets transmitted, (59|60) packets received`))
	}, suite.Hang)

	It("refuses a container while Open vSwitch is down, and leaves nothing of it", func(ctx SpecContext) {
		l.RemoveContainers(ctx)
		Expect(l.StopOVS(ctx)).To(Succeed())
		DeferCleanup(l.StartOVS, suite.Hang) // harmless where it runs
		out, err := l.Docker(ctx, "run", "-d", "--name", "nowhere", "--network", net, host.ImageDemo)
		Expect(err).To(MatchError(MatchRegexp("open vswitch not reachable at .* start it")), out)
		Expect(l.StartOVS(ctx)).To(Succeed())
		Expect(l.LinksOwned(ctx)).To(BeEmpty())
		Expect(l.OVSOwned(ctx)).To(BeEmpty())
		l.MustDocker(ctx, "start", "nowhere")
		l.Container(ctx, "web", net)
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", "nowhere", "ping", "-c", "1", "-W", "1", "web")
			g.Expect(err).NotTo(HaveOccurred())
		})
	}, suite.Hang)

	It("removes a network's rows with the network", func(ctx SpecContext) {
		l.RemoveContainers(ctx)
		l.MustDocker(ctx, "network", "rm", "second")
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch")).To(Equal("ls-my-network"))
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Switch_Port")).To(BeEmpty())
		l.MustDocker(ctx, "network", "rm", net)
		l.NothingLeft(ctx)
	}, suite.Hang)
})
