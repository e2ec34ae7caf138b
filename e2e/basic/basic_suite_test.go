// Package basic_test holds the plugin to the README's "Basic usage" on a host that has Docker and Open vSwitch and nothing
// else.
package basic_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestBasic(t *testing.T) { suite.Run(t, "basic") }

var (
	cluster host.Cluster
	l       *lab.Lab // the host under test
	beside  *lab.Lab // a machine on the same underlay, without Docker
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "basic", Hosts: []host.Options{host.Fresh("h1"), {Name: "h2"}}})
	l, beside = lab.New(cluster.Hosts()[0]), lab.New(cluster.Hosts()[1])
}, NodeTimeout(15*time.Minute))

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
