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
	Name  string   // or its system-id
	Kinds []string // of tunnels that it takes
	// Legs are where tunnels of this host's kinds to it end; none when it takes no such.
	Legs []Leg
	Bad  error // why there is no tunnel to it, as far as is known; nil when there may be one
}

// Leg is one address of a peer.
type Leg struct {
	Kind    string // "geneve" or "vxlan"
	Address netip.Addr
	Way     link.Way
}

// Port is the UDP port of a leg's tunnels (ovs-vswitchd.conf.db(5), Interface,
// options:dst_port).
func (l Leg) Port() uint16 {
	if l.Kind == "vxlan" {
		return 4789
	}
	return 6081
}

// Peers returns the other hosts, of those that are given.
func (s Settled) Peers(hosts []ovn.Host) []Peer {
	ours := strings.Split(s.Encap, ",")
	from, _ := netip.ParseAddr(s.EncapIP) // an administrator may have named several: any family goes then
	var all []Peer
	for _, h := range hosts {
		if h.SystemID == s.SystemID || len(h.Encaps) == 0 { // without any it has just been made, or is on its way out
			continue
		}
		p := Peer{Name: cmp.Or(h.Name, h.SystemID)}
		for _, e := range h.Encaps {
			if !slices.Contains(p.Kinds, e.Kind) {
				p.Kinds = append(p.Kinds, e.Kind)
			}
			if slices.Contains(ours, e.Kind) && (!from.IsValid() || from.Is4() == e.Address.Is4()) {
				p.Legs = append(p.Legs, Leg{Kind: e.Kind, Address: e.Address})
			}
		}
		all = append(all, p)
	}
	return all
}

// PacketTo is the size of the packets that carry those of a network over a leg.
func (s Settled) PacketTo(l Leg, mtu int) int {
	size := mtu + overhead[l.Kind]
	if l.Address.Is6() {
		size += 20
	}
	return size
}

// judge returns why there is no tunnel to the peer for a network of an MTU, or nil.
func (s Settled) judge(p Peer, mtu int) error {
	if len(p.Legs) == 0 {
		return fmt.Errorf("host %q takes tunnels of %s, and this host at %s of %s: use ovn.encap=%s; if that host is gone for good: ovs-container-network forget %[1]s",
			p.Name, strings.Join(p.Kinds, ", "), s.EncapIP, strings.ReplaceAll(s.Encap, ",", ", "), p.Kinds[0])
	}
	var all []error
	for _, l := range p.Legs {
		switch size := s.PacketTo(l, mtu); {
		case !l.Way.Bad():
			return nil
		case l.Way.Refused != "":
			all = append(all, fmt.Errorf("tunnels to host %q at %s, UDP port %d, are refused (%s): look at routes and firewalls of both hosts, or name another address with ovn.encap_ip", p.Name, l.Address, l.Port(), l.Way.Refused))
		default:
			all = append(all, fmt.Errorf("the way to host %q at %s takes packets of %d bytes, and those of this network are as long as %d in %s: use mtu=%d, or make the way wider (and forget what the kernel knows of it: ip route flush cache)",
				p.Name, l.Address, l.Way.Takes, size, l.Kind, mtu-size+l.Way.Takes))
		}
	}
	return errors.Join(all...)
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
