// Package reboot_test holds the plugin to what only a host with a kernel of its own can show: the kernel's datapath, a
// restart in order by systemd, a power cut, a clock that jumps.
package reboot_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestReboot(t *testing.T) { suite.Run(t, "reboot") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	suite.RequireKernel()
	cluster = suite.Up(ctx, host.Spec{Name: "reboot", Hosts: []host.Options{host.Fresh("h1")}})
	l = lab.New(cluster.Hosts()[0])
	l.Network(ctx, n1) // makes OVN, which stays for all specs
	l.Clean(ctx)
}, NodeTimeout(15*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	_ = AfterEach(func(ctx SpecContext) { l.Clean(ctx) }, suite.Hang)
)
