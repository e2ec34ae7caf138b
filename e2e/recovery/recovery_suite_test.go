// Package recovery_test does to a host with running containers what happens to hosts, and proves that nothing is lost.
package recovery_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestRecovery(t *testing.T) { suite.Run(t, "recovery") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "recovery", Hosts: []host.Options{host.Fresh("h1")}})
	l = lab.New(cluster.Hosts()[0])
}, NodeTimeout(5*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, NodeTimeout(time.Minute))
	_ = AfterEach(func(ctx SpecContext) { l.Clean(ctx) }, NodeTimeout(2*time.Minute))
)
