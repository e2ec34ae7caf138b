package faults_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

const (
	folder  = "/var/tmp/faults"
	binary  = folder + "/ovs-container-network"
	data    = folder + "/data"
	driver  = "ovs-dev"
	socket  = "/run/docker/plugins/" + driver + ".sock"
	control = folder + "/control.sock"
)

var programs = []string{"ovn-nbctl", "ovn-sbctl", "ovs-vsctl", "ovsdb-client", "ip", "ethtool"}

// install runs the plugin as it is, outside of Docker, behind wrapped programs, and starts it again whenever it ends.
func install(ctx context.Context, l *lab.Lab, wrap string) {
	GinkgoHelper()
	Expect(l.CopyIn(ctx, filepath.Join(host.PluginDir(), "..", "ovs-container-network"), binary)).To(Succeed())
	Expect(l.CopyIn(ctx, wrap, folder+"/wrap")).To(Succeed())
	l.Must(ctx, "mkdir", "-p", data, folder+"/real", folder+"/bin", filepath.Dir(socket))
	for _, p := range programs {
		l.Must(ctx, "ln", "-s", l.Must(ctx, "which", p), folder+"/real/"+p)
		l.Must(ctx, "ln", "-s", folder+"/wrap", folder+"/bin/"+p)
	}
	supervise := "while [ ! -e " + folder + "/stop ]; do PATH=" + folder + "/bin:$PATH PLUGIN_SOCKET=" + socket + " PLUGIN_DATA_DIR=" + data +
		" PLUGIN_CONTROL_SOCKET=" + control + " " + binary + " serve; sleep 0.1; done"
	_, err := l.Start(ctx, "/var/log/faults.log", "sh", "-c", supervise)
	Expect(err).NotTo(HaveOccurred())
	listens(ctx, l)
}

// listens waits until the plugin has recovered.
func listens(ctx context.Context, l *lab.Lab) {
	GinkgoHelper()
	lab.Soon(ctx, func(g Gomega) {
		out, err := l.Run(ctx, binary, "status", "--json", "--socket", control)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out).To(ContainSubstring(`"ready": true`))
	})
}

// flow is a request of Docker, with what comes before it.
type flow struct {
	name   string
	before func(ctx context.Context, l *lab.Lab)
	try    []string // a docker command
	// again brings the host to what try should have, whatever became of it.
	again func(ctx context.Context, l *lab.Lab)
	cuts  int // lines of its ip batch
}

var n1 = lab.Net{Name: "n1", Driver: driver, Subnet: "10.1.0.0/24", Switch: "ls-1", Options: []string{"mirror.ports=all", "mirror.dest=mon0"}}

func makeNetwork(ctx context.Context, l *lab.Lab) { l.Network(ctx, n1) }

func makeContainer(ctx context.Context, l *lab.Lab) {
	makeNetwork(ctx, l)
	l.Container(ctx, "x1", "n1")
}

// ensureNetwork and the others do what a user does who reads an error.
func ensureNetwork(ctx context.Context, l *lab.Lab) {
	if _, err := l.Docker(ctx, "network", "inspect", "n1"); err != nil {
		makeNetwork(ctx, l)
	}
	l.Container(ctx, "x2", "n1")
	l.Container(ctx, "x3", "n1")
	l.Ping(ctx, "x2", "x3")
	mirrors(ctx, l, 2)
}

// mirrors proves that so many containers are mirrored, also where that had failed.
func mirrors(ctx context.Context, l *lab.Lab, containers int) {
	lab.Soon(ctx, func(g Gomega) {
		g.Expect(l.Run(ctx, "ovs-vsctl", "--bare", "--columns=select_src_port", "find", "Mirror", "name=mon0", "output_port!=[]")).
			To(WithTransform(func(ports string) int { return len(strings.Fields(ports)) }, Equal(containers)))
	})
}

func ensureContainer(ctx context.Context, l *lab.Lab) {
	if _, err := l.Docker(ctx, "start", "x1"); err != nil {
		_, _ = l.Docker(ctx, "rm", "-f", "x1") // not even made
		l.Container(ctx, "x1", "n1")
	}
	l.Container(ctx, "x2", "n1")
	l.Ping(ctx, "x2", l.AddressOf(ctx, "x1", "n1"))
	mirrors(ctx, l, 2)
}

