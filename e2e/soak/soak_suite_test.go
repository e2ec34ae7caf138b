// Package soak_test does for a long time whatever happens to a host, in random order, and compares at the end what Docker,
// the plugin, OVN and Open vSwitch hold, row by row.
package soak_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestSoak(t *testing.T) { suite.RunWithin(t, "soak", 150*time.Minute) }

var l *lab.Lab

var _ = suite.Host(&l, suite.One("soak", host.Fresh("h1")), 5*time.Minute)
