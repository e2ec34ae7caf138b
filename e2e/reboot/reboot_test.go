package reboot_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var n1 = lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true}

// always has containers on n1 that Docker keeps running. Their addresses are asked for: Docker gives others out anew, in the
// order in which containers happen to start.
func always(ctx context.Context, names ...string) {
	GinkgoHelper()
	l.Network(ctx, n1)
	for i, name := range names {
		l.Container(ctx, name, "n1", "--restart", "always", "--ip", fmt.Sprintf("10.0.0.%d", 11+i))
	}
}

// reach proves that two containers reach each other, with time for a host that has just come up.
func reach(ctx context.Context, a, b string) {
	GinkgoHelper()
	for from, to := range map[string]string{a: b, b: a} {
		Eventually(func() error {
			_, err := l.Docker(ctx, "exec", from, "ping", "-c", "1", "-W", "1", to)
			return err
		}).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
	}
}

// agree is lab.Agree with time for an emulated host.
func agree(ctx context.Context) {
	GinkgoHelper()
	Eventually(l.Disagreements).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(time.Second).Should(BeEmpty())
}

// goesOn proves that a new container gets the first free address and reaches another with its first packet, and leaves
// nothing.
func goesOn(ctx context.Context, to string) {
	GinkgoHelper()
	agree(ctx)
	l.Container(ctx, "new", "n1")
	Expect(l.AddressOf(ctx, "new", "n1")).To(Equal("10.0.0.2"))
	l.Ping(ctx, "new", to)
	l.Ping(ctx, to, "new")
	l.MustDocker(ctx, "rm", "-f", "new")
	agree(ctx)
}

// owned is all that the plugin has made in OVN and Open vSwitch.
func owned(ctx context.Context) []string {
	GinkgoHelper()
	return append(l.NBOwned(ctx), l.OVSOwned(ctx)...)
}

var _ = Describe("a host with a kernel of its own", Label("reboot"), func() {
	It("switches in the kernel", func(ctx SpecContext) {
		always(ctx, "web1", "web2")
		Expect(l.Must(ctx, "cat", "/proc/modules")).To(MatchRegexp(`(?m)^openvswitch `))
		Expect(l.Must(ctx, "ovs-vsctl", "get", "Bridge", "br-int", "datapath_type")).To(BeElementOf("system", `""`))
		traffic := l.Traffic(ctx, "web1", "web2", "n1")
		l.Exec(ctx, "web1", "dd", "if=/dev/urandom", "of=/www/blob", "bs=1M", "count=5")
		sum, _, _ := strings.Cut(l.Exec(ctx, "web1", "sha256sum", "/www/blob"), " ")
		l.Exec(ctx, "web2", "timeout", "30", "wget", "-q", "-O", "/tmp/blob", "http://web1/blob")
		Expect(l.Exec(ctx, "web2", "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		By("with flows that the kernel itself has used")
		Expect(l.Must(ctx, "ovs-dpctl", "show", "system@ovs-system")).To(MatchRegexp(`lookups: hit:[1-9]\d{2,}`))
	}, suite.Hang)

	It("is rebooted, and containers that always run are back as they were", func(ctx SpecContext) {
		comesBack(ctx, l.Host.(host.Rebooter).Reboot)
		By("in an order that holds for every boot: Docker after Open vSwitch")
		after := l.Must(ctx, "systemctl", "show", "--property=After", "--value", "docker.service")
		Expect(strings.Fields(after)).To(ContainElement("ovs-vswitchd.service"))
		started := func(unit string) int {
			text := l.Must(ctx, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit)
			at, err := strconv.Atoi(text)
			Expect(err).NotTo(HaveOccurred(), unit)
			return at
		}
		Expect(started("docker.service")).To(BeNumerically(">", started("ovs-vswitchd.service")))
	}, NodeTimeout(12*time.Minute))

	It("loses its power, and containers that always run are back as they were", func(ctx SpecContext) {
		comesBack(ctx, func(ctx context.Context) error {
			if err := l.PowerOff(ctx); err != nil {
				return err
			}
			return l.Boot(ctx)
		})
	}, NodeTimeout(12*time.Minute))
})

// comesBack has the host come down and up again, and compares.
func comesBack(ctx context.Context, restart func(ctx context.Context) error) {
	GinkgoHelper()
	names := []string{"web1", "web2", "web3"}
	always(ctx, names...)
	l.Container(ctx, "once", "n1") // Docker does not start it again, and it keeps nothing of OVN's and Open vSwitch's
	reach(ctx, "web1", "web2")
	agree(ctx)
	before := map[string]lab.Endpoint{}
	for _, name := range names {
		before[name] = l.Endpoint(ctx, name, "n1")
	}
	all := slices.Sorted(slices.Values(append(names, "ovn-central", "ovn-controller")))

	started := time.Now()
	Expect(restart(ctx)).To(Succeed())
	up := time.Since(started)
	Eventually(func() []string {
		return slices.Sorted(slices.Values(l.Lines(ctx, "docker", "ps", "--format", "{{.Names}}")))
	}).
		WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(time.Second).Should(Equal(all))
	reach(ctx, "web1", "web2")
	AddReportEntry("restart", fmt.Sprintf("up after %s, traffic after %s", up.Round(time.Millisecond), time.Since(started).Round(time.Millisecond)))
	reach(ctx, "web2", "web3")
	for _, name := range names {
		now := l.Endpoint(ctx, name, "n1")
		Expect(now.IPAddress).To(Equal(before[name].IPAddress), name)
		Expect(now.MacAddress).To(Equal(before[name].MacAddress), name)
	}
	agree(ctx)
	Expect(l.OVSOwned(ctx)).To(HaveLen(len(names)), "ports of former lives")
	traffic := l.Traffic(ctx, "web1", "web2", "n1")
	l.Container(ctx, "new", "n1")
	l.Ping(ctx, "new", "web1")
	l.Ping(ctx, "web2", "new")
	l.MustDocker(ctx, "start", "once")
	l.Ping(ctx, "once", "web1")
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
	agree(ctx)
}

var _ = DescribeTable("goes on when the clock jumps", Label("reboot"), func(spec SpecContext, by time.Duration) {
	ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
	defer cancel()
	always(ctx, "web1", "web2")
	agree(ctx)
	before := owned(ctx)
	DeferCleanup(func(ctx SpecContext) { setClock(ctx, time.Now()) }, suite.Hang)
	traffic := l.Traffic(ctx, "web1", "web2", "n1")

	By("while all runs")
	setClock(ctx, time.Now().Add(by))
	goesOn(ctx, "web1")
	By("while the plugin is away")
	for _, at := range []time.Duration{0, by} {
		l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		setClock(ctx, time.Now().Add(at))
		l.MustDocker(ctx, "plugin", "enable", host.PluginName)
		goesOn(ctx, "web2")
	}
	By("and nothing is taken for old")
	Consistently(func() []string { return owned(ctx) }).WithContext(ctx).WithTimeout(10 * time.Second).WithPolling(2 * time.Second).
		Should(ConsistOf(before))
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
},
	Entry("a day back", -24*time.Hour),
	Entry("a day forward", 24*time.Hour),
)

func setClock(ctx context.Context, to time.Time) {
	GinkgoHelper()
	l.Must(ctx, "date", "-s", "@"+strconv.FormatInt(to.Unix(), 10))
}
