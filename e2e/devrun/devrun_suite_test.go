// Package devrun_test runs the plugin as a developer does: the binary of the checkout, in the foreground, on a socket of
// its own, beside an installed plugin.
package devrun_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestDevRun(t *testing.T) { suite.Run(t, "dev-run") }

var l *lab.Lab

var _ = suite.Host(&l, suite.One("devrun", host.Fresh("h1")), 5*time.Minute)
