package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/docker/go-plugins-helpers/network"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// undoWithin bounds taking back a request that failed.
const undoWithin = 3 * time.Second

// createNetwork makes the network in OVN, and before it whatever of OVN the
// host lacks.
func (d *Driver) createNetwork(ctx context.Context, r network.CreateNetworkRequest) (empty, error) {
	n, err := d.parseNetwork(r)
	if err != nil {
		return empty{}, err
	}
	if err := d.ready(ctx); err != nil {
		return empty{}, err
	}
	if _, err := d.Records.Network(n.ID); err == nil {
		return empty{}, nil
	}
	// Open vSwitch first: without it nothing else is worth making.
	if _, err := d.look(ctx, n.Bridge()); err != nil {
		return empty{}, err
	}
	conns, err := d.Central.Ensure(ctx, central.Request{
		NB: n.Options.NB, SB: n.Options.SB, Overlay: n.Options.OverlayNetwork, AutoCreate: n.Options.AutoCreate,
	})
	if err != nil {
		return empty{}, err
	}
	n.NB, n.SB = conns.NB, conns.SB
	if err := d.onChassis(ctx, &n); err != nil {
		return empty{}, err
	}
	d.Log.Info("network created", zap.String("network", n.ID), zap.String("switch", n.Options.Switch), zap.String("tenant", n.Options.TenantID),
		zap.String("nb", n.NB), zap.Int("mtu", n.MTU), zap.String("datapath", n.Datapath))
	return empty{}, nil
}

func (d *Driver) parseNetwork(r network.CreateNetworkRequest) (topology.Network, error) {
	opts, internal, err := driverOptions(r.Options)
	if err != nil {
		return topology.Network{}, err
	}
	o, err := options.ParseNetwork(opts)
	if err != nil {
		return topology.Network{}, err
	}
	pools, space, err := subnets(r.IPv4Data, r.IPv6Data)
	if err != nil {
		return topology.Network{}, err
	}
	return topology.Network{
		ID: r.NetworkID, Instance: d.Instance, Options: o, AddressSpace: space, Subnets: pools, Internal: internal,
	}, nil
}

func (d *Driver) look(ctx context.Context, b ovs.Bridge) (ovs.Chassis, error) {
	results, err := d.Run.Transact(ctx, ovs.Look(d.Host.OVSDB, b, topology.Owner))
	if err != nil {
		return ovs.Chassis{}, fmt.Errorf("open vswitch not reachable at %q, start it (systemctl start openvswitch-switch): %w", d.Host.OVSDB, err)
	}
	return ovs.ReadLook(results), nil
}

// onChassis sets the host up for the network and then adds the network, as one
// piece of work at a time: the next network must see what this one stands on.
func (d *Driver) onChassis(ctx context.Context, n *topology.Network) error {
	unlock, err := d.Locks.Lock(ctx, "chassis")
	if err != nil {
		return err
	}
	defer unlock()
	done, err := d.setUp(ctx, n)
	if err == nil {
		err = d.Central.EnsureController(ctx, n.Options.AutoCreate)
	}
	if err == nil {
		err = d.Records.AddNetwork(ctx, *n)
	}
	if err == nil {
		return nil
	}
	ctx, cancel := detached(ctx, undoWithin)
	defer cancel()
	return errors.Join(err, d.Run.Undo(ctx, done))
}

// setUp brings Open vSwitch to what the network needs, and completes n with
// what was settled. It returns all that it did, also when it fails.
func (d *Driver) setUp(ctx context.Context, n *topology.Network) (plan.Plan, error) {
	var done plan.Plan
	seen, err := d.lookTwice(ctx, n.Bridge())
	if err != nil {
		return done, err
	}
	want, err := d.wanted(ctx, n)
	if err != nil {
		return done, err
	}
	var settled topology.Settled
	for {
		var p plan.Plan
		if p, settled, err = want.Plan(seen); err != nil {
			return done, err
		}
		if err := d.Run.Apply(ctx, p); err != nil {
			return done, fmt.Errorf("setting up this host's Open vSwitch for OVN, do ovsdb-server and ovs-vswitchd run? %w", err)
		}
		if !p.Empty() {
			done.Steps = append(done.Steps, p.Steps...)
			d.settled.Store(false)
		}
		// Only now it is known whether the kernel has a datapath for the bridge.
		if seen.Bridge != nil {
			break
		}
		if seen, err = d.look(ctx, n.Bridge()); err != nil {
			return done, err
		}
		if seen.Bridge == nil {
			return done, fmt.Errorf("setting up this host's Open vSwitch for OVN: bridge %q went away", n.Bridge())
		}
	}
	links, err := d.Run.Addresses(ctx)
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

// lookTwice is look, for a bridge that is not taken for one without a datapath
// only because ovs-vswitchd is starting, or down: that is known once it has
// answered a wait.
func (d *Driver) lookTwice(ctx context.Context, b ovs.Bridge) (ovs.Chassis, error) {
	seen, err := d.look(ctx, b)
	if err != nil || seen.Bridge == nil || seen.Bridge.Open || seen.Bridge.Datapath == topology.Userspace {
		return seen, err
	}
	touch := plan.New(plan.Step{Target: ovs.Local(d.Host.OVSDB), Ops: []plan.Op{ovs.BridgeTouch(b)}})
	bounded, cancel := context.WithTimeout(ctx, touchWithin)
	defer cancel()
	if err := d.Run.Apply(bounded, touch); err != nil {
		return seen, fmt.Errorf("ovs-vswitchd has not opened bridge %q and does not answer, start it (systemctl restart openvswitch-switch): %w", b, err)
	}
	if err := d.Run.Undo(ctx, touch); err != nil {
		return seen, fmt.Errorf("looking whether bridge %q can be opened: %w", b, err)
	}
	return d.look(ctx, b)
}

// wanted is what the network needs of the chassis.
func (d *Driver) wanted(ctx context.Context, n *topology.Network) (topology.Chassis, error) {
	from, err := d.encapFrom(ctx, n.SB)
	if err != nil {
		return topology.Chassis{}, err
	}
	want := topology.Chassis{
		OVSDB: d.Host.OVSDB, Instance: d.Instance, Bridge: n.Bridge(), SB: n.SB, EncapFrom: from.String(), InUse: d.Records.OtherNetworks(n.ID),
	}
	if n.Options.EncapSet {
		want.Encap = string(n.Options.Encap)
	}
	if n.Options.EncapIP.IsValid() {
		want.EncapIP = n.Options.EncapIP.String()
	}
	return want, nil
}

// encapFrom returns the address that the host reaches the southbound database
// from, which other hosts can therefore reach it at.
func (d *Driver) encapFrom(ctx context.Context, sb string) (netip.Addr, error) {
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
	return d.Run.RouteSource(ctx, ip)
}

// deleteNetwork removes the network from OVN. dockerd removes its own record
// whatever the answer is; what cannot be removed now is kept as "deleting" and
// removed when OVN is back. Nor does it wait for recovery: nobody would ask
// again.
func (d *Driver) deleteNetwork(ctx context.Context, r network.DeleteNetworkRequest) (empty, error) {
	if err := d.Records.RemoveNetwork(ctx, r.NetworkID); err != nil {
		return empty{}, err
	}
	d.Log.Info("network removed", zap.String("network", r.NetworkID))
	return empty{}, nil
}
