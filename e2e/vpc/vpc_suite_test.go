// Package vpc_test joins the routers of VPCs by transit networks, and proves who reaches whom, over how many routers, and what
// comes back by itself.
package vpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestVPC(t *testing.T) { suite.Run(t, "vpc") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("vpc", host.Fresh("h1")), 5*time.Minute, func(ctx context.Context) {
		// Some specs begin with networks that do not ask for OVN central. It outlives the network that did.
		l.Network(ctx, lab.Net{Name: "first", Subnet: "10.8.0.0/24", Switch: "ls-first", Auto: true})
		l.Clean(ctx)
	})
	_ = suite.Clean(&l)
)
