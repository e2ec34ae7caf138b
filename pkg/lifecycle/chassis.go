package lifecycle

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// LockChassis takes the lock of the host's own settings: the next network must
// see what this one stands on.
func (r *Records) LockChassis(ctx context.Context) (func(), error) {
	unlock, err := r.Locks.Lock(ctx, "chassis")
	if err != nil {
		return nil, err
	}
	r.turns.Add(1)
	return func() {
		r.turns.Add(1)
		unlock()
	}, nil
}

// HostLook is what was read of the chassis before its lock was taken.
type HostLook struct {
	bridge ovs.Bridge
	seen   ovs.Chassis
	turn   uint64
	fresh  bool // taken, or found to hold, under the lock
}

// LookAtHost reads what SetUp needs of the chassis, before its lock is taken.
func (r *Records) LookAtHost(ctx context.Context, b ovs.Bridge) (HostLook, error) {
	turn := r.turns.Load()
	seen, err := r.lookAtHost(ctx, b)
	return HostLook{bridge: b, seen: seen, turn: turn}, err
}

// holds reports whether nobody has had the chassis' lock since the look, but for
// who asks: the turns are odd while somebody has it.
func (r *Records) holds(look HostLook, b ovs.Bridge) bool {
	return look.bridge == b && look.turn%2 == 0 && r.turns.Load() == look.turn+1
}

// LookAgain returns a look that holds as long as the caller has the chassis' lock: the one of
// before if nobody has changed anything since.
func (r *Records) LookAgain(ctx context.Context, look HostLook, b ovs.Bridge) (HostLook, error) {
	if look.fresh {
		return look, nil
	}
	var err error
	if !r.holds(look, b) {
		look.seen, err = r.lookAtHost(ctx, b)
	}
	look.bridge, look.fresh = b, err == nil
	return look, err
}

// lookAtHost reads the chassis and one bridge.
func (r *Records) lookAtHost(ctx context.Context, b ovs.Bridge) (ovs.Chassis, error) {
	results, err := r.Run.Transact(ctx, ovs.Look(r.Host.OVSDB, topology.Owner))
	if err != nil {
		return ovs.Chassis{}, fmt.Errorf("open vswitch not reachable at %q, start it (systemctl start openvswitch-switch): %w", r.Host.OVSDB, err)
	}
	return ovs.ReadLook(results, b), nil
}

// SetUp brings Open vSwitch to what the network needs, and completes n with
// what was settled. It returns all that it did, also when it fails. The caller
// has the chassis' lock, and may have looked before it took that.
func (r *Records) SetUp(ctx context.Context, n *topology.Network, before HostLook) (plan.Plan, error) {
	var done plan.Plan
	look, err := r.LookAgain(ctx, before, n.Bridge())
	seen := look.seen
	if err == nil {
		seen, err = r.lookTwice(ctx, n.Bridge(), seen)
	}
	if err != nil {
		return done, err
	}
	want, err := r.wanted(ctx, n)
	if err != nil {
		return done, err
	}
	var settled topology.Settled
	for {
		var p plan.Plan
		if p, settled, err = want.Plan(seen); err != nil {
			return done, err
		}
		if err := r.Run.Apply(ctx, p); err != nil {
			return done, fmt.Errorf("setting up this host's Open vSwitch for OVN, do ovsdb-server and ovs-vswitchd run? %w", err)
		}
		if !p.Empty() {
			done.Steps = append(done.Steps, p.Steps...)
			r.steady.Store(false)
		}
		// Only now it is known whether the kernel has a datapath for the bridge.
		if seen.Bridge != nil {
			break
		}
		if seen, err = r.lookAtHost(ctx, n.Bridge()); err != nil {
			return done, err
		}
		if seen.Bridge == nil {
			return done, fmt.Errorf("setting up this host's Open vSwitch for OVN: bridge %q went away", n.Bridge())
		}
	}
	links, err := r.Run.Addresses(ctx)
	if err != nil {
		return done, err
	}
	asked := 0
	if n.Options.MTUSet {
		asked = n.Options.MTU
	}
	n.Host, n.Datapath = settled.SystemID, settled.Datapath
	n.MTU, err = topology.MTU(asked, settled, links, n.Subnets)
	return done, err
}

