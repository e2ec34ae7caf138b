// Package churn_test does much at once, and proves that nothing is left of it.
package churn_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestChurn(t *testing.T) { suite.Run(t, "churn") }

var l *lab.Lab

var (
	_ = suite.Host(&l, suite.One("churn", byHand()), 5*time.Minute)
	_ = suite.Clean(&l)
)

// byHand is a host whose bridge the administrator has made.
func byHand() host.Options {
	o := host.Fresh("h1")
	o.Bridge = true
	return o
}
