// Package faults_test kills the plugin, and has its commands fail, at every step of every request, and proves that
// Docker and OVN agree afterwards and nothing is left.
package faults_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestFaults(t *testing.T) { suite.Run(t, "faults") }

// Two hosts, so that two flows can be tried at once.
var (
	cluster host.Cluster
	labs    []*lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	bare := func(name string) host.Options {
		o := host.Fresh(name)
		o.Plugin = false
		return o
	}
	cluster = suite.Up(ctx, host.Spec{Name: "faults", Hosts: []host.Options{bare("h1"), bare("h2")}})
	for _, h := range cluster.Hosts() {
		labs = append(labs, lab.New(h))
	}
}, suite.Hang)

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
