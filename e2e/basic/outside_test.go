package basic_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("the way out and in", Ordered, Label("basic"), func() {
	const page = "a page outside"

	BeforeAll(func(ctx SpecContext) {
		l.Network(ctx, lab.Net{Name: "open", Subnet: "10.2.0.0/24", Switch: "ls-open", Auto: true})
		l.Network(ctx, lab.Net{Name: "closed", Subnet: "10.3.0.0/24", Switch: "ls-closed", Auto: true, Flags: []string{"--internal"}})
		for _, h := range []*lab.Lab{l, beside} {
			Expect(h.WriteFile(ctx, "/var/tmp/www/index.html", []byte(page), 0o644)).To(Succeed())
			stop, err := h.Start(ctx, "/var/log/httpd.log", "busybox", "httpd", "-f", "-p", "9000", "-h", "/var/tmp/www")
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(stop)
			lab.Soon(ctx, func(g Gomega) {
				_, err := h.Run(ctx, "curl", "-sf", "http://127.0.0.1:9000/")
				g.Expect(err).NotTo(HaveOccurred())
			})
		}
	}, suite.Hang)

	AfterAll(func(ctx SpecContext) { l.Clean(ctx) }, suite.Hang)

	It("leads to listeners on the host and beyond it", func(ctx SpecContext) {
		l.Container(ctx, "out", "open")
		for _, h := range []*lab.Lab{l, beside} {
			Expect(l.Exec(ctx, "out", "timeout", "10", "wget", "-q", "-O", "-", "http://"+h.Address()+":9000/")).To(Equal(page))
		}
	}, suite.Hang)

	It("publishes ports to the host itself and to others", func(ctx SpecContext) {
		l.Container(ctx, "published", "open", "-p", "8080:80")
		for from, address := range map[*lab.Lab]string{l: "127.0.0.1", beside: l.Address()} {
			Expect(from.Must(ctx, "curl", "-sf", "--max-time", "5", "http://"+address+":8080/")).To(ContainSubstring("hello"))
		}
		Expect(l.Must(ctx, "curl", "-sf", "--max-time", "5", "http://"+l.Address()+":8080/")).To(ContainSubstring("hello"))
		l.MustDocker(ctx, "rm", "-f", "published")
		_, err := beside.Run(ctx, "curl", "-sf", "--max-time", "2", "http://"+l.Address()+":8080/")
		Expect(err).To(HaveOccurred())
	}, suite.Hang)

	It("is closed on an internal network, whose containers reach one another", func(ctx SpecContext) {
		l.Container(ctx, "in1", "closed")
		l.Container(ctx, "in2", "closed")
		l.Ping(ctx, "in1", "in2")
		Expect(l.Exec(ctx, "in1", "ip", "route")).NotTo(ContainSubstring("default"))
		Expect(l.Exec(ctx, "in1", "ls", "/sys/class/net")).NotTo(ContainSubstring("eth1"))
		for _, h := range []*lab.Lab{l, beside} {
			_, err := l.Docker(ctx, "exec", "in1", "timeout", "10", "wget", "-q", "-O", "-", "http://"+h.Address()+":9000/")
			Expect(err).To(HaveOccurred())
		}
	}, suite.Hang)

	It("starts a container on an internal network about as fast as Docker's own bridge does", func(ctx SpecContext) {
		if host.Emulated(l.Host) {
			Skip("durations on emulated hosts say nothing")
		}
		l.MustDocker(ctx, "network", "create", "--internal", "bridged")
		DeferCleanup(func(ctx SpecContext) { l.MustDocker(ctx, "network", "rm", "bridged") }, suite.Hang)
		took := suite.InTurns(10, func(network string) time.Duration {
			start := time.Now()
			name := l.MustDocker(ctx, "run", "-d", "--network", network, host.ImageDemo)
			defer l.MustDocker(ctx, "rm", "-f", name)
			return time.Since(start)
		}, "bridged", "closed")
		ratio := float64(took["closed"]) / float64(took["bridged"])
		text := fmt.Sprintf("docker run, median of 10: plugin %v, bridge %v, ratio %.2f", took["closed"].Round(time.Millisecond), took["bridged"].Round(time.Millisecond), ratio)
		AddReportEntry(text)
		GinkgoWriter.Println(text)
		Expect(ratio).To(BeNumerically("<=", 1.3), text)
	}, suite.Hang)
})
