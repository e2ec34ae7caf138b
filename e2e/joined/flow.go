package joined

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

// Fixed is the address that the container of a host has for good.
func Fixed(i int) string { return fmt.Sprint("10.2.0.", 51+i) }

// Lasting is the container of a host that Docker starts again whatever happens.
func Lasting(i int) string { return fmt.Sprint("f", i+1) }

// Flow is the traffic of a spec, from the container of the near host to that of the far one.
type Flow struct {
	*lab.Traffic
	hosts *Hosts
}

// LastingFlow declares, in an ordered container, that all hosts have a container on one network, that traffic runs
// between two of them during each spec, and that a container that comes then is on the network like any other.
func LastingFlow(hosts *Hosts) *Flow {
	f := &Flow{hosts: hosts}
	specs := 0
	BeforeAll(func(ctx SpecContext) {
		hosts.Share(ctx)
		for i, l := range *hosts {
			hosts.Network(ctx, l, "faults", "10.2.0.0/24")
			l.Container(ctx, Lasting(i), "faults", "--ip", Fixed(i), "--restart", "always")
			lab.Soon(ctx, func(g Gomega) { // from here on the host has addresses of its own; an emulated one may be late
				_, err := l.Docker(ctx, "run", "--rm", "--network", "faults", host.ImageDemo, "true")
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
	}, suite.Hang)
	BeforeEach(func(ctx SpecContext) {
		for i, l := range *hosts {
			for j := range *hosts {
				if i != j {
					Reaches(ctx, l, Lasting(i), Fixed(j))
				}
			}
		}
		f.Begins(ctx)
	}, suite.Hang)
	AfterEach(func(ctx SpecContext) {
		specs++
		for i, l := range *hosts {
			// Not a name of before: Docker does not remember that it has removed a container when the power fails right after.
			name := fmt.Sprintf("late%d-%d", specs, i+1)
			l.Container(ctx, name, "faults")
			for j := range *hosts {
				Reaches(ctx, l, name, Fixed(j))
			}
			l.MustDocker(ctx, "rm", "-f", name)
		}
	}, suite.Hang)
	AfterAll(func(ctx SpecContext) { hosts.Clean(ctx) }, suite.Hang)
	return f
}

// Begins begins the traffic anew.
func (f *Flow) Begins(ctx context.Context) {
	GinkgoHelper()
	h := *f.hosts
	f.Traffic = h[h.Near()].TrafficTo(ctx, Lasting(h.Near()), Fixed(h.Far()))
}

// Unharmed ends the traffic, of which nothing may have been lost.
func (f *Flow) Unharmed(ctx context.Context) {
	GinkgoHelper()
	Expect(f.Ends(ctx).Lost).To(BeZero())
}

// Back ends the traffic and returns how long nothing came through.
func (f *Flow) Back(ctx context.Context) time.Duration {
	GinkgoHelper()
	return f.Ends(ctx).Longest
}
