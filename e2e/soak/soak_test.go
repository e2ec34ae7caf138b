package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

const (
	// length of the run unless E2E_SOAK says another, such as 30m.
	short        = time.Minute
	compareEvery = 10 // steps
)

// seed is E2E_SEED, or this run's own. It is printed: with it, the same steps are chosen.
func seed() uint64 {
	text := os.Getenv("E2E_SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	Expect(err).NotTo(HaveOccurred(), "E2E_SEED")
	return n
}

func length() time.Duration {
	text := os.Getenv("E2E_SOAK")
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	Expect(err).NotTo(HaveOccurred(), "E2E_SOAK")
	return d
}

// A network that stays from the first to the last step, with containers that Docker keeps running.
var steady = lab.Net{Name: "steady", Subnet: "10.100.0.0/24", Switch: "ls-steady", Auto: true}

var _ = It("holds what Docker holds, after a long time of everything", Label("soak"), func(ctx SpecContext) {
	n := seed()
	s := soak{Rand: rand.New(rand.NewPCG(n, n))} //nolint:gosec // to be repeated, not to be secret
	again := fmt.Sprintf("again with: E2E_SEED=%d E2E_SOAK=%s", n, length())
	GinkgoWriter.Println(again)
	AddReportEntry("seed", again, ReportEntryVisibilityAlways)
	l.Network(ctx, steady)
	for _, name := range []string{"steady1", "steady2"} {
		l.Container(ctx, name, "steady", "--restart", "always")
	}
	steps := map[string]int{}
	for started, step := time.Now(), 1; time.Since(started) < length(); step++ {
		a := s.choose()
		steps[a.name]++
		GinkgoWriter.Printf("%5.0f s  step %d: %s\n", time.Since(started).Seconds(), step, a.name)
		a.do(ctx, &s)
		if step%compareEvery == 0 {
			s.compare(ctx)
		}
	}
	s.compare(ctx)
	AddReportEntry("steps", fmt.Sprint(steps), ReportEntryVisibilityAlways)
	l.Clean(ctx)
	l.Agree(ctx)
}, NodeTimeout(2*time.Hour))

// compare proves that all places hold the same, and that what runs has its traffic.
func (s *soak) compare(ctx context.Context) {
	GinkgoHelper()
	By("comparing")
	lab.Soon(ctx, func(g Gomega) {
		for _, name := range []string{"steady1", "steady2", "ovn-central", "ovn-controller"} {
			g.Expect(running(ctx)).To(ContainElement(name), "Docker keeps it running")
		}
	})
	l.Agree(ctx)
	for _, n := range networks(ctx) {
		on := runningOn(ctx, n)
		if len(on) < 2 {
			continue
		}
		s.Shuffle(len(on), func(i, j int) { on[i], on[j] = on[j], on[i] })
		from, to := on[0], l.AddressOf(ctx, on[1], n)
		lab.Soon(ctx, func(g Gomega) {
			_, err := l.Docker(ctx, "exec", from, "ping", "-c", "1", "-W", "1", to)
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}