// touchWithin bounds the wait for an ovs-vswitchd that may be starting.
const touchWithin = 8 * time.Second

// lookTwice looks again at a bridge that may be taken for one without a datapath
// only because ovs-vswitchd is starting, or down: that is known once it has
// answered a wait.
func (r *Records) lookTwice(ctx context.Context, b ovs.Bridge, seen ovs.Chassis) (ovs.Chassis, error) {
	if seen.Bridge == nil || seen.Bridge.Open || seen.Bridge.Datapath == topology.Userspace {
		return seen, nil
	}
	touch := plan.New(plan.Step{Target: ovs.Local(r.Host.OVSDB), Ops: []plan.Op{ovs.BridgeTouch(b)}})
	bounded, cancel := context.WithTimeout(ctx, touchWithin)
	defer cancel()
	if err := r.Run.Apply(bounded, touch); err != nil {
		return seen, fmt.Errorf("ovs-vswitchd has not opened bridge %q and does not answer, start it (systemctl restart openvswitch-switch): %w", b, err)
	}
	if err := r.Run.Undo(ctx, touch); err != nil {
		return seen, fmt.Errorf("looking whether bridge %q can be opened: %w", b, err)
	}
	return r.lookAtHost(ctx, b)
}

// wanted is what the network needs of the chassis.
func (r *Records) wanted(ctx context.Context, n *topology.Network) (topology.Chassis, error) {
	from, err := r.encapFrom(ctx, n.SB)
	if err != nil {
		return topology.Chassis{}, err
	}
	want := topology.Chassis{
		OVSDB: r.Host.OVSDB, Instance: r.Instance, SystemID: n.Host, Bridge: n.Bridge(), SB: n.SB, EncapFrom: from.String(), InUse: r.OtherNetworks(n.ID),
		Physical: n.Options.PhysicalNetwork, Mappings: r.BridgeMappings, Publish: r.TunnelsTo(ctx),
	}
	if n.Options.EncapSet {
		want.Encap = string(n.Options.Encap)
	}
	if n.Options.EncapIP.IsValid() {
		want.EncapIP = n.Options.EncapIP.String()
	}
	return want, nil
}

// TunnelsTo is the address that tunnels end at because OVN central is published there; ""
// when it is not, when no link of this host has it, or when a network has named another one.
func (r *Records) TunnelsTo(ctx context.Context) string {
	if r.Published == "" || slices.ContainsFunc(r.Known(), func(n topology.Network) bool { return n.Options.EncapIP.IsValid() }) {
		return ""
	}
	links, err := r.Run.Addresses(ctx)
	if err != nil || !slices.ContainsFunc(links, func(a link.Address) bool { return a.Prefix.Addr().String() == r.Published }) {
		return ""
	}
	return r.Published
}

// encapFrom returns the address that the host reaches the southbound database
// from, which other hosts can therefore reach it at.
func (r *Records) encapFrom(ctx context.Context, sb string) (netip.Addr, error) {
	host, _, err := net.SplitHostPort(options.DialAddresses(sb)[0])
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading ovn.sb_connection %q: %w", sb, err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("resolving ovn.sb_connection's host %q: %w", host, err)
		}
		ip = found[0].Unmap()
	}
	return r.Run.RouteSource(ctx, ip)
}

// Recompute has ovn-controller compute all its flows anew.
func (r *Records) Recompute(ctx context.Context) error {
	unlock, err := r.LockChassis(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	seen, err := r.lookAtHost(ctx, "")
	if err != nil {
		return err
	}
	return r.Run.Apply(ctx, topology.Recompute(r.Host.OVSDB, seen, time.Now().UTC().Format(time.RFC3339Nano)))
}

// Steady completes the host's settings once it forwards.
func (r *Records) Steady(ctx context.Context) error {
	if r.steady.Load() {
		return nil
	}
	unlock, err := r.LockChassis(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	seen, err := r.lookAtHost(ctx, "")
	if err != nil {
		return err
	}
	if err := r.Run.Apply(ctx, topology.Steady(r.Host.OVSDB, seen)); err != nil {
		return err
	}
	r.steady.Store(true)
	return nil
}
