package trust_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// An administrator's own OVN central: clusters of three servers (ovsdb(7), "Clustered Database Service Model"), on ports that
// what the plugin publishes does not have.
var clustered = []struct{ db, port, raft string }{{"nb", "16641", "16643"}, {"sb", "16642", "16644"}}

// servers are the connections of a database of the cluster, with one host's own server first.
func servers(db int, first int) string {
	var all []string
	for i := range hosts {
		all = append(all, "tcp:"+hosts[(first+i)%len(hosts)].Address()+":"+clustered[db].port)
	}
	return strings.Join(all, ",")
}

// startCluster has every host run a server of each database, and the first two ovn-northd.
func startCluster(ctx context.Context) {
	GinkgoHelper()
	for i, l := range hosts {
		for _, c := range clustered {
			args := []string{
				"run", "-d", "--name", "ovn-" + c.db, "--network", "host", "--entrypoint", "sh", host.ImageCentral,
				// ovn-ctl takes any process with the number of one that was killed for that one, and starts nothing.
				"-c", `rm -f /var/run/ovn/*.pid; exec /usr/share/ovn/scripts/ovn-ctl "$@"`, "sh",
				"--db-" + c.db + "-addr=" + l.Address(), "--db-" + c.db + "-port=" + c.port, "--db-" + c.db + "-create-insecure-remote=yes",
				"--db-" + c.db + "-election-timer=3000", // a busy machine holds one up for a second
				"--db-" + c.db + "-cluster-local-addr=" + l.Address(), "--db-" + c.db + "-cluster-local-port=" + c.raft,
			}
			if i > 0 {
				args = append(args, "--db-"+c.db+"-cluster-remote-addr="+hosts[0].Address(), "--db-"+c.db+"-cluster-remote-port="+c.raft)
			}
			l.MustDocker(ctx, append(args, "run_"+c.db+"_ovsdb")...)
		}
	}
	for i, l := range hosts[:2] {
		l.MustDocker(ctx, "run", "-d", "--name", "ovn-northd", "--network", "host", "--entrypoint", "ovn-northd", host.ImageCentral,
			"--ovnnb-db="+servers(0, i), "--ovnsb-db="+servers(1, i), "--unixctl=/tmp/northd.ctl")
	}
	lab.Soon(ctx, func(g Gomega) {
		_, err := hosts[0].Docker(ctx, "exec", "ovn-northd", "ovn-nbctl", "--db="+servers(0, 0), "--timeout=5", "--wait=sb", "sync")
		g.Expect(err).NotTo(HaveOccurred())
	})
}

// role is what a host's server is in the cluster of a database: "leader", "follower" or "candidate".
func role(ctx context.Context, l *lab.Lab, db string) string {
	name := map[string]string{"nb": "OVN_Northbound", "sb": "OVN_Southbound"}[db]
	out, _ := l.Docker(ctx, "exec", "ovn-"+db, "ovs-appctl", "-t", "/var/run/ovn/ovn"+db+"_db.ctl", "cluster/status", name)
	_, rest, _ := strings.Cut(out, "Role: ")
	is, _, _ := strings.Cut(rest, "\n")
	return is
}

// leader is the number of the host whose server leads.
func leader(ctx context.Context, db string) int {
	GinkgoHelper()
	found := -1
	lab.Soon(ctx, func(g Gomega) {
		for i, l := range hosts {
			if role(ctx, l, db) == "leader" {
				found = i
			}
		}
		g.Expect(found).NotTo(Equal(-1), "leader")
	})
	return found
}

