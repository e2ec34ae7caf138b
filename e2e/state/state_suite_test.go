// Package state_test damages the plugin's state files in all the ways that disks and people do, and proves that nothing
// is lost but what the files say.
package state_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestState(t *testing.T) { suite.Run(t, "state") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("state", host.Fresh("h1")), 5*time.Minute)
	_ = suite.Clean(&l)
)
