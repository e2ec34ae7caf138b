package topology_test

import (
	"fmt"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// BenchmarkMend is what a pass costs that finds everything in place, a network.
func BenchmarkMend(b *testing.B) {
	for _, vpcs := range []int{10, 100} {
		b.Run(fmt.Sprintf("%d VPCs", vpcs), func(b *testing.B) {
			w := newWorld()
			all := []topology.Network{transit("t", "192.168.0.0/16")}
			for i := range vpcs {
				all = append(all, vpc(fmt.Sprintf("v%d", i), fmt.Sprintf("lr-%d", i), fmt.Sprintf("10.%d.0.0/24", i), "t"))
			}
			for _, n := range all {
				n, p, err := w.plan(n)
				if err == nil {
					err = w.run(p)
				}
				if err != nil {
					b.Fatal(err)
				}
				w.records[n.ID] = n
			}
			results, err := w.north.Transact(ovn.TakeInventory(all[0].NB, topology.Owner))
			if err != nil {
				b.Fatal(err)
			}
			known := w.known()
			b.ResetTimer()
			for b.Loop() {
				seen := ovn.ReadInventory(results).Seen
				for _, n := range known {
					if _, p, err := n.Mend(seen, known); err != nil || !p.Empty() {
						b.Fatal(err, p)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(known)), "us/network")
		})
	}
}
