package vpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const (
	natGateway = "192.168.100.254"
	outside    = "203.0.113.9" // of a network that is nowhere (RFC 5737)
)

// A laboratory with two VPCs of four networks each, and a NAT gateway on the transit network between them.
var labTransit = lab.Net{
	Name: "transit-net", Subnet: "192.168.100.0/24", Gateway: "192.168.100.1", Switch: "ls-transit", Auto: true,
	Options: []string{"bridge=br-int", "ovn.role=transit", "ovn.external_gateway=" + natGateway},
}

// labVPCs are the eight networks, and labPlaces a container on each and one on the transit network.
func labVPCs() []lab.Net {
	var all []lab.Net
	for i, v := range []string{"vpc-a", "vpc-b"} {
		for j, tier := range []string{"web", "app", "db", "test"} {
			all = append(all, lab.Net{
				Name: v + "-" + tier, Subnet: fmt.Sprintf("10.%d.%d.0/24", i, j+1), Gateway: fmt.Sprintf("10.%d.%d.1", i, j+1), Switch: "ls-" + v + "-" + tier,
				Options: []string{
					"bridge=br-int", "ovn.router=lr-" + v, "ovn.transit_network=" + labTransit.Name,
					fmt.Sprintf("tenant_id=tenant-%d", i+1), fmt.Sprintf("vlan=%d", 100*(i+1)+j+1),
				},
			})
		}
	}
	return all
}

func labPlaces() []place {
	all := []place{{"shared", labTransit.Name, "", labTransit.Name}}
	for _, n := range labVPCs() {
		all = append(all, place{"in-" + n.Name, n.Name, "lr-" + n.Name[:len("vpc-a")], labTransit.Name})
	}
	return all
}

// composeFile has all of it, as one Compose file.
func composeFile() string {
	text := "version: '3.8'\n\nnetworks:\n"
	for _, n := range append(labVPCs(), labTransit) {
		text += fmt.Sprintf("  %s:\n    driver: %s\n    driver_opts:\n", n.Name, host.PluginName)
		for _, o := range n.DriverOptions() {
			key, value, _ := strings.Cut(o, "=")
			text += fmt.Sprintf("      %s: %q\n", key, value)
		}
		text += fmt.Sprintf("    ipam:\n      config:\n        - subnet: %s\n          gateway: %s\n", n.Subnet, n.Gateway)
	}
	text += "\nservices:\n"
	for _, p := range labPlaces() {
		text += fmt.Sprintf("  %s:\n    image: %s\n    container_name: %s\n    networks:\n      - %s\n", p.name, host.ImageDemo, p.name, p.network)
	}
	return text + fmt.Sprintf(`  nat-gateway:
    image: %s
    container_name: nat-gateway
    cap_add:
      - NET_ADMIN
    networks:
      %s:
        ipv4_address: %s
`, host.ImageDemo, labTransit.Name, natGateway)
}

// nobody is a container on a router that is on no transit network.
func nobody(ctx context.Context) place {
	GinkgoHelper()
	l.Network(ctx, vpc("alone", "10.9.0.0/24", ""))
	run(ctx, in("alone", ""))
	return in("alone", "")
}

var _ = Describe("two VPCs of four networks each", Label("vpc"), func() {
	It("come up from a Compose file, reach each other and the world, and go without a trace", func(ctx SpecContext) {
		const file = "/var/tmp/lab/docker-compose.yml"
		Expect(l.WriteFile(ctx, file, []byte(composeFile()), 0o644)).To(Succeed())
		compose := func(args ...string) {
			GinkgoHelper()
			l.Must(ctx, append([]string{"docker-compose", "-f", file, "--no-ansi"}, args...)...)
		}
		compose("up", "-d")
		alone := nobody(ctx)

		By("the NAT gateway having the way back, and an address outside")
		gateway := place{"nat-gateway", labTransit.Name, "", labTransit.Name}
		for _, subnet := range []string{"10.0.0.0/16", "10.1.0.0/16"} {
			l.Exec(ctx, gateway.name, "ip", "route", "add", subnet, "via", labTransit.Gateway)
		}
		l.Exec(ctx, gateway.name, "ip", "addr", "add", outside+"/32", "dev", "lo")
		meet(ctx, append(labPlaces(), gateway, alone)...)
		l.Agree(ctx)

		By("sending what is for elsewhere through it")
		for _, from := range []string{"in-vpc-a-web", "in-vpc-b-test", "shared"} {
			l.Ping(ctx, from, outside)
		}
		_, err := l.Docker(ctx, "exec", alone.name, "ping", "-c", "1", "-W", "1", outside)
		Expect(err).To(HaveOccurred())

		By("all going again")
		compose("down", "-t", "0")
		l.RemoveContainers(ctx)
		l.RemoveNetworks(ctx)
		l.NothingLeft(ctx)
		Expect(rows(ctx)).To(BeEmpty())
	}, suite.Hang)

	DescribeTable("reach each other when made by hand, the transit network", func(spec SpecContext, after int) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		for i, n := range slices.Insert(labVPCs(), after, labTransit) {
			if i == after {
				Expect(l.Command(ctx, "status")).To(ContainSubstring("waits for " + labTransit.Name))
			}
			l.Network(ctx, n)
		}
		run(ctx, labPlaces()...)
		meet(ctx, append(labPlaces(), nobody(ctx))...)
		l.Agree(ctx)
		Expect(l.Command(ctx, "status")).To(SatisfyAll(
			MatchRegexp(`vpc-a-web\s+ls-vpc-a-web\s+lr-vpc-a\s+ls-transit\s`), Not(ContainSubstring("waits for"))))
	},
		Entry("last", 8),
		Entry("between two networks of one router", 6),
	)
})
