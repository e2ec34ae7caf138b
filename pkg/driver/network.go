package driver

import (
	"context"
	"errors"
	"time"

	"github.com/docker/go-plugins-helpers/network"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// undoWithin bounds taking back a request that failed.
const undoWithin = 3 * time.Second

// createNetwork makes the network in OVN.
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
	return empty{}, d.makeNetwork(ctx, n)
}

// makeNetwork makes whatever of OVN the host lacks, and then the network.
func (d *Driver) makeNetwork(ctx context.Context, n topology.Network) error {
	reading, end := context.WithCancel(ctx)
	defer end()
	n.NB = n.Options.NB
	ahead := d.Records.LookAhead(reading, n)
	look, err := d.provide(ctx, &n)
	if err != nil {
		return err
	}
	if err := d.onChassis(ctx, &n, look, ahead); err != nil {
		return err
	}
	if have, err := d.Records.Network(n.ID); err == nil {
		n = have // as it was settled
	}
	d.Log.Info("network created", zap.String("network", n.ID), zap.String("switch", string(n.Switch())), zap.String("router", string(n.Router())), zap.String("tenant", n.Options.TenantID),
		zap.String("nb", n.NB), zap.Int("mtu", n.MTU), zap.String("datapath", n.Datapath))
	return nil
}

// provide sees to Open vSwitch and OVN's databases, and notes where these are.
func (d *Driver) provide(ctx context.Context, n *topology.Network) (lifecycle.HostLook, error) {
	// Open vSwitch first: without it nothing else is worth making.
	look, err := d.Records.LookAtHost(ctx, n.Bridge())
	if err != nil {
		return look, err
	}
	conns, err := d.Central.Ensure(ctx, central.Request{
		NB: n.Options.NB, SB: n.Options.SB, Overlay: n.Options.OverlayNetwork, AutoCreate: n.Options.AutoCreate,
	})
	n.NB, n.SB = conns.NB, conns.SB
	return look, err
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
	n := topology.Network{
		ID: r.NetworkID, Instance: d.Instance, Options: o, AddressSpace: space, Subnets: pools, Internal: internal,
	}
	if n, err = n.WithOwnSubnet(); err != nil {
		return n, err
	}
	return n, n.Validate()
}

// onChassis sets the host up for the network and then adds the network, as one
// piece of work at a time: the next network must see what this one stands on.
func (d *Driver) onChassis(ctx context.Context, n *topology.Network, look lifecycle.HostLook, ahead *lifecycle.Ahead) error {
	around := d.Records.LookAround(ctx, n, look)
	unlock, err := d.Records.LockChassis(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if look, err = d.Records.LookAgain(ctx, look, n.Bridge()); err != nil {
		return err
	}
	unreached, err := d.Records.Among(ctx, n, look, around)
	if err != nil {
		return err
	}
	for _, why := range unreached {
		d.Log.Warn("a host that has containers on the network is not reached", zap.String("network", n.ID), zap.Error(why))
	}
	done, err := d.Records.SetUp(ctx, n, look)
	if err == nil {
		err = d.Central.EnsureController(ctx, n.Options.AutoCreate)
	}
	if err == nil {
		err = d.Records.AddNetwork(ctx, *n, ahead)
	}
	if err == nil {
		return nil
	}
	ctx, cancel := detached(ctx, undoWithin)
	defer cancel()
	return errors.Join(err, d.Run.Undo(ctx, done))
}

// deleteNetwork removes the network from OVN. dockerd removes its own record
// whatever the answer is; what cannot be removed now is kept as "deleting" and
// removed when OVN is back. Nor does it wait for recovery: nobody would ask
// again.
func (d *Driver) deleteNetwork(ctx context.Context, r network.DeleteNetworkRequest) (empty, error) {
	if err := d.Records.ForgetNetwork(ctx, r.NetworkID); err != nil {
		return empty{}, err
	}
	d.Log.Info("network removed", zap.String("network", r.NetworkID))
	return empty{}, nil
}
