package hosts_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// fixed is the address that the container of a host has for good.
func fixed(i int) string { return fmt.Sprint("10.2.0.", 51+i) }

// lasting is the container of a host that Docker starts again whatever happens.
func lasting(i int) string { return fmt.Sprint("f", i+1) }

// flow is the traffic of a spec, from the container of the near host to that of the far one.
type flow struct{ *lab.Traffic }

// lastingFlow declares, in an ordered container, that all hosts have a container on one network, that traffic runs
// between two of them during each spec, and that a container that comes then is on the network like any other.
func lastingFlow() *flow {
	f := &flow{}
	BeforeAll(func(ctx SpecContext) {
		share(ctx)
		for i, l := range hosts {
			network(ctx, l, "faults", "10.2.0.0/24")
			l.Container(ctx, lasting(i), "faults", "--ip", fixed(i), "--restart", "always")
			lab.Soon(ctx, func(g Gomega) { // from here on the host has addresses of its own; an emulated one may be late
				_, err := l.Docker(ctx, "run", "--rm", "--network", "faults", host.ImageDemo, "true")
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
	}, suite.Hang)
	BeforeEach(func(ctx SpecContext) {
		for i, l := range hosts {
			for j := range hosts {
				if i != j {
					reaches(ctx, l, lasting(i), fixed(j))
				}
			}
		}
		f.begins(ctx)
	}, suite.Hang)
	AfterEach(func(ctx SpecContext) {
		for i, l := range hosts {
			name := fmt.Sprint("late", i+1)
			l.Container(ctx, name, "faults")
			for j := range hosts {
				reaches(ctx, l, name, fixed(j))
			}
			l.MustDocker(ctx, "rm", "-f", name)
		}
	}, suite.Hang)
	AfterAll(func(ctx SpecContext) { clean(ctx) }, suite.Hang)
	return f
}

func (f *flow) begins(ctx context.Context) {
	GinkgoHelper()
	f.Traffic = hosts[near()].TrafficTo(ctx, lasting(near()), fixed(far()))
}

func (f *flow) unharmed(ctx context.Context) {
	GinkgoHelper()
	Expect(f.Ends(ctx).Lost).To(BeZero())
}

// back returns how long nothing came through.
func (f *flow) back(ctx context.Context) time.Duration {
	GinkgoHelper()
	return f.Ends(ctx).Longest
}
