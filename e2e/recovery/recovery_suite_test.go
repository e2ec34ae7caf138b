// Package recovery_test does to a host with running containers what happens to hosts, and proves that nothing is lost.
package recovery_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestRecovery(t *testing.T) { suite.Run(t, "recovery") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("recovery", host.Fresh("h1")), 5*time.Minute)
	_ = suite.Clean(&l)
)
