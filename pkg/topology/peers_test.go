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
		{SystemID: "s2", Name: "h2", Encaps: encaps("geneve", "192.0.2.2", "192.0.2.22", "fd00::2")},
		{SystemID: "s3", Encaps: encaps("vxlan", "192.0.2.3", "192.0.2.33")},
		{SystemID: "s4", Name: "h4", Encaps: append(encaps("vxlan", "192.0.2.40"), encaps("geneve", "192.0.2.4")...)},
		{SystemID: "s5", Name: "h5"},
	}
	s := topology.Settled{SystemID: "s1", Encap: "geneve", EncapIP: "192.0.2.1"}
	peers := s.Peers(hosts)
	if len(peers) != 3 || len(peers[0].Legs) != 2 || len(peers[1].Legs) != 0 || len(peers[2].Legs) != 1 {
		t.Fatalf("peers: %+v", peers)
	}
	if got := s.PacketTo(peers[0].Legs[0], 1442); got != 1500 {
		t.Errorf("packets of %d bytes", got)
	}
	peers[0].Legs[0].Way = link.Way{Takes: 1400}
	peers[0].Legs[1].Way = link.Way{Takes: 1300}
	peers[2].Legs[0].Way = link.Way{Answered: true, Refused: "connection refused"}
	s.Judge(peers, 1442)
	some, err := topology.Reached(peers)
	if err == nil || len(some) > 0 {
		t.Fatalf("nobody is reached: %v, %v", some, err)
	}
	for _, want := range []string{
		`the way to host "h2" at 192.0.2.2 takes packets of 1400 bytes, and those of this network are as long as 1500 in geneve: use mtu=1342`,
		`host "s3" takes tunnels of vxlan, and this host at 192.0.2.1 of geneve: use ovn.encap=vxlan; if that host is gone for good: ovs-container-network forget s3`,
		`tunnels to host "h4" at 192.0.2.4, UDP port 6081, are refused (connection refused)`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("says %v, want %q", err, want)
		}
	}

	peers[0].Legs[1].Way = link.Way{} // this address is silent, and its host may just be off
	s.Judge(peers, 1442)
	if some, err := topology.Reached(peers); err != nil || len(some) != 2 {
		t.Errorf("one may be reached: %v, %v", some, err)
	}
	if some, err := topology.Reached(nil); err != nil || len(some) != 0 {
		t.Errorf("no others: %v, %v", some, err)
	}
}

// An IPv6 underlay takes 20 bytes more, and a chassis with several addresses goes by either family.
func TestPeersOfSeveralAddresses(t *testing.T) {
	hosts := []ovn.Host{{SystemID: "s2", Name: "h2", Encaps: encaps("vxlan", "192.0.2.2", "fd00::2")}}
	for from, legs := range map[string]int{"192.0.2.1": 1, "fd00::1": 1, "192.0.2.1,fd00::1": 2} {
		s := topology.Settled{SystemID: "s1", Encap: "geneve,vxlan", EncapIP: from}
		peers := s.Peers(hosts)
		if len(peers) != 1 || len(peers[0].Legs) != legs {
			t.Fatalf("from %s: %+v", from, peers)
		}
		for _, l := range peers[0].Legs {
			want := 1500
			if l.Address.Is6() {
				want += 20
			}
			if got := s.PacketTo(l, 1450); got != want || l.Port() != 4789 {
				t.Errorf("to %s: %d bytes at port %d", l.Address, got, l.Port())
			}
		}
	}
}
