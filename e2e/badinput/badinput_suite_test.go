// Package badinput_test tries what must not work, and proves that each attempt changed nothing.
package badinput_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestBadInput(t *testing.T) { suite.Run(t, "bad input") }

var (
	cluster host.Cluster
	l       *lab.Lab
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "badinput", Hosts: []host.Options{host.Fresh("h1")}})
	l = lab.New(cluster.Hosts()[0])
}, NodeTimeout(5*time.Minute))

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, NodeTimeout(time.Minute))
