// Package harness_test tests the test hosts themselves, so that a suite that fails on them tells of the plugin.
package harness_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestHarness(t *testing.T) { suite.Run(t, "harness") }

var (
	cluster host.Cluster
	h1, h2  host.Host
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "harness", Hosts: []host.Options{
		{Name: "h1", Docker: true, OVS: true, Images: true},
		{Name: "h2", Docker: true, OVS: true, Bridge: true, Images: true},
	}})
	h1, h2 = cluster.Hosts()[0], cluster.Hosts()[1]
}, suite.Hang)
