package options_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// The documentation's examples, as typed.
const (
	multiTenant = `
# Create networks for different tenants with VLAN isolation
docker network create --driver ovs-container-network:latest \
  --subnet 10.0.0.0/24 \
  --opt ovn.switch=ls-tenant-a \
  --opt ovn.nb_connection=tcp:172.30.0.5:6641 \
  --opt ovn.sb_connection=tcp:172.30.0.5:6642 \
  --opt ovn.auto_create=true \
  --opt tenant_id=tenant-a \
  --opt vlan=100 \
  tenant-a-net

docker network create --driver ovs-container-network:latest \
  --subnet 10.1.0.0/24 \
  --opt ovn.switch=ls-tenant-b \
  --opt ovn.nb_connection=tcp:172.30.0.5:6641 \
  --opt ovn.sb_connection=tcp:172.30.0.5:6642 \
  --opt ovn.auto_create=true \
  --opt tenant_id=tenant-b \
  --opt vlan=200 \
  tenant-b-net

# Run containers in isolated networks
docker run -d --network tenant-a-net --name app-a nginx
docker run -d --network tenant-b-net --name app-b nginx
`
	optional = `
# With additional optional configuration
docker network create --driver ovs-container-network:latest \
  --subnet 10.0.0.0/24 \
  --opt ovn.switch=ls-tenant1 \
  --opt ovn.nb_connection=tcp:172.30.0.5:6641 \
  --opt ovn.sb_connection=tcp:172.30.0.5:6642 \
  --opt ovn.auto_create=true \
  --opt bridge=br-int \
  --opt tenant_id=tenant-1 \
  --opt vlan=100 \
  tenant1-network
`
)

// typed runs commands as they are written. The image that they name is another one, since there is no registry here.
func typed(ctx context.Context, commands string) {
	GinkgoHelper()
	l.MustDocker(ctx, "tag", host.ImageDemo, "nginx")
	DeferCleanup(func(ctx SpecContext) {
		l.Clean(ctx)
		l.MustDocker(ctx, "rmi", "nginx")
	})
	for line := range strings.Lines(strings.ReplaceAll(commands, "\\\n", " ")) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			l.Must(ctx, words...)
		}
	}
}

var _ = Describe("the documentation's examples, as typed", Label("options"), func() {
	It("isolate tenants, and record their VLANs", func(ctx SpecContext) {
		typed(ctx, multiTenant)
		for _, tenant := range []string{"a", "b"} {
			l.Container(ctx, "db-"+tenant, "tenant-"+tenant+"-net")
			l.Ping(ctx, "db-"+tenant, "app-"+tenant)
			Expect(l.Exec(ctx, "db-"+tenant, "wget", "-q", "-O", "-", "http://app-"+tenant+"/")).NotTo(BeEmpty())
		}
		apart := func() {
			GinkgoHelper()
			_, err := l.Docker(ctx, "exec", "app-a", "ping", "-c", "1", "-W", "1", l.AddressOf(ctx, "app-b", "tenant-b-net"))
			Expect(err).To(HaveOccurred())
		}
		apart()
		Expect(l.NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.2.0.0/24", Switch: "ls-tenant-a", Options: []string{"tenant_id=tenant-a", "vlan=300"}}.Args()...)).
			To(And(ContainSubstring("100"), ContainSubstring("300"), ContainSubstring("one switch has one VLAN")))
		Expect(l.Command(ctx, "status", "--tenant", "tenant-b")).To(And(ContainSubstring("ls-tenant-b"), Not(ContainSubstring("ls-tenant-a"))))
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "find", "Logical_Switch", "external_ids:tenant_id=tenant-a", "external_ids:vlan=100")).To(Equal("ls-tenant-a"))

		By("after a restart of the plugin and of a container")
		l.RestartPlugin(ctx)
		l.MustDocker(ctx, "restart", "-t", "0", "app-a")
		l.Ping(ctx, "db-a", "app-a")
		apart()
		l.Agree(ctx)
	}, suite.Hang)

	It("give a network all that is optional", func(ctx SpecContext) {
		typed(ctx, optional)
		for _, c := range []string{"t1", "t2"} {
			l.Container(ctx, c, "tenant1-network")
		}
		l.Ping(ctx, "t1", "t2")
		port := "ocn" + l.Endpoint(ctx, "t1", "tenant1-network").EndpointID[:12]
		Expect(l.Must(ctx, "ovs-vsctl", "port-to-br", port)).To(Equal("br-int"))
		Expect(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Interface", port, "external_ids:tenant_id")).To(Equal("tenant-1"))
		Expect(l.NBCtl(ctx, "--bare", "--columns=name", "find", "Logical_Switch", "external_ids:tenant_id=tenant-1", "external_ids:vlan=100")).To(Equal("ls-tenant1"))
		l.Agree(ctx)
	}, suite.Hang)
})
