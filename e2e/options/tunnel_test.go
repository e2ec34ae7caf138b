package options_test

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var _ = Describe("mirroring to another machine", Label("options"), func() {
	for _, kind := range []string{"gre", "erspan"} {
		It("leads all packets there in "+kind, func(ctx SpecContext) {
			pid := machine(ctx)
			l.Network(ctx, monitored("mirror.ports=all", "mirror.dest="+kind+":"+collector))
			l.Container(ctx, "m1", "monitored-network")
			l.Container(ctx, "m2", "monitored-network")
			settles(ctx, pid, "wan1", "monitored-network", "m1", "m2")
			n := listen(ctx, pid, "wan1")
			n.hears(ctx, talk(ctx, "monitored-network", "m1", "m2")...)

			By("with packets that are too long for the way there")
			n = listen(ctx, pid, "wan1")
			n.hears(ctx, ping(ctx, "monitored-network", "m1", "m2", 10, 1472))
		}, suite.Hang)
	}
})
