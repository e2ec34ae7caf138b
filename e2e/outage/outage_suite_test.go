// Package outage_test takes away what the plugin works with, dockerd, OVN central, the whole host, and proves that all
// comes back by itself.
package outage_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestOutage(t *testing.T) { suite.Run(t, "outage") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("outage", host.Fresh("h1")), 5*time.Minute)
	_ = suite.Clean(&l)
)
