package lab

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Traffic is a ping every 10 ms from one container to another that goes on whatever becomes of Docker and the plugin.
type Traffic struct {
	l    *Lab
	log  string
	stop func()
}

const pingEvery = 10 * time.Millisecond

var trafficCount atomic.Int64

// Traffic starts it, and returns when the first answer is there. The host's own ping runs in the container's network, since
// a docker exec would end with Docker.
func (l *Lab) Traffic(ctx context.Context, from, to, network string) *Traffic {
	GinkgoHelper()
	return l.TrafficTo(ctx, from, l.AddressOf(ctx, to, network))
}

// TrafficTo is Traffic to an address.
func (l *Lab) TrafficTo(ctx context.Context, from, address string) *Traffic {
	GinkgoHelper()
	pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", from)
	t := &Traffic{l: l, log: fmt.Sprintf("/var/log/ping-%d.log", trafficCount.Add(1))}
	// It is read at once, and ping may be started a moment after Start.
	Expect(l.WriteFile(ctx, t.log, nil, 0o600)).To(Succeed())
	var err error
	t.stop, err = l.Start(ctx, t.log, "nsenter", "-t", pid, "-n", "ping", "-n", "-i", strconv.FormatFloat(pingEvery.Seconds(), 'f', -1, 64), address)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(t.stop)
	Soon(ctx, func(g Gomega) { g.Expect(t.answered(ctx)).NotTo(BeEmpty()) })
	return t
}

var sequence = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

func (t *Traffic) answered(ctx context.Context) []int {
	GinkgoHelper()
	var all []int
	for _, m := range sequence.FindAllStringSubmatch(t.l.Must(ctx, "cat", t.log), -1) {
		n, err := strconv.Atoi(m[1])
		Expect(err).NotTo(HaveOccurred())
		all = append(all, n)
	}
	return all
}

// Loss is what became of the packets of a Traffic.
type Loss struct {
	Answered, Lost int
	Overtaken      int           // of the lost, which came after a later one
	Longest        time.Duration // without an answer
}

func (l Loss) String() string {
	text := fmt.Sprintf("%d answered, %d lost, %s at most without an answer", l.Answered, l.Lost, l.Longest)
	if l.Overtaken > 0 {
		text += fmt.Sprintf(", %d overtaken", l.Overtaken)
	}
	return text
}

// Ends waits until the traffic flows, ends it, and returns what was lost of it.
func (t *Traffic) Ends(ctx context.Context) Loss {
	GinkgoHelper()
	before := len(t.answered(ctx))
	Soon(ctx, func(g Gomega) { g.Expect(len(t.answered(ctx))).To(BeNumerically(">", before+20)) })
	t.stop()
	answered := t.answered(ctx)
	loss := Loss{Answered: len(answered)}
	last := answered[0] - 1
	for _, n := range answered {
		if n < last {
			loss.Overtaken++
		}
		if gap := n - last - 1; gap > 0 {
			loss.Lost += gap
			loss.Longest = max(loss.Longest, time.Duration(gap)*pingEvery)
		}
		last = max(last, n)
	}
	AddReportEntry("traffic", loss.String())
	GinkgoWriter.Println("traffic:", strings.TrimSpace(loss.String()))
	return loss
}
