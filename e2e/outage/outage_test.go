package outage_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var n1 = lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true}

// always has n containers that Docker keeps running, on n1.
func always(ctx context.Context, n int) []string {
	GinkgoHelper()
	l.Network(ctx, n1)
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("web%d", i))
		l.Container(ctx, names[i], "n1", "--restart", "always")
	}
	return names
}

// reach proves that every container of the list runs, and reaches every other one.
func reach(ctx context.Context, names ...string) {
	GinkgoHelper()
	for _, from := range names {
		for _, to := range names {
			if from == to {
				continue
			}
			lab.Soon(ctx, func(g Gomega) {
				_, err := l.Docker(ctx, "exec", from, "ping", "-c", "1", "-W", "1", to)
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
	}
}

// goesOn proves that a new container reaches the others with its first packet.
func goesOn(ctx context.Context, names ...string) {
	GinkgoHelper()
	l.Agree(ctx)
	l.Container(ctx, "new", "n1")
	for _, to := range names {
		l.Ping(ctx, "new", to)
	}
	l.MustDocker(ctx, "rm", "-f", "new")
	l.Agree(ctx)
}

var _ = Describe("dockerd", Label("outage"), func() {
	It("is killed, and its containers with it", func(ctx SpecContext) {
		names := always(ctx, 3)
		l.Container(ctx, "once", "n1")
		Expect(l.KillDocker(ctx)).To(Succeed())
		Expect(l.StartDocker(ctx)).To(Succeed())
		reach(ctx, names...)
		goesOn(ctx, names...)
	}, suite.Hang)

	It("is stopped and started", func(ctx SpecContext) {
		names := always(ctx, 2)
		Expect(l.RestartDocker(ctx)).To(Succeed())
		reach(ctx, names...)
		goesOn(ctx, names...)
	}, suite.Hang)

	It("is killed under containers that live on", func(ctx SpecContext) {
		liveRestore(ctx, true)
		DeferCleanup(func(ctx SpecContext) { liveRestore(ctx, false) }, suite.Hang)
		names := always(ctx, 2)
		traffic := l.Traffic(ctx, names[0], names[1], "n1")
		Expect(l.KillDocker(ctx)).To(Succeed())
		Expect(l.StartDocker(ctx)).To(Succeed())
		goesOn(ctx, names...)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		By("and learns of one that ended meanwhile")
		pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", names[1])
		l.MustDocker(ctx, "update", "--restart", "no", names[1])
		Expect(l.KillDocker(ctx)).To(Succeed())
		l.Must(ctx, "kill", "-9", pid)
		Expect(l.StartDocker(ctx)).To(Succeed())
		goesOn(ctx, names[0])
	}, suite.Hang)
})

// liveRestore sets whether containers outlive dockerd.
func liveRestore(ctx context.Context, on bool) {
	GinkgoHelper()
	const file = "/etc/docker/daemon.json"
	text, err := l.Run(ctx, "cat", file)
	if err != nil {
		text = "{}"
	}
	out, err := l.RunInput(ctx, strings.NewReader(text), "jq", fmt.Sprintf(`."live-restore" = %t`, on))
	Expect(err).NotTo(HaveOccurred())
	Expect(l.WriteFile(ctx, file, []byte(out), 0o644)).To(Succeed())
	Expect(l.RestartDocker(ctx)).To(Succeed())
}

const centralAway = time.Minute

var _ = Describe("OVN central", Label("outage"), func() {
	It("is away while containers start and stop", func(ctx SpecContext) {
		names := always(ctx, 3)
		traffic := l.Traffic(ctx, names[0], names[1], "n1")
		l.MustDocker(ctx, "stop", "-t", "5", "ovn-central")
		until := time.Now().Add(centralAway)
		for i := 0; time.Now().Before(until); i++ {
			l.Container(ctx, fmt.Sprintf("late%d", i), "n1")
			if i > 0 {
				l.MustDocker(ctx, "rm", "-f", fmt.Sprintf("late%d", i-1))
			}
			if i == 1 {
				l.MustDocker(ctx, "rm", "-f", names[2])
			}
			time.Sleep(2 * time.Second)
		}
		l.MustDocker(ctx, "start", "ovn-central")
		goesOn(ctx, names[:2]...)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("is removed, and made again with what it held", func(ctx SpecContext) {
		names := always(ctx, 2)
		traffic := l.Traffic(ctx, names[0], names[1], "n1")
		l.MustDocker(ctx, "rm", "-f", "ovn-central")
		l.MustDocker(ctx, "run", "-d", "--name", "meanwhile", "--network", "n1", host.ImageDemo)
		centralIsBack(ctx)
		reach(ctx, append(names, "meanwhile")...)
		goesOn(ctx, names...)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("is removed with its volume, and filled again", func(ctx SpecContext) {
		names := always(ctx, 2)
		l.Network(ctx, lab.Net{Name: "n2", Subnet: "10.2.0.0/24", Switch: "ls-2"})
		traffic := l.Traffic(ctx, names[0], names[1], "n1")
		l.MustDocker(ctx, "rm", "-f", "ovn-central")
		l.MustDocker(ctx, "volume", "rm", "ovn-central-db")
		By("by the next network that asks for it")
		l.Network(ctx, lab.Net{Name: "n3", Subnet: "10.3.0.0/24", Switch: "ls-3", Auto: true})
		reach(ctx, names...)
		goesOn(ctx, names...)
		Expect(traffic.Ends(ctx).Longest).To(BeNumerically("<", 10*time.Second))
	}, suite.Hang)
})

// centralIsBack waits until the plugin has made OVN central again.
func centralIsBack(ctx context.Context) {
	GinkgoHelper()
	Eventually(func() error { _, err := l.Docker(ctx, "exec", "ovn-central", "ovn-nbctl", "show"); return err }).
		WithContext(ctx).WithTimeout(40 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
}

var _ = Describe("the host", Label("outage"), func() {
	It("loses its power, and boots with OVN in containers beside their users", suite.Alone, func(ctx SpecContext) {
		names := always(ctx, 6)
		before := bootTime(ctx)
		By("the same with containers on a bridge network, for comparison")
		l.RemoveContainers(ctx)
		l.MustDocker(ctx, "network", "create", "plain")
		DeferCleanup(func(ctx SpecContext) { l.MustDocker(ctx, "network", "rm", "plain") }, suite.Hang)
		for _, name := range names {
			l.MustDocker(ctx, "run", "-d", "--name", name, "--network", "plain", "--restart", "always", host.ImageDemo)
		}
		plain := bootTime(ctx)
		AddReportEntry("boot", fmt.Sprintf("Docker's API after %s with six containers on an OVN network, after %s with six on a bridge", before, plain))
		GinkgoWriter.Println("boot: OVN", before, "bridge", plain)
		Expect(before-plain).To(BeNumerically("<", 3*time.Second), "the API is not held up")
	}, suite.Hang)
})

// bootTime cuts the host's power, boots it, and returns how long Docker's API took; containers on n1 must then reach each
// other within 20 s of OVN central's start.
func bootTime(ctx context.Context) time.Duration {
	GinkgoHelper()
	names := l.Lines(ctx, "docker", "ps", "--format", "{{.Names}}")
	Expect(l.PowerOff(ctx)).To(Succeed())
	started := time.Now()
	Expect(l.Boot(ctx)).To(Succeed())
	took := time.Since(started)
	Expect(l.Lines(ctx, "docker", "ps", "--format", "{{.Names}}")).To(ConsistOf(names), "containers that run")
	var users []string
	for _, name := range names {
		if name != "ovn-central" && name != "ovn-controller" {
			users = append(users, name)
		}
	}
	reach(ctx, users[0], users[1], users[len(users)-1])
	central, err := time.Parse(time.RFC3339Nano, l.MustDocker(ctx, "inspect", "-f", "{{.State.StartedAt}}", "ovn-central"))
	Expect(err).NotTo(HaveOccurred())
	Expect(time.Since(central)).To(BeNumerically("<", 20*time.Second), "traffic after OVN central's start")
	l.Agree(ctx)
	return took
}
