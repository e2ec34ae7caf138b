// Package addresses_test has containers get their addresses in every way that there is.
package addresses_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestAddresses(t *testing.T) { suite.Run(t, "addresses") }

var (
	cluster host.Cluster
	l       *lab.Lab
	before  []string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.Up(ctx, host.Spec{Name: "addresses", Hosts: []host.Options{host.Fresh("h1"), host.Fresh("h2"), host.Fresh("h3")}})
	l = lab.New(cluster.Hosts()[0])
	l.Network(ctx, lab.Net{Name: "first", Subnet: "10.8.0.0/24", Switch: "ls-first", Auto: true})
	l.MustDocker(ctx, "run", "--rm", "--network", "first", host.ImageDemo, "true")
	l.Clean(ctx)
	before = l.NBOwned(ctx)
}, NodeTimeout(15*time.Minute))

var (
	_ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, cluster) }, suite.Hang)
	_ = AfterEach(func(ctx SpecContext) {
		l.Clean(ctx)
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.NBOwned(ctx)).To(Equal(before)) })
		Expect(l.OVSOwned(ctx)).To(BeEmpty())
	}, suite.Hang)
)