func ensureNoContainer(ctx context.Context, l *lab.Lab) {
	_, _ = l.Docker(ctx, "rm", "-f", "x1") // gone for Docker, most likely
	l.Container(ctx, "x2", "n1", "--ip", "10.1.0.2")
	l.Container(ctx, "x3", "n1")
	l.Ping(ctx, "x3", "x2")
}

func ensureNoNetwork(ctx context.Context, l *lab.Lab) {
	_, _ = l.Docker(ctx, "network", "rm", "n1")
	ensureNetwork(ctx, l)
}

var flows = []flow{
	{"create network", func(context.Context, *lab.Lab) {}, n1.Args(), ensureNetwork, 0},
	{"create endpoint and join", makeNetwork, []string{"run", "-d", "--name", "x1", "--network", "n1", host.ImageDemo}, ensureContainer, 4},
	{"leave and delete endpoint", makeContainer, []string{"rm", "-f", "x1"}, ensureNoContainer, 2},
	{"delete network", makeNetwork, []string{"network", "rm", "n1"}, ensureNoNetwork, 0},
}

// step is one run of a program by a flow: the at'th of those that say the same of themselves.
type step struct {
	what string
	at   int
}

// attempt is one fault in one flow.
type attempt struct {
	flow flow
	mode string
	step step
}

func (a attempt) String() string {
	return fmt.Sprintf("%s, %s %q, number %d", a.flow.name, a.mode, a.step.what, a.step.at)
}

// clean removes what the flows make. Their names are no hexadecimal numbers: for one that is not there, Docker would take the
// container whose id begins so.
func clean(ctx context.Context, l *lab.Lab) {
	GinkgoHelper()
	for _, c := range []string{"x1", "x2", "x3"} {
		_, _ = l.Docker(ctx, "rm", "-f", c)
	}
	_, _ = l.Docker(ctx, "network", "rm", "n1")
}

// arm arms the wrapped programs; disarm says whether the fault came to pass, and what was run.
func arm(ctx context.Context, l *lab.Lab, mode string, s step) {
	GinkgoHelper()
	l.Must(ctx, "rm", "-f", folder+"/count", folder+"/fired")
	Expect(l.WriteFile(ctx, folder+"/control", fmt.Appendf(nil, `{"What": %q, "At": %d, "Mode": %q}`, s.what, s.at, mode), 0o600)).To(Succeed())
}

func disarm(ctx context.Context, l *lab.Lab) (fired string, all []step) {
	GinkgoHelper()
	l.Must(ctx, "rm", "-f", folder+"/control")
	fired, _ = l.Run(ctx, "cat", folder+"/fired")
	text, _ := l.Run(ctx, "cat", folder+"/count")
	count := map[string]int{}
	for line := range strings.Lines(text) {
		what := strings.TrimSpace(line)
		count[what]++
		all = append(all, step{what, count[what]})
	}
	return fired, all
}

// records are the plugin's state files.
func records(ctx context.Context, l *lab.Lab) []string {
	GinkgoHelper()
	return l.Lines(ctx, "find", data+"/networks", data+"/endpoints", "-type", "f")
}

// run tries one fault: whatever Docker is told, trying again works, and when all is removed the host is as before.
func run(ctx context.Context, l *lab.Lab, a attempt, before lab.State, files []string) (fired bool) {
	GinkgoHelper()
	By(l.Name() + ": " + a.String())
	a.flow.before(ctx, l)
	arm(ctx, l, a.mode, a.step)
	_, told := l.Docker(ctx, a.flow.try...)
	what, _ := disarm(ctx, l)
	listens(ctx, l)
	a.flow.again(ctx, l)
	clean(ctx, l)
	lab.Soon(ctx, func(g Gomega) {
		g.Expect(l.Changes(ctx, before)).To(BeEmpty(), "after %s (%s); Docker said %v", a, what, told)
		g.Expect(records(ctx, l)).To(ConsistOf(files), "after %s (%s)", a, what)
	})
	return what != ""
}

