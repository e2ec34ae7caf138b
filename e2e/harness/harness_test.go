package harness_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// must returns the output of a command that has to succeed.
func must(out string, err error) string {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(out)
}

var _ = Describe("test hosts", Ordered, Label("harness"), func() {
	It("have names of their own and reach one another over the underlay", func(ctx SpecContext) {
		Expect(must(h1.Run(ctx, "hostname"))).To(Equal("h1"))
		must(h1.Run(ctx, "ping", "-c1", "-W2", h2.Address()))
		must(h2.Run(ctx, "ping", "-c1", "-W2", h1.Address()))
	}, suite.Hang)

	It("have no way out", func(ctx SpecContext) {
		out, err := h1.Run(ctx, "ping", "-c1", "-W1", "192.0.2.1")
		Expect(err).To(HaveOccurred(), out)
		// but not the machine's links either
		Expect(must(h1.Run(ctx, "ip", "-o", "link"))).NotTo(ContainSubstring("to-1"))
	}, suite.Hang)

	It("report what failed, with its output", func(ctx SpecContext) {
		_, err := h1.Run(ctx, "ls", "/nonexistent")
		Expect(err).To(MatchError(ContainSubstring("No such file")))
		var failed *host.CommandError
		Expect(err).To(BeAssignableToTypeOf(failed))
		_, err = h1.Run(ctx, "no-such-program")
		Expect(err).To(MatchError(ContainSubstring("not found")))
	}, suite.Hang)

	It("end a command with its context", func(ctx SpecContext) {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := h1.Run(short, "sleep", "30")
		Expect(err).To(MatchError(context.DeadlineExceeded))
	}, suite.Hang)

	It("run OVS as freshly installed, with a bridge only where one was asked for", func(ctx SpecContext) {
		Expect(must(h1.Run(ctx, "ovs-vsctl", "list-br"))).To(BeEmpty())
		Expect(must(h2.Run(ctx, "ovs-vsctl", "list-br"))).To(Equal("br-int"))
		Expect(must(h1.Run(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id"))).
			NotTo(Equal(must(h2.Run(ctx, "ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id"))))
	}, suite.Hang)

	It("run a container, published to the other host", func(ctx SpecContext) {
		must(h1.Docker(ctx, "run", "-d", "--name", "web", "-p", "8080:80", host.ImageDemo))
		Eventually(func(g Gomega) {
			out, err := h2.Run(ctx, "curl", "-sf", "http://"+h1.Address()+":8080/")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(out).To(ContainSubstring("hello"))
		}).WithContext(ctx).WithTimeout(10 * time.Second).Should(Succeed())
	}, suite.Hang)

	It("take files", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "a"), []byte("hello"), 0o600)).To(Succeed())
		Expect(h1.CopyIn(ctx, dir, "/var/tmp/in/dir")).To(Succeed())
		Expect(must(h1.Run(ctx, "cat", "/var/tmp/in/dir/a"))).To(Equal("hello"))
		By("following symbolic links as the host does, not into the machine's own folders")
		Expect(h1.WriteFile(ctx, "/var/run/made-by-a-test", []byte("in the host"), 0o644)).To(Succeed())
		Expect(must(h1.Run(ctx, "cat", "/run/made-by-a-test"))).To(Equal("in the host"))
		Expect("/run/made-by-a-test").NotTo(BeAnExistingFile())
		Expect(must(h1.RunInput(ctx, strings.NewReader("to stdin"), "cat"))).To(Equal("to stdin"))
	}, suite.Hang)

	It("keep their disks over a power-off, and nothing else", func(ctx SpecContext) {
		id := must(h1.Docker(ctx, "inspect", "-f", "{{.Id}}", "web"))
		must(h1.Run(ctx, "touch", "/run/only-until-power-off"))
		must(h1.Run(ctx, "ovs-vsctl", "add-br", "br-kept"))
		Expect(h1.PowerOff(ctx)).To(Succeed())
		_, err := h1.Run(ctx, "true")
		Expect(err).To(MatchError(ContainSubstring("powered off")))
		_, err = h2.Run(ctx, "ping", "-c1", "-W1", h1.Address())
		Expect(err).To(HaveOccurred())

		Expect(h1.Boot(ctx)).To(Succeed())
		Expect(must(h1.Docker(ctx, "ps", "-aq", "--no-trunc"))).To(Equal(id))
		must(h1.Docker(ctx, "start", "web"))
		Expect(must(h1.Run(ctx, "ovs-vsctl", "list-br"))).To(Equal("br-kept"))
		_, err = h1.Run(ctx, "ls", "/run/only-until-power-off")
		Expect(err).To(HaveOccurred())
		must(h2.Run(ctx, "ping", "-c1", "-W2", h1.Address()))
	}, suite.Hang)

	It("start, stop and kill Docker", func(ctx SpecContext) {
		must(h1.Docker(ctx, "rm", "-f", "web"))
		Expect(h1.RestartDocker(ctx)).To(Succeed())
		Expect(h1.KillDocker(ctx)).To(Succeed())
		_, err := h1.Docker(ctx, "version")
		Expect(err).To(HaveOccurred())
		Expect(h1.StartDocker(ctx)).To(Succeed())
	}, suite.Hang)

	It("leave nothing when they go", func(ctx SpecContext) {
		// a cluster of its own, since the suite's is still needed
		c, err := host.Up(ctx, host.Spec{Name: "gone", Hosts: []host.Options{{Name: "h1", Docker: true, OVS: true, Bridge: true}}})
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Leftovers()).NotTo(BeEmpty(), "what is looked for has to be found while the hosts run")
		Expect(c.Down(ctx)).To(Succeed())
		Expect(c.Leftovers()).To(BeEmpty())
	}, suite.Hang)
})
