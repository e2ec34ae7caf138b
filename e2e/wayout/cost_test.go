package wayout_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = It("publishes a port about as fast as Docker's own bridge, and costs those nothing that publish none", Label("wayout"), func(ctx SpecContext) {
	l.Network(ctx, routed("a", "10.0.0.0/24"))
	l.MustDocker(ctx, "network", "create", "bridged")
	l.Container(ctx, "a1", "a", "-p", "8080:80") // somebody else has one
	flags := map[string][]string{
		"plugin":     {"--network", "a"},
		"plugin, -p": {"--network", "a", "-p", "8081:80"},
		"bridge":     {"--network", "bridged"},
		"bridge, -p": {"--network", "bridged", "-p", "8082:80"},
	}
	took := suite.InTurns(8, func(name string) time.Duration {
		start := time.Now()
		id := l.MustDocker(ctx, append(append([]string{"run", "-d"}, flags[name]...), host.ImageDemo)...)
		defer l.MustDocker(ctx, "rm", "-f", id)
		return time.Since(start)
	}, "bridge", "bridge, -p", "plugin", "plugin, -p")
	l.MustDocker(ctx, "network", "rm", "bridged")
	ratio := float64(took["plugin, -p"]) / float64(took["bridge, -p"])
	text := fmt.Sprintf("docker run, medians of 8: %v; ratio with -p %.2f", took, ratio)
	AddReportEntry(text)
	GinkgoWriter.Println(text)
	Expect(ratio).To(BeNumerically("<=", 1.4), "the aim is 1.2; "+text)
}, suite.Hang)
