// Package devrun_test runs the plugin as a developer does: the binary of the checkout, in the foreground, on a socket of
// its own, beside an installed plugin.
package devrun_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestDevRun(t *testing.T) { suite.Run(t, "dev-run") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "devrun", Hosts: []host.Options{host.Fresh("h1")}})
	l = lab.New(cluster.Hosts()[0])
}, NodeTimeout(5*time.Minute))

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, NodeTimeout(time.Minute))
