package central_test

import (
	"context"
	"errors"
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

// listDatabases asks a database server for its databases (RFC 7047, 4.1.1) by a tool that every host and container has.
func listDatabases(ctx context.Context, from *lab.Lab, prefix []string, address, port string) (string, error) {
	ask := strings.NewReader(`{"method":"list_dbs","params":[],"id":0}`)
	// nc goes on reading until the server hangs up, which it never does
	out, err := from.RunInput(ctx, ask, slices.Concat(prefix, []string{"nc", "-w", "1", address, port})...)
	if strings.Contains(out, "OVN_") {
		return out, nil
	}
	return out, errors.Join(errors.New("no answer"), err)
}

var _ = Describe("the databases", Label("central"), func() {
	inContainer := func(name string) []string { return []string{"docker", "exec", "-i", name, "timeout", "2"} }
	onHost := []string{"timeout", "2", "busybox"}

	DescribeTable("answer on their own host, and nobody else", func(spec SpecContext, n lab.Net, network, subnet, address string) {
		ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
		defer cancel()
		// The host at its most open: one where something else turned forwarding on before Docker did, so that Docker left
		// the policy alone.
		l.Must(ctx, "iptables", "-P", "FORWARD", "ACCEPT")
		if network != "transit-overlay" {
			l.MustDocker(ctx, "network", "create", "--driver", "bridge", "--subnet", subnet, network)
		}
		l.Network(ctx, n)
		Expect(l.AddressOf(ctx, "ovn-central", network)).To(Equal(address))
		l.Container(ctx, "on-bridge", "bridge")
		l.Container(ctx, "on-plugin", "n1")
		l.MustDocker(ctx, "network", "create", "--subnet", "172.29.0.0/24", "another")
		l.MustDocker(ctx, "run", "-d", "--name", "on-another", "--network", "another", "--ip", "172.29.0.77", host.ImageDemo)
		for _, subnet := range []string{"172.29.0.0/24", subnet} {
			neighbour.Must(ctx, "ip", "route", "replace", subnet, "via", l.Address())
			DeferCleanup(func(ctx SpecContext) { neighbour.Must(ctx, "ip", "route", "delete", subnet) }, suite.Hang)
		}

		By("proving that the host forwards for the neighbour, so that what follows is not the lack of a way")
		lab.Soon(ctx, func(g Gomega) {
			_, err := neighbour.Run(ctx, "curl", "-sf", "--max-time", "2", "http://172.29.0.77/")
			g.Expect(err).NotTo(HaveOccurred())
		})

		for _, port := range []string{"6641", "6642"} {
			_, err := listDatabases(ctx, l, onHost, address, port)
			Expect(err).NotTo(HaveOccurred(), "from the host itself, port "+port)
			for _, name := range []string{"on-bridge", "on-plugin", "on-another"} {
				out, err := listDatabases(ctx, l, inContainer(name), address, port)
				Expect(err).To(HaveOccurred(), fmt.Sprintf("from container %s, port %s: %s", name, port, out))
			}
			out, err := listDatabases(ctx, neighbour, onHost, address, port)
			Expect(err).To(HaveOccurred(), "from the neighbour, port "+port+": "+out)
			_, err = listDatabases(ctx, neighbour, onHost, l.Address(), port)
			Expect(err).To(HaveOccurred(), "published, port "+port)
		}

		By("staying so after Docker was restarted, which writes its rules anew")
		Expect(l.RestartDocker(ctx)).To(Succeed())
		lab.Soon(ctx, func(g Gomega) {
			_, err := listDatabases(ctx, l, onHost, address, "6641")
			g.Expect(err).NotTo(HaveOccurred())
		})
		out, err := listDatabases(ctx, neighbour, onHost, address, "6641")
		Expect(err).To(HaveOccurred(), "from the neighbour: "+out)
	},
		Entry("on the network that the plugin makes", first, "transit-overlay", "172.30.0.0/24", "172.30.0.5"),
		Entry("on a network of the user's", lab.Net{
			Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true, NB: "tcp:10.200.0.5:6641", SB: "tcp:10.200.0.5:6642",
			Options: []string{"ovn.transit_overlay_network=my-transit-overlay"},
		}, "my-transit-overlay", "10.200.0.0/24", "10.200.0.5"),
	)
})
