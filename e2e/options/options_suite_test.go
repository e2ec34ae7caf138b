// Package options_test holds options of networks to what they promise, by the packets of containers: mirrors, MTU.
package options_test

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestOptions(t *testing.T) { suite.Run(t, "options") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("options", host.Fresh("h1")), 15*time.Minute, func(ctx context.Context) {
		// Another one's mirror, which is there before and after.
		l.Network(ctx, lab.Net{Name: "first", Subnet: "10.8.0.0/24", Switch: "ls-first", Auto: true})
		l.Clean(ctx)
		l.Must(ctx, "ovs-vsctl", "add-port", "br-int", "theirs0", "--", "set", "Interface", "theirs0", "type=internal",
			"--", "--id=@p", "get", "Port", "theirs0", "--", "--id=@m", "create", "Mirror", "name=theirs", "output_port=@p", "--", "add", "Bridge", "br-int", "mirrors", "@m")
		wire(ctx)
	})
	_ = AfterEach(func(ctx SpecContext) {
		l.Clean(ctx)
		Expect(l.OVSOwned(ctx)).To(BeEmpty())
		Expect(mirrors(ctx)).To(ConsistOf("theirs"))
	}, suite.Hang, OncePerOrdered)
)

// mirrors are the names of all mirrors of the bridge.
func mirrors(ctx context.Context) []string {
	GinkgoHelper()
	ids := strings.Fields(l.Must(ctx, "ovs-vsctl", "--bare", "get", "Bridge", "br-int", "mirrors"))
	var names []string
	for _, id := range ids {
		if id = strings.Trim(id, "[],"); id != "" {
			names = append(names, l.Must(ctx, "ovs-vsctl", "--bare", "get", "Mirror", id, "name"))
		}
	}
	return names
}

//go:embed listen.py
var listenProgram string

var listeners atomic.Int32

// listener writes down what it hears on a link.
type listener struct{ log string }

// listen begins to listen on a link, in the network namespace of the process; "" for the host's own.
func listen(ctx context.Context, pid, link string) listener {
	GinkgoHelper()
	n := listener{fmt.Sprintf("/var/log/listen-%d.log", listeners.Add(1))}
	Expect(l.WriteFile(ctx, n.log, nil, 0o600)).To(Succeed()) // read at once, and it may be started a moment later
	argv := []string{"python3", "-u", "-c", listenProgram, link}
	if pid != "" {
		argv = append([]string{"nsenter", "-t", pid, "-n"}, argv...)
	}
	stop, err := l.Start(ctx, n.log, argv...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
	lab.Soon(ctx, func(g Gomega) { g.Expect(l.Lines(ctx, "cat", n.log)).To(ContainElement("listening")) })
	return n
}

// heard counts what was heard, by "SOURCE > DESTINATION TYPE SEQUENCE".
func (n listener) heard(ctx context.Context) map[string]int {
	GinkgoHelper()
	counts := map[string]int{}
	for _, line := range l.Lines(ctx, "cat", n.log) {
		counts[line]++
	}
	return counts
}

// from counts the requests that were heard of an address.
func (n listener) from(ctx context.Context, address string) int {
	GinkgoHelper()
	count := 0
	for packet, times := range n.heard(ctx) {
		if strings.HasPrefix(packet, address+" > ") && strings.Contains(packet, " 8 ") {
			count += times
		}
	}
	return count
}

// exchange is pings of one container to another, each of which was answered.
type exchange struct {
	from, to string // addresses
	count    int
}

// ping has the first container ping the other, with packets of a size, and returns what must have been heard.
func ping(ctx context.Context, network, from, to string, count, size int) exchange {
	GinkgoHelper()
	e := exchange{l.AddressOf(ctx, from, network), l.AddressOf(ctx, to, network), count}
	Expect(pings(ctx, from, e.to, count, size)).To(ContainSubstring(fmt.Sprintf("%d received", count)))
	return e
}

// pings is what ping says of so many packets of a size.
func pings(ctx context.Context, from, address string, count, size int) string {
	GinkgoHelper()
	pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", from)
	return l.Must(ctx, "nsenter", "-t", pid, "-n", "ping", "-n", "-c", strconv.Itoa(count), "-i", "0.02", "-M", "do", "-s", strconv.Itoa(size), address)
}

// missing are the packets of the exchanges that were not heard, and those that were heard twice.
func (n listener) missing(ctx context.Context, all ...exchange) []string {
	GinkgoHelper()
	var wrong []string
	heard := n.heard(ctx)
	for _, e := range all {
		for seq := 1; seq <= e.count; seq++ {
			for _, packet := range []string{fmt.Sprintf("%s > %s 8 %d", e.from, e.to, seq), fmt.Sprintf("%s > %s 0 %d", e.to, e.from, seq)} {
				if heard[packet] != 1 {
					wrong = append(wrong, fmt.Sprintf("%s: %d times", packet, heard[packet]))
				}
			}
		}
	}
	return wrong
}

// hears proves that all of the exchanges is heard.
func (n listener) hears(ctx context.Context, all ...exchange) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) { g.Expect(n.missing(ctx, all...)).To(BeEmpty()) })
}

// settles waits until a mirror that has changed is in force for packets like those that there were before, which Open
// vSwitch looks at again every half second (ovs-vswitchd.conf.db(5), max-revalidator).
func settles(ctx context.Context, pid, link, network, from, to string) {
	GinkgoHelper()
	n := listen(ctx, pid, link)
	lab.Soon(ctx, func(g Gomega) {
		e := ping(ctx, network, from, to, 1, 56)
		g.Expect(n.heard(ctx)).To(HaveKey(e.to + " > " + e.from + " 0 1"))
	})
	// While Open vSwitch learns of ports that have just come, its datapath in userspace may take no packet that it has no flow
	// for (dpif-netdev.c, upcall_rwlock).
	lab.Soon(ctx, func(g Gomega) {
		g.Expect(pings(ctx, from, l.AddressOf(ctx, to, network), 25, 56)).To(ContainSubstring("25 received"))
	})
}