var _ = It("is killed, or its commands fail, at every step of every request", Label("faults"), func(ctx SpecContext) {
	wrap := filepath.Join(GinkgoT().TempDir(), "wrap")
	build := exec.CommandContext(ctx, "go", "build", "-o", wrap, "./wrap")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))

	var tried, missed []string
	var mu sync.Mutex
	var both sync.WaitGroup
	var taken sync.Map
	for _, l := range labs {
		both.Go(func() {
			defer GinkgoRecover()
			t, m := every(ctx, l, wrap, &taken)
			mu.Lock()
			defer mu.Unlock()
			tried, missed = append(tried, t...), append(missed, m...)
		})
	}
	both.Wait()
	AddReportEntry("faults", fmt.Sprintf("%d tried", len(tried)))
	GinkgoWriter.Printf("%d faults tried; not reached: %q\n", len(tried), missed)
	Expect(len(tried)).To(BeNumerically(">", 40))
	Expect(len(missed)).To(BeNumerically("<", len(tried)/10), "faults that were not reached: %q", missed)
}, 3*suite.Hang)

// every tries on one host the faults that no other one has taken, while the containers of another network talk.
func every(ctx context.Context, l *lab.Lab, wrap string, taken *sync.Map) (tried, missed []string) {
	GinkgoHelper()
	install(ctx, l, wrap)
	DeferCleanup(func(ctx SpecContext) {
		l.Must(ctx, "touch", folder+"/stop")
		for _, pid := range l.Lines(ctx, "pidof", binary) {
			l.Must(ctx, "kill", pid)
		}
	}, suite.Hang)
	steady := lab.Net{Name: "steady", Driver: driver, Subnet: "10.9.0.0/24", Switch: "ls-steady", Auto: true}
	l.Network(ctx, steady)
	l.Container(ctx, "steady1", "steady")
	l.Container(ctx, "steady2", "steady")
	traffic := l.Traffic(ctx, "steady1", "steady2", "steady")
	makeContainer(ctx, l) // so that all that Docker makes once is there
	clean(ctx, l)
	time.Sleep(time.Second)
	before, files := l.State(ctx), records(ctx, l)
	for _, f := range flows {
		steps := stepsOf(ctx, l, f)
		By(fmt.Sprintf("%s: %s takes %v", l.Name(), f.name, steps))
		for _, s := range steps {
			for _, mode := range modes(f, s.what) {
				a := attempt{f, mode, s}
				if _, others := taken.LoadOrStore(a.String(), l.Name()); others {
					continue
				}
				tried = append(tried, a.String())
				if !run(ctx, l, a, before, files) {
					missed = append(missed, a.String())
				}
			}
		}
	}
	Expect(traffic.Ends(ctx).Lost).To(BeZero(), "packets of containers that have nothing to do with it")
	return tried, missed
}

// stepsOf returns what the flow runs without a fault: what three runs of it have in common, since the plugin may do something
// else beside one of them.
func stepsOf(ctx context.Context, l *lab.Lab, f flow) []step {
	GinkgoHelper()
	steps := started(ctx, l, f)
	for range 2 {
		again := started(ctx, l, f)
		steps = slices.DeleteFunc(steps, func(s step) bool { return !slices.Contains(again, s) })
	}
	return steps
}

// started runs the flow without a fault and returns what was run meanwhile.
func started(ctx context.Context, l *lab.Lab, f flow) []step {
	GinkgoHelper()
	f.before(ctx, l)
	time.Sleep(1500 * time.Millisecond) // a pass after what was before
	arm(ctx, l, "none", step{"nothing", 1})
	l.MustDocker(ctx, f.try...)
	_, steps := disarm(ctx, l)
	clean(ctx, l)
	return steps
}

func modes(f flow, what string) []string {
	if strings.HasSuffix(what, ":read") { // nothing is done by it
		return []string{"kill-before", "fail"}
	}
	all := []string{"kill-before", "kill-after", "fail", "fail-after"}
	if strings.HasPrefix(what, "ip ") {
		for i := range f.cuts {
			all = append(all, fmt.Sprintf("cut-%d", i+1))
		}
	}
	return all
}
