package wayout_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = It("leads out where the host's iptables is the legacy one", Label("wayout"), func(ctx SpecContext) {
	iptables(ctx, "nft", "legacy")
	DeferCleanup(func(ctx SpecContext) { iptables(ctx, "legacy", "nft") }, suite.Hang)
	l.Network(ctx, routed("a", "10.0.0.0/24"))
	l.Container(ctx, "a1", "a", "-p", "8080:80")
	reaches(ctx, "a1")
	Expect(l.Must(ctx, "iptables-legacy", "-t", "nat", "-S")).To(ContainSubstring("OCN-PUBLISH"))
	Expect(l.Must(ctx, "iptables-nft", "-t", "nat", "-S")).NotTo(ContainSubstring("OCN-"))
	By("also when the plugin had begun with the other one, before Docker had chains in either")
	l.Must(ctx, "iptables-nft", "-t", "raw", "-N", "OCN-GUARD")
	l.Must(ctx, "iptables-nft", "-t", "raw", "-A", "PREROUTING", "-j", "OCN-GUARD")
	l.Command(ctx, "reconcile")
	Expect(l.Must(ctx, "iptables-nft", "-t", "raw", "-S")).NotTo(ContainSubstring("OCN-"))
	reaches(ctx, "a1")
	l.Clean(ctx)
	Expect(l.Must(ctx, "iptables-legacy-save")).NotTo(ContainSubstring("OCN-"))
}, suite.Hang)

// iptables has the host's packet filter be of the other backend, as after a boot with it.
func iptables(ctx context.Context, from, to string) {
	GinkgoHelper()
	for _, table := range []string{"filter", "nat", "raw"} {
		for _, do := range []string{"-F", "-X"} {
			l.Must(ctx, "iptables-"+from, "-t", table, do)
		}
	}
	l.Must(ctx, "iptables-"+from, "-P", "FORWARD", "ACCEPT")
	l.Must(ctx, "update-alternatives", "--set", "iptables", "/usr/sbin/iptables-"+to)
	l.Must(ctx, "update-alternatives", "--set", "ip6tables", "/usr/sbin/ip6tables-"+to)
	Expect(l.RestartDocker(ctx)).To(Succeed())
	lab.Soon(ctx, func(g Gomega) { // OVN central comes with Docker, in its own time
		for _, program := range []string{"ovn-nbctl", "ovn-sbctl"} {
			_, err := l.Docker(ctx, "exec", "ovn-central", program, "--timeout=2", "show")
			g.Expect(err).NotTo(HaveOccurred())
		}
	})
}