var _ = Describe("OVN central that is a cluster", Ordered, func() {
	at := func(i int) string { return fmt.Sprint("k", i+1) }

	BeforeAll(func(ctx SpecContext) {
		startCluster(ctx)
		for i, l := range hosts {
			l.MustDocker(ctx, "network", "create", "--driver", host.PluginName, "--ipam-driver", host.PluginName, "--subnet", "10.5.0.0/24", "--opt", "ovn.switch=ls-cluster",
				"--opt", "ovn.nb_connection="+servers(0, i), "--opt", "ovn.sb_connection="+servers(1, i), "--opt", "ovn.auto_create=true", "cluster")
			l.Container(ctx, at(i), "cluster")
		}
	}, suite.Hang)

	AfterAll(func(ctx SpecContext) {
		for _, l := range hosts {
			l.RemoveContainers(ctx)
			l.RemoveNetworks(ctx)
		}
		for _, l := range hosts {
			lab.Soon(ctx, func(g Gomega) {
				g.Expect(l.Records(ctx)).To(BeEmpty())
				g.Expect(l.LinksOwned(ctx)).To(BeEmpty())
			})
		}
		for _, l := range hosts {
			l.MustDocker(ctx, "rm", "-f", "-v", "ovn-nb", "ovn-sb", "ovn-northd")
		}
	}, suite.Hang)

	It("is one network, whichever server each host names first", func(ctx SpecContext) {
		for i := range hosts {
			for j, l := range hosts {
				if i != j {
					joined.Reaches(ctx, l, at(j), hosts[i].AddressOf(ctx, at(i), "cluster"))
				}
			}
		}
	}, suite.Hang)

	It("is served on when the servers that lead are gone, and by others when those come back", func(ctx SpecContext) {
		to := hosts[2].AddressOf(ctx, at(2), "cluster")
		for round := range 2 {
			traffic := hosts[1].TrafficTo(ctx, at(1), to)
			gone := map[string]int{}
			for _, c := range clustered {
				gone[c.db] = leader(ctx, c.db)
				hosts[gone[c.db]].MustDocker(ctx, "kill", "ovn-"+c.db)
			}
			time.Sleep(5 * time.Second)
			Expect(traffic.Ends(ctx).Lost).To(BeZero())
			for i, l := range hosts {
				name, began := fmt.Sprintf("after%d-%d", round, i+1), time.Now()
				l.Container(ctx, name, "cluster")
				joined.Reaches(ctx, l, name, to)
				GinkgoWriter.Printf("a container on h%d, after the leaders %v were killed: %s\n", i+1, gone, time.Since(began).Round(time.Millisecond))
			}
			for db, i := range gone {
				hosts[i].MustDocker(ctx, "start", "ovn-"+db)
				lab.Soon(ctx, func(g Gomega) { g.Expect(role(ctx, hosts[i], db)).To(MatchRegexp("follower|leader")) })
			}
		}
		for _, l := range hosts {
			lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(MatchRegexp(`northbound tcp:[^ ]+ +ok`)) })
		}
	}, suite.Hang)

	It("does not answer while most of its servers are gone, which running containers do not notice, and is served when they are back", func(ctx SpecContext) {
		traffic := hosts[1].TrafficTo(ctx, at(1), hosts[2].AddressOf(ctx, at(2), "cluster"))
		for _, l := range hosts[:2] {
			for _, c := range clustered {
				l.MustDocker(ctx, "kill", "ovn-"+c.db)
			}
		}
		for _, l := range hosts {
			lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(ContainSubstring("does not answer since")) })
		}
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		hosts[2].Container(ctx, "meanwhile", "cluster") // with an address that its host has leased
		for _, l := range hosts[:2] {
			for _, c := range clustered {
				l.MustDocker(ctx, "start", "ovn-"+c.db)
			}
		}
		began := time.Now()
		for _, l := range hosts { // a vote takes some seconds, and on a busy machine it may need several
			Eventually(func() string { return l.Command(ctx, "status") }).WithContext(ctx).WithTimeout(time.Minute).WithPolling(time.Second).
				Should(MatchRegexp(`northbound tcp:[^ ]+ +ok`))
		}
		GinkgoWriter.Printf("served again %s after the servers were started\n", time.Since(began).Round(time.Millisecond))
		// The southbound database has a vote of its own, and ovn-northd finds the new leaders in its own time.
		Eventually(func() error {
			_, err := hosts[0].Docker(ctx, "exec", "ovn-northd", "ovn-nbctl", "--db="+servers(0, 0), "--timeout=5", "--wait=sb", "sync")
			return err
		}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(time.Second).Should(Succeed())
		GinkgoWriter.Printf("and passed on by ovn-northd after %s\n", time.Since(began).Round(time.Millisecond))
		joined.Reaches(ctx, hosts[2], "meanwhile", hosts[1].AddressOf(ctx, at(1), "cluster"))
	}, suite.Hang)
})
