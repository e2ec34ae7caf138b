package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// mostPeers is how many other hosts are looked at when a network is made, all at once; the
// next ones are as likely to be reached.
const mostPeers = 32

// Around is what was seen of other hosts before the chassis' lock was taken.
type Around struct {
	hosts []ovn.Host
	err   error      // of the look at them
	with  []ovn.Host // those that have containers on the network
	ways  map[topology.Leg]link.Way
	mtu   int
}

// LookAround looks at the other hosts, and at the ways to those that have containers on
// the network. Some of it takes a second, if hosts are silent, and nobody should wait for
// that who has nothing to do with it.
func (r *Records) LookAround(ctx context.Context, n *topology.Network, look HostLook) Around {
	var a Around
	found, err := r.Run.Transact(ctx, ovn.LookAtPeers(n.SB, n.Switch()))
	if err != nil {
		a.err = fmt.Errorf("reading the hosts that OVN has: %w", err)
		return a
	}
	a.hosts = ovn.ReadHosts(found)
	asked, used := ovn.LookAtPorts(n.SB, found)
	if !used {
		return a
	}
	ports, err := r.Run.Transact(ctx, asked)
	if err != nil {
		return a // who cannot be asked is not looked at
	}
	has := ovn.ReadPorts(ports)
	for _, h := range a.hosts {
		if has[h.UUID] && len(a.with) < mostPeers {
			a.with = append(a.with, h)
		}
	}
	settled, mtu, err := r.settled(ctx, n, look.seen)
	if err != nil {
		return a // the reason is found again under the lock
	}
	a.mtu = mtu
	a.ways = r.ways(ctx, settled, mtu, settled.Peers(a.with))
	return a
}

// settled is what the chassis will have, and the MTU of the network's containers.
func (r *Records) settled(ctx context.Context, n *topology.Network, seen ovs.Chassis) (topology.Settled, int, error) {
	want, err := r.wanted(ctx, n)
	if err != nil {
		return topology.Settled{}, 0, err
	}
	_, settled, err := want.Plan(seen)
	if err != nil {
		return settled, 0, err
	}
	links, err := r.Run.Addresses(ctx)
	if err != nil {
		return settled, 0, err
	}
	asked := 0
	if n.Options.MTUSet {
		asked = n.Options.MTU
	}
	mtu, err := topology.MTU(asked, settled, links, n.Subnets)
	return settled, mtu, err
}

// Among refuses a host that would take another one's place in OVN, which it can only do
// with its first network, and one that could reach none of the others that have containers
// on the network. It returns what is wrong with the way to some of them. The caller has the
// chassis' lock.
func (r *Records) Among(ctx context.Context, n *topology.Network, look HostLook, a Around) ([]error, error) {
	first := !r.OtherNetworks(n.ID)
	switch {
	case a.err != nil && first:
		return nil, a.err
	case a.err != nil || !first && len(a.with) == 0:
		return nil, nil //nolint:nilerr // the host has its place, and a network can be had without that database
	}
	want, err := r.wanted(ctx, n)
	if err != nil {
		return nil, err
	}
	_, settled, err := want.Plan(look.seen)
	if err != nil {
		return nil, err
	}
	if first {
		if err := settled.Alone(look.seen.ExternalIDs["hostname"], a.hosts); err != nil {
			return nil, err
		}
	}
	peers := settled.Peers(a.with)
	arrived(peers, a.ways)
	settled.Judge(peers, a.mtu)
	return topology.Reached(peers)
}

// ways looks at all ways to the peers.
func (r *Records) ways(ctx context.Context, s topology.Settled, mtu int, peers []topology.Peer) map[topology.Leg]link.Way {
	found := map[topology.Leg]link.Way{}
	from, err := netip.ParseAddr(s.EncapIP)
	if err != nil {
		return found // an administrator has named several, and which one is used is not for us to know
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, p := range peers {
		for _, l := range p.Legs {
			work.Go(func() {
				w := r.Run.Reach(ctx, netip.AddrPortFrom(from, 0), netip.AddrPortFrom(l.Address, l.Port()), s.PacketTo(l, mtu))
				mu.Lock()
				defer mu.Unlock()
				found[l] = w
			})
		}
	}
	work.Wait()
	return found
}

// arrived notes the ways with the peers.
func arrived(peers []topology.Peer, ways map[topology.Leg]link.Way) {
	for i := range peers {
		for j, l := range peers[i].Legs {
			peers[i].Legs[j].Way = ways[l]
		}
	}
}

// Hosts returns the other hosts of the OVN of this host's networks, and the ways to them, for
// the longest packets of its networks.
func (r *Records) Hosts(ctx context.Context) ([]topology.Peer, error) {
	longest := map[string]topology.Network{}
	for _, n := range r.Known() {
		if have, ok := longest[n.SB]; !ok || n.MTU > have.MTU {
			longest[n.SB] = n
		}
	}
	var all []topology.Peer
	var failed []error
	for sb, n := range longest {
		seen, err := r.lookAtHost(ctx, n.Bridge())
		if err != nil {
			return all, err
		}
		found, err := r.Run.Transact(ctx, ovn.LookAtHosts(sb))
		if err != nil {
			failed = append(failed, fmt.Errorf("reading the hosts that OVN at %q has: %w", sb, err))
			continue
		}
		settled := topology.Settled{SystemID: n.Host, Encap: seen.ExternalIDs["ovn-encap-type"], EncapIP: seen.ExternalIDs["ovn-encap-ip"]}
		peers := settled.Peers(ovn.ReadHosts(found))
		arrived(peers, r.ways(ctx, settled, n.MTU, peers))
		settled.Judge(peers, n.MTU)
		all = append(all, peers...)
	}
	return all, errors.Join(failed...)
}
