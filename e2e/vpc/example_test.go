package vpc_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// The README's multi-VPC transit network example, command by command; only the image is another, since there is no registry here.
var _ = It("routes between VPCs, as the example in the documentation says", Label("vpc"), func(ctx SpecContext) {
	By("1. create transit network for inter-VPC routing")
	l.MustDocker(ctx, "network", "create", "--driver", "ovs-container-network:latest",
		"--subnet", "192.168.100.0/24",
		"--opt", "ovn.role=transit",
		"--opt", "ovn.external_gateway=192.168.100.1",
		"--opt", "ovn.nb_connection=tcp:172.30.0.5:6641",
		"--opt", "ovn.sb_connection=tcp:172.30.0.5:6642",
		"--opt", "ovn.auto_create=true",
		"transit-net")

	By("2. create VPC-A network")
	l.MustDocker(ctx, "network", "create", "--driver", "ovs-container-network:latest",
		"--subnet", "10.0.0.0/24",
		"--opt", "tenant_id=tenant-a",
		"--opt", "ovn.switch=ls-vpc-a",
		"--opt", "ovn.router=lr-vpc-a",
		"--opt", "ovn.transit_network=transit-net",
		"--opt", "ovn.nb_connection=tcp:172.30.0.5:6641",
		"--opt", "ovn.sb_connection=tcp:172.30.0.5:6642",
		"vpc-a-net")

	By("3. create VPC-B network")
	l.MustDocker(ctx, "network", "create", "--driver", "ovs-container-network:latest",
		"--subnet", "10.1.0.0/24",
		"--opt", "tenant_id=tenant-b",
		"--opt", "ovn.switch=ls-vpc-b",
		"--opt", "ovn.router=lr-vpc-b",
		"--opt", "ovn.transit_network=transit-net",
		"--opt", "ovn.nb_connection=tcp:172.30.0.5:6641",
		"--opt", "ovn.sb_connection=tcp:172.30.0.5:6642",
		"vpc-b-net")

	By("4. run containers in isolated VPCs with inter-VPC routing")
	l.MustDocker(ctx, "run", "-d", "--network", "vpc-a-net", "--name", "app-a", host.ImageDemo)
	l.MustDocker(ctx, "run", "-d", "--network", "vpc-b-net", "--name", "app-b", host.ImageDemo)

	By("beside a VPC that is on no transit network, which nobody reaches")
	l.Network(ctx, vpc("alone", "10.9.0.0/24", ""))
	alone := in("alone", "")
	run(ctx, alone)
	a, b := place{"app-a", "vpc-a-net", "lr-vpc-a", "transit-net"}, place{"app-b", "vpc-b-net", "lr-vpc-b", "transit-net"}
	meet(ctx, a, b, alone)
	l.Ping(ctx, "alone", "10.9.0.1") // its own router does answer
	l.Agree(ctx)

	By("over three routers, as a user sees")
	Expect(l.Exec(ctx, "app-a", "ping", "-c", "1", "-W", "2", l.AddressOf(ctx, "app-b", "vpc-b-net"))).To(ContainSubstring("ttl=61"))
	Expect(l.Exec(ctx, "app-b", "ping", "-c", "1", "-W", "2", l.AddressOf(ctx, "app-a", "vpc-a-net"))).To(ContainSubstring("ttl=61"))
	Expect(routers(ctx)).To(ConsistOf("lr-gateway", "lr-vpc-a", "lr-vpc-b", "lr-alone"))
	Expect(l.MustDocker(ctx, "exec", "ovn-central", "ovn-nbctl", "lr-list")).
		To(SatisfyAll(ContainSubstring("(lr-gateway)"), ContainSubstring("(lr-vpc-a)"), ContainSubstring("(lr-vpc-b)")))

	By("with one link in a container, and the VPC's router behind it")
	Expect(l.Exec(ctx, "app-a", "ip", "route")).To(ContainSubstring("default via 10.0.0.1"))
	Expect(l.Exec(ctx, "app-a", "ls", "/sys/class/net")).NotTo(ContainSubstring("eth1"))

	By("carrying TCP")
	Expect(l.Exec(ctx, "app-a", "timeout", "10", "wget", "-q", "-O", "-", "http://"+l.AddressOf(ctx, "app-b", "vpc-b-net")+"/")).
		To(ContainSubstring("hello"))
	download(ctx, a, b)
	download(ctx, b, a)
}, suite.Hang)
