package lifecycle

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

const (
	// mostPeers is how many other hosts are looked at when a network is made; the next ones
	// are as likely to be reached.
	mostPeers = 32
	// pingsAtOnce bounds how many are looked at together.
	pingsAtOnce = 16
)

// Among refuses a host that would take another one's place in OVN, which it can only do
// with its first network, and one that could reach none of the others that have containers
// on the network. It returns what is wrong with the way to some of them.
func (r *Records) Among(ctx context.Context, n *topology.Network, look HostLook) ([]error, error) {
	want, err := r.wanted(ctx, n)
	if err != nil {
		return nil, err
	}
	_, settled, err := want.Plan(look.seen)
	if err != nil {
		return nil, err
	}
	found, err := r.Run.Transact(ctx, ovn.LookAtPeers(n.SB, n.Switch()))
	first := !r.OtherNetworks(n.ID)
	if err != nil && !first {
		return nil, nil //nolint:nilerr // the host has its place, and a network can be had without this database
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hosts that OVN has: %w", err)
	}
	hosts := ovn.ReadHosts(found)
	if first {
		if err := settled.Alone(look.seen.ExternalIDs["hostname"], hosts); err != nil {
			return nil, err
		}
	}
	asked, used := ovn.LookAtPorts(n.SB, found)
	if !used {
		return nil, nil
	}
	ports, err := r.Run.Transact(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("reading the hosts that have containers on logical switch %q: %w", n.Switch(), err)
	}
	var with []ovn.Host
	for _, h := range hosts {
		if ovn.ReadPorts(ports)[h.UUID] && len(with) < mostPeers {
			with = append(with, h)
		}
	}
	links, err := r.Run.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	mtu := 0
	if n.Options.MTUSet {
		mtu = n.Options.MTU
	}
	if mtu, err = topology.MTU(mtu, settled, links, n.Subnets); err != nil {
		return nil, err
	}
	peers := settled.Peers(with)
	r.lookAtWays(ctx, settled, mtu, peers)
	return topology.Reached(peers)
}

// lookAtWays sees to which peers packets get.
func (r *Records) lookAtWays(ctx context.Context, s topology.Settled, mtu int, peers []topology.Peer) {
	defer s.Judge(peers, mtu)
	from, err := netip.ParseAddr(s.EncapIP)
	if err != nil {
		return // an administrator has named several
	}
	var work errgroup.Group
	work.SetLimit(pingsAtOnce)
	for i := range peers {
		p := &peers[i]
		if !p.Address.IsValid() || p.Address.Is4() != from.Is4() {
			continue
		}
		work.Go(func() error {
			p.Way, _ = r.Run.Reach(ctx, from, p.Address, s.PacketTo(*p, mtu)) // that it cannot be known is no fault of the way
			return nil
		})
	}
	_ = work.Wait()
}

// Hosts returns the hosts of the OVN of this host's networks, and the ways to them, this
// one left out.
func (r *Records) Hosts(ctx context.Context) ([]topology.Peer, error) {
	var all []topology.Peer
	seen := map[string]bool{}
	for _, n := range r.Known() {
		if seen[n.SB] {
			continue
		}
		seen[n.SB] = true
		host, err := r.lookAtHost(ctx, n.Bridge())
		if err != nil {
			return all, err
		}
		found, err := r.Run.Transact(ctx, ovn.LookAtHosts(n.SB))
		if err != nil {
			return all, fmt.Errorf("reading the hosts that OVN has: %w", err)
		}
		settled := topology.Settled{SystemID: n.Host, Encap: host.ExternalIDs["ovn-encap-type"], EncapIP: host.ExternalIDs["ovn-encap-ip"]}
		peers := settled.Peers(ovn.ReadHosts(found))
		r.lookAtWays(ctx, settled, n.MTU, peers)
		all = append(all, peers...)
	}
	return all, nil
}
