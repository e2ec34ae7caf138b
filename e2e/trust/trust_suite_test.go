// Package trust_test is about what hosts share OVN by: certificates, the ways between them, and databases that are a cluster.
package trust_test

import (
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestTrust(t *testing.T) { suite.Run(t, "trust") }

var hosts joined.Hosts

var _ = joined.Suite(&hosts, "trust")
