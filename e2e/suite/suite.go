// Package suite is what all end-to-end suites begin and end with: a cluster that is brought up, skipped at home or
// failed in CI when it cannot be, and proved to be gone at the end.
package suite

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

// Run runs the specs of a package under a name.
func Run(t *testing.T, name string) {
	t.Helper()
	RunWithin(t, name, 30*time.Minute)
}

// RunWithin is Run for a suite that takes its time.
func RunWithin(t *testing.T, name string, limit time.Duration) {
	t.Helper()
	RegisterFailHandler(Fail)
	config, reporter := GinkgoConfiguration()
	config.Timeout = limit
	reporter.Succinct = !testing.Verbose()
	RunSpecs(t, name, config, reporter)
}

// Require skips, or in CI fails, when hosts cannot be made here.
func Require(spec host.Spec) {
	GinkgoHelper()
	reason := host.Missing(spec)
	switch {
	case reason == "":
	case os.Getenv("CI") != "":
		Fail(reason)
	default:
		Skip(reason)
	}
}

// RequireKernel skips suites that need hosts with a kernel of their own. In CI too, where the same tests run once on every
// provider.
func RequireKernel() {
	GinkgoHelper()
	if reason := host.NoKernel(); reason != "" {
		Skip(reason)
	}
}

// Up makes a cluster for the specs that follow, and takes it down after them.
func Up(ctx context.Context, spec host.Spec) host.Cluster {
	GinkgoHelper()
	Require(spec)
	c, err := host.Up(ctx, spec)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) {
		Expect(c.Down(ctx)).To(Succeed())
		Expect(c.Leftovers()).To(BeEmpty(), "left on the machine after the hosts went down")
	}, NodeTimeout(2*time.Minute))
	return c
}

// Explain prints the state of all hosts after a spec that failed. Suites call it from an AfterEach.
func Explain(ctx context.Context, c host.Cluster) {
	if c == nil || !CurrentSpecReport().Failed() {
		return
	}
	for _, h := range c.Hosts() {
		lab.New(h).Explain(ctx)
	}
}
