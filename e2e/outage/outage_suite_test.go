// Package outage_test takes away what the plugin works with, dockerd, OVN central, the whole host, and proves that all
// comes back by itself.
package outage_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestOutage(t *testing.T) { suite.Run(t, "outage") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "outage", Hosts: []host.Options{host.Fresh("h1")}})
	l = lab.New(cluster.Hosts()[0])
}, NodeTimeout(5*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, NodeTimeout(time.Minute))
	_ = AfterEach(func(ctx SpecContext) { l.Clean(ctx) }, NodeTimeout(2*time.Minute))
)
