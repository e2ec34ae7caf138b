// Package central_test holds the plugin to the README's "OVN Auto-Management": where OVN central is put, when it is
// started, and who may reach it.
package central_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestCentral(t *testing.T) { suite.Run(t, "central") }

var (
	cluster   host.Cluster
	l         *lab.Lab // the host under test, reset before each spec
	neighbour *lab.Lab // a machine on the same underlay
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "central", Hosts: []host.Options{host.Fresh("h1"), {Name: "h2"}}})
	l, neighbour = lab.New(cluster.Hosts()[0]), lab.New(cluster.Hosts()[1])
}, suite.Hang)

var (
	_ = BeforeEach(func(ctx SpecContext) { l.Reset(ctx) }, suite.Hang)
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	_ = AfterEach(func(ctx SpecContext) { l.Clean(ctx) }, suite.Hang)
)
