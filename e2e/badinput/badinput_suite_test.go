// Package badinput_test tries what must not work, and proves that each attempt changed nothing.
package badinput_test

import (
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestBadInput(t *testing.T) { suite.Run(t, "bad input") }

var l *lab.Lab

var _ = suite.Host(&l, suite.One("badinput", host.Fresh("h1")), 5*time.Minute)
