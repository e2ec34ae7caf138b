// Package hosts_test has several hosts share one OVN.
package hosts_test

import (
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestHosts(t *testing.T) { suite.Run(t, "hosts") }

var hosts joined.Hosts

var _ = joined.Suite(&hosts, "hosts")
