package topology

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// Peer is another host that tunnels lead to.
type Peer struct {
	Name string // or its system-id
	// Address is where tunnels to it end; not valid when it takes none of this host's kind.
	Address netip.Addr
	Kinds   []string // of tunnels that it takes
	Way     link.Way
	Bad     error // why there is no tunnel to it, as far as is known; nil when there may be one
}

// Peers returns the other hosts, of those that are given.
func (s Settled) Peers(hosts []ovn.Host) []Peer {
	var all []Peer
	for _, h := range hosts {
		if h.SystemID == s.SystemID {
			continue
		}
		p := Peer{Name: cmp.Or(h.Name, h.SystemID)}
		for _, e := range h.Encaps {
			p.Kinds = append(p.Kinds, e.Kind)
			if !p.Address.IsValid() && slices.Contains(strings.Split(s.Encap, ","), e.Kind) {
				p.Address = e.Address
			}
		}
		if len(h.Encaps) > 0 { // else it has just been made, or is on its way out
			all = append(all, p)
		}
	}
	return all
}

// PacketTo is the size of the packets that carry those of a network to a peer.
func (s Settled) PacketTo(p Peer, mtu int) int {
	size := mtu + tunnelOverhead(s.Encap)
	if p.Address.Is6() {
		size += 20
	}
	return size
}

// judge returns why there is no tunnel to the peer for a network of an MTU, or nil.
func (s Settled) judge(p Peer, mtu int) error {
	switch {
	case !p.Address.IsValid():
		return fmt.Errorf("host %q takes tunnels of %s, and this host of %s: use ovn.encap=%s",
			p.Name, strings.Join(p.Kinds, ", "), strings.ReplaceAll(s.Encap, ",", ", "), p.Kinds[0])
	case p.Way.Takes > 0:
		return fmt.Errorf("the way to host %q at %s takes packets of %d bytes, and those of this network are as long as %d in %s: use mtu=%d, or make the way wider",
			p.Name, p.Address, p.Way.Takes, s.PacketTo(p, mtu), s.Encap, mtu-s.PacketTo(p, mtu)+p.Way.Takes)
	case p.Way.Refused != "":
		return fmt.Errorf("tunnels to host %q at %s have no way, the network says %q: look at routes and firewalls of both hosts, or name another address with ovn.encap_ip", p.Name, p.Address, p.Way.Refused)
	}
	return nil
}

// Judge notes with each peer why there is no tunnel to it for a network of an MTU.
func (s Settled) Judge(peers []Peer, mtu int) {
	for i := range peers {
		peers[i].Bad = s.judge(peers[i], mtu)
	}
}

// Reached refuses peers none of which can be reached. What is wrong with some of them is
// the first result: that is no reason to have no network with the others.
func Reached(peers []Peer) (some []error, none error) {
	for _, p := range peers {
		if p.Bad != nil {
			some = append(some, p.Bad)
		}
	}
	if len(some) == len(peers) {
		return nil, errors.Join(some...)
	}
	return some, nil
}
