package topology_test

import (
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func TestPeers(t *testing.T) {
	hosts := []ovn.Host{
		{SystemID: "s1", Name: "h1", Encaps: encaps("geneve", "192.0.2.1")},
		{SystemID: "s2", Name: "h2", Encaps: encaps("geneve", "192.0.2.2")},
		{SystemID: "s3", Encaps: encaps("vxlan", "192.0.2.3")},
		{SystemID: "s4", Name: "h4", Encaps: append(encaps("vxlan", "192.0.2.40"), encaps("geneve", "fd00::4")...)},
		{SystemID: "s5", Name: "h5"},
	}
	s := topology.Settled{SystemID: "s1", Encap: "geneve", EncapIP: "192.0.2.1"}
	peers := s.Peers(hosts)
	if len(peers) != 3 {
		t.Fatalf("peers: %+v", peers)
	}
	for i, want := range []int{1500, 0, 1520} {
		if peers[i].Address.IsValid() != (want != 0) {
			t.Errorf("%s: %s", peers[i].Name, peers[i].Address)
		}
		if got := s.PacketTo(peers[i], 1442); want != 0 && got != want {
			t.Errorf("to %s: packets of %d, want %d", peers[i].Name, got, want)
		}
	}
	peers[0].Way = link.Way{Takes: 1400}
	peers[2].Way = link.Way{Refused: "packet filtered"}
	s.Judge(peers, 1442)
	some, err := topology.Reached(peers)
	if err == nil || len(some) > 0 {
		t.Fatalf("nobody is reached: %v, %v", some, err)
	}
	for _, want := range []string{
		`the way to host "h2" at 192.0.2.2 takes packets of 1400 bytes, and those of this network are as long as 1500 in geneve: use mtu=1342`,
		`host "s3" takes tunnels of vxlan, and this host of geneve: use ovn.encap=vxlan`,
		`tunnels to host "h4" at fd00::4 have no way, the network says "packet filtered"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("says %v, want %q", err, want)
		}
	}

	peers[0].Way = link.Way{} // it is silent, and may just be off
	s.Judge(peers, 1442)
	if some, err := topology.Reached(peers); err != nil || len(some) != 2 {
		t.Errorf("one may be reached: %v, %v", some, err)
	}
	if some, err := topology.Reached(nil); err != nil || len(some) != 0 {
		t.Errorf("no others: %v, %v", some, err)
	}
}
