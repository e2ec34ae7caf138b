// Package suite is what all end-to-end suites begin and end with: a cluster that is brought up, skipped at home or
// failed in CI when it cannot be, and proved to be gone at the end.
package suite

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

// Hang is when a spec is taken for one that hangs: far beyond what it needs on the slowest machine. What has to be fast
// is said by the specs themselves, where it can be compared with something.
const Hang = NodeTimeout(10 * time.Minute)

// Alone marks the specs that compare times which they do not take turns at: what a machine does beside them would be counted
// on one side only. make test-integration runs them after all others, one at a time.
var Alone = Label("alone")

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
	config.LabelFilter = cmp.Or(config.LabelFilter, os.Getenv("E2E_LABELS"))
	reporter.Succinct = !testing.Verbose()
	ReportAfterSuite("failures", noteFailures)
	RunSpecs(t, name, config, reporter)
}

// noteFailures adds what failed to the file that E2E_FAILURES names: several suites write to one output, where a failure and
// what was printed about it are far from the end, and far from each other.
func noteFailures(report Report) {
	path := os.Getenv("E2E_FAILURES")
	var text strings.Builder
	for _, spec := range report.SpecReports {
		if spec.Failed() {
			fmt.Fprintf(&text, "%s: %s\n%s\n%s\n\n", report.SuiteDescription, spec.FullText(), spec.FailureLocation(), spec.FailureMessage())
		}
	}
	if path == "" || text.Len() == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	Expect(f.WriteString(text.String())).To(Equal(text.Len()))
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
	}, Hang)
	return c
}

// Host declares the one host that the specs of a suite run on, in l: it is made before them, within a time, and prepared;
// after a spec that failed its state is printed. The result means nothing, but lets it stand at the top of a file.
func Host(l **lab.Lab, spec host.Spec, within time.Duration, prepare ...func(ctx context.Context)) bool {
	var c host.Cluster
	BeforeSuite(func(ctx SpecContext) {
		c = Up(ctx, spec)
		*l = lab.New(c.Hosts()[0])
		for _, p := range prepare {
			p(ctx)
		}
	}, NodeTimeout(within))
	AfterEach(func(ctx SpecContext) { Explain(ctx, c) }, Hang)
	return true
}

// One is the specification of one host.
func One(name string, h host.Options) host.Spec {
	return host.Spec{Name: name, Hosts: []host.Options{h}}
}

// Clean declares that the host is empty again after each spec, of an ordered container after the last.
func Clean(l **lab.Lab) bool {
	AfterEach(func(ctx SpecContext) { (*l).Clean(ctx) }, Hang, OncePerOrdered)
	return true
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

// InTurns measures what each name does, times times after one that is not counted, and returns the medians: they take turns,
// and whose turn is first changes too, so that what else a machine does meets all alike.
func InTurns(times int, do func(name string) time.Duration, names ...string) map[string]time.Duration {
	took := map[string][]time.Duration{}
	order := slices.Clone(names)
	for i := range times + 1 {
		for _, name := range order {
			if d := do(name); i > 0 {
				took[name] = append(took[name], d)
			}
		}
		slices.Reverse(order)
	}
	medians := map[string]time.Duration{}
	for name, list := range took {
		medians[name] = Median(list)
	}
	return medians
}

// Median is the middle of durations, at least one.
func Median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
