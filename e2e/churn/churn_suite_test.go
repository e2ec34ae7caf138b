// Package churn_test does much at once, and proves that nothing is left of it.
package churn_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestChurn(t *testing.T) { suite.Run(t, "churn") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	byHand := host.Fresh("h1")
	byHand.Bridge = true
	cluster = suite.Up(ctx, host.Spec{Name: "churn", Hosts: []host.Options{byHand}})
	l = lab.New(cluster.Hosts()[0])
}, NodeTimeout(5*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, NodeTimeout(time.Minute))
	_ = AfterEach(func(ctx SpecContext) { l.Clean(ctx) }, NodeTimeout(time.Minute))
)
