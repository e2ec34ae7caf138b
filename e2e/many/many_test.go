package many_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// atOnce is how many of the hosts work at the same time: real ones have processors of their own, and these have this machine's.
var atOnce = max(3, runtime.NumCPU())

// together does something on all hosts, several at a time.
func together(do func(i int, p player)) {
	GinkgoHelper()
	var work sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i, p := range hosts {
		work.Go(func() {
			defer GinkgoRecover()
			turns <- struct{}{}
			defer func() { <-turns }()
			do(i, p)
		})
	}
	work.Wait()
}

// north is all that the northbound database holds, but what counts its changes.
func north(ctx context.Context, at string) []string {
	GinkgoHelper()
	var all []string
	for _, line := range hosts[0].Lines(ctx, "ovsdb-client", "--no-headings", "--format=csv", "list-tables", at, "OVN_Northbound") {
		if table := strings.Trim(line, `"`); table != "NB_Global" {
			all = append(all, hosts[0].Lines(ctx, "ovsdb-client", "--format=csv", "dump", at, "OVN_Northbound", table)...)
		}
	}
	return all
}

var _ = Describe("ten hosts with one northbound database", Ordered, func() {
	var nb, sb string

	BeforeAll(func(ctx SpecContext) {
		address := hosts[0].Address()
		nb, sb = "tcp:"+address+":6641", "tcp:"+address+":6642"
		hosts[0].Must(ctx, "/usr/share/ovn/scripts/ovn-ctl", "start_northd", "--db-nb-addr="+address, "--db-sb-addr="+address,
			"--db-nb-create-insecure-remote=yes", "--db-sb-create-insecure-remote=yes")
		hosts[0].Must(ctx, "ovn-nbctl", "--wait=sb", "sync")
		together(func(_ int, p player) { p.install(ctx) })
	}, suite.Hang)

	It("give 200 containers addresses of their own, carry what they send, and leave nothing", func(ctx SpecContext) {
		before := north(ctx, nb)
		spaces := make([]space, len(hosts))
		addresses := make([][]string, len(hosts))

		began := time.Now()
		together(func(i int, p player) { spaces[i] = p.create(ctx, "10.20.0.0/16", nb, sb) })
		GinkgoWriter.Println("networks:", time.Since(began).Round(time.Millisecond))
		began = time.Now()
		together(func(i int, p player) {
			for n := range endpointsEach {
				addresses[i] = append(addresses[i], p.attach(ctx, spaces[i], n))
			}
		})
		GinkgoWriter.Println("endpoints:", time.Since(began).Round(time.Millisecond))

		By("every address is one container's, and every port is up and a host's")
		given := map[string]bool{}
		for _, of := range addresses {
			for _, a := range of {
				given[a] = true
			}
		}
		Expect(given).To(HaveLen(hostsMade * endpointsEach))
		lab.Soon(ctx, func(g Gomega) {
			up := strings.Fields(hosts[0].Must(ctx, "ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch_Port", "type!=router", "up=true"))
			g.Expect(up).To(HaveLen(hostsMade * endpointsEach))
		})
		Expect(strings.Fields(hosts[0].Must(ctx, "ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch", "name=ls-many"))).To(HaveLen(1))

		By("from each host to every other one")
		together(func(i int, p player) {
			for j := range hosts {
				if j == i {
					continue
				}
				lab.Soon(ctx, func(g Gomega) {
					_, err := p.Run(ctx, "ip", "netns", "exec", fmt.Sprint("c", j), "ping", "-c", "1", "-W", "1", addresses[j][i])
					g.Expect(err).NotTo(HaveOccurred())
				})
			}
		})

		By("one goes while the others stay")
		last := len(hosts) - 1
		remove := func(i int, p player) {
			for n := range endpointsEach {
				p.detach(ctx, spaces[i], n, addresses[i][n])
			}
			p.call(ctx, "NetworkDriver.DeleteNetwork", request{"NetworkID": p.network()})
			p.call(ctx, "IpamDriver.ReleasePool", request{"PoolID": spaces[i].pool})
		}
		remove(last, hosts[last])
		Expect(strings.Fields(hosts[0].Must(ctx, "ovn-nbctl", "--bare", "--columns=name", "list", "Logical_Switch_Port"))).To(HaveLen((hostsMade - 1) * endpointsEach))
		began = time.Now()
		together(func(i int, p player) {
			if i != last {
				remove(i, p)
			}
		})
		GinkgoWriter.Println("removed:", time.Since(began).Round(time.Millisecond))
		lab.Soon(ctx, func(g Gomega) { g.Expect(north(ctx, nb)).To(Equal(before)) })
		together(func(_ int, p player) {
			Expect(p.LinksOwned(ctx)).To(BeEmpty())
			Expect(p.Lines(ctx, "find", folder+"/data/networks", folder+"/data/endpoints", "-name", "*.json")).To(BeEmpty())
		})
	}, suite.Hang)
})
