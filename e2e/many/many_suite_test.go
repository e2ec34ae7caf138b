// Package many_test has ten hosts' plugins share one northbound database. The containers are played: the test speaks to the
// plugins as Docker does, and takes the links into network namespaces itself, so that a machine has room for all of it.
package many_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

func TestMany(t *testing.T) {
	if os.Getenv("E2E_MANY") == "" {
		t.Skip("ten hosts take all of a machine for some minutes: run make e2e-many")
	}
	suite.Run(t, "many")
}

const (
	hostsMade     = 10
	endpointsEach = 20
)

var hosts []player

var _ = BeforeSuite(func(ctx SpecContext) {
	spec := host.Spec{Name: "many"}
	for i := range hostsMade {
		spec.Hosts = append(spec.Hosts, host.Options{Name: fmt.Sprint("m", i+1), OVS: true, Tunnels: true})
	}
	cluster := suite.Up(ctx, spec)
	for _, h := range cluster.Hosts() {
		hosts = append(hosts, player{lab.New(h)})
	}
}, NodeTimeout(10*time.Minute))
