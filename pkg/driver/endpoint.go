package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/docker/go-plugins-helpers/network"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// createEndpoint makes everything that a container's attachment needs, here
// rather than in Join because an error here costs the container nothing.
func (d *Driver) createEndpoint(ctx context.Context, r network.CreateEndpointRequest) (network.CreateEndpointResponse, error) {
	var none network.CreateEndpointResponse
	if err := d.ready(ctx); err != nil {
		return none, err
	}
	n, err := d.network(ctx, r.NetworkID)
	if err != nil {
		return none, err
	}
	opts, err := options.ParseEndpoint(r.Options)
	if err == nil && opts.FloatingIP.IsValid() {
		err = n.Floatable(opts.FloatingIP)
	}
	if err == nil && opts.Mirror != nil && *opts.Mirror && !n.Options.Mirrors() {
		err = fmt.Errorf("driver option %q: network %q has no mirror.dest, where to: set one (ovs-container-network set %.12s mirror.dest=NAME), or leave the option out", "mirror", cmp.Or(n.Name, n.ID), n.ID)
	}
	if err != nil {
		return none, err
	}
	asked := r.Interface
	if asked == nil {
		asked = &network.EndpointInterface{}
	}
	e := topology.Endpoint{ID: r.EndpointID, NetworkID: r.NetworkID, Instance: d.Instance, MAC: asked.MacAddress, FloatingIP: opts.FloatingIP, Mirror: opts.Mirror}
	if e.Addresses, err = addresses(asked); err != nil {
		return none, err
	}
	// dockerd refuses an answer that repeats what it has asked for.
	var answer network.EndpointInterface
	if e.MAC != "" {
		if _, err := net.ParseMAC(e.MAC); err != nil {
			return none, fmt.Errorf("reading the endpoint's MAC address: %w", err)
		}
	} else {
		e.MAC = topology.MAC(e.Addresses, e.ID)
		answer.MacAddress = e.MAC
	}
	if n.NeedsHost() {
		asked, err := ports(r.Options)
		if err == nil {
			err = d.Records.Publishable(n.ID, asked)
		}
		if err != nil {
			return none, err
		}
	}
	chosen := len(e.Addresses) == 0
	if e, err = d.Records.Attach(ctx, n, e); err != nil {
		return none, err
	}
	if chosen && len(e.Addresses) > 0 {
		answer.Address = e.Addresses[0].String()
	}
	if answer.MacAddress != "" {
		answer.MacAddress = e.MAC
	}
	return network.CreateEndpointResponse{Interface: &answer}, nil
}

// endpointInfo answers with nothing: dockerd asks for it at every start and
// uses only port maps, which are none of a remote driver's.
func (d *Driver) endpointInfo(context.Context, network.InfoRequest) (network.InfoResponse, error) {
	return network.InfoResponse{Value: map[string]string{}}, nil
}

var errRemoved = errors.New("the endpoint is being removed")

// deleteEndpoint removes the endpoint. It ends a Join that still waits, and
// one that read the record just before its removal.
func (d *Driver) deleteEndpoint(ctx context.Context, r network.DeleteEndpointRequest) (empty, error) {
	d.cancelJoin(r.EndpointID)
	defer d.cancelJoin(r.EndpointID)
	return empty{}, d.Records.Forget(ctx, r.NetworkID, r.EndpointID)
}

// How long a Join waits for ovn-controller: the first that it is late for, and
// those of the minute after it.
const (
	joinWithin     = 10 * time.Second
	joinWithinLate = 300 * time.Millisecond
	lateFor        = time.Minute
)

// join waits until the port forwards, and names the link that dockerd moves
// into the container, and the router that it sends through. With no gateway
// Docker attaches the container to docker_gwbridge too, for the way out and for
// published ports, unless the network is internal.
//
// A network with a router returns its gateway when it is internal too: what is
// reachable behind the router changes while containers run, and routes of theirs
// could not follow; dockerd prefers the gateway of any other network.
func (d *Driver) join(ctx context.Context, r network.JoinRequest) (network.JoinResponse, error) {
	var none network.JoinResponse
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.joins.Store(r.EndpointID, &cancel)
	defer d.joins.CompareAndDelete(r.EndpointID, &cancel)
	e, err := d.Records.Endpoint(r.EndpointID)
	if err != nil {
		return none, err
	}

	var v4, v6 string
	var alone bool // without docker_gwbridge
	if n, err := d.Records.Network(e.NetworkID); err == nil {
		if n.Internal || n.IsProvider() || n.Routed() && !n.NeedsHost() {
			d.warnOfPorts(r.NetworkID, r.EndpointID, r.Options)
		}
		v4, v6 = n.GatewayOf(e)
		alone = n.Options.IPAM == options.IPAMExternal
	}
	stored := make(chan error, 1)
	go func() {
		stored <- d.Records.Update(ctx, e.ID, func(e *topology.Endpoint) { e.Sandbox = r.SandboxKey })
	}()
	if !e.Deferred {
		d.awaitPort(ctx, e)
	}
	err = <-stored
	if ctx.Err() != nil {
		return none, fmt.Errorf("joining endpoint %q: %w", e.ID, context.Cause(ctx))
	}
	// The attachment stands without it.
	if err != nil {
		d.Log.Warn("the container of an endpoint could not be stored", zap.String("endpoint", e.ID), zap.Error(err))
	}
	return network.JoinResponse{
		InterfaceName: network.InterfaceName{SrcName: e.PeerLink(), DstPrefix: "eth"}, Gateway: v4, GatewayIPv6: v6, DisableGatewayService: alone,
	}, nil
}

// awaitPort waits until ovn-controller has installed the port's flows, so that
// the container's first packet is not lost. That it is late is no error: the
// container would be without its network for ever.
func (d *Driver) awaitPort(ctx context.Context, e topology.Endpoint) {
	n, err := d.Records.Network(e.NetworkID)
	if err != nil {
		return // its removal has begun
	}
	limit := joinWithin
	if until, ok := d.late.Load(n.NB); ok && time.Now().Before(until.(time.Time)) {
		limit = joinWithinLate
	}
	_, err = d.Run.Transact(ctx, ovs.Installed(d.Host.OVSDB, ovs.Port(e.HostLink()), int(limit.Milliseconds())))
	switch {
	case ctx.Err() != nil:
	case err == nil:
		d.late.Delete(n.NB)
		d.steady(ctx)
	default:
		d.late.Store(n.NB, time.Now().Add(lateFor))
		d.Log.Warn("the port is not set up yet, do ovn-controller and ovs-vswitchd run? the container starts without waiting for it",
			zap.String("endpoint", e.ID), zap.Duration("waited", limit), zap.Error(err))
	}
}

// steady completes the host's settings once it forwards, in the background:
// the container does not need it.
func (d *Driver) steady(ctx context.Context) {
	go func() {
		ctx, cancel := detached(ctx, undoWithin)
		defer cancel()
		if err := d.Records.Steady(ctx); err != nil { // the next container's turn
			d.Log.Warn("a restart of ovn-controller will lose packets until this can be set", zap.Error(err))
		}
	}()
}

func (d *Driver) cancelJoin(id string) {
	if cancel, ok := d.joins.Load(id); ok {
		(*cancel.(*context.CancelCauseFunc))(errRemoved)
	}
}

// leave forgets the container. dockerd sends it twice after some failures, and
// for endpoints that were never joined.
func (d *Driver) leave(ctx context.Context, r network.LeaveRequest) (empty, error) {
	d.cancelJoin(r.EndpointID)
	// dockerd revokes only what it remembers.
	return empty{}, errors.Join(d.Records.Unpublish(ctx, r.EndpointID),
		d.Records.Update(ctx, r.EndpointID, func(e *topology.Endpoint) { e.Sandbox = "" }))
}

// programExternalConnectivity publishes the container's ports. It is called for the
// endpoint that a container sends through; without a gateway of ours that is one of
// docker_gwbridge, and new engines call it on internal networks too.
func (d *Driver) programExternalConnectivity(ctx context.Context, r network.ProgramExternalConnectivityRequest) (empty, error) {
	n, err := d.Records.Network(r.NetworkID)
	if err != nil || !n.NeedsHost() {
		d.warnOfPorts(r.NetworkID, r.EndpointID, r.Options)
		return empty{}, nil //nolint:nilerr // its removal has begun
	}
	asked, err := ports(r.Options)
	if err != nil || len(asked) == 0 {
		return empty{}, err
	}
	return empty{}, d.Records.Publish(ctx, r.EndpointID, asked)
}

// warnOfPorts warns of what cannot be refused any more when dockerd says it.
func (d *Driver) warnOfPorts(network, endpoint string, options map[string]any) {
	if ports, ok := options[keyPortMap].([]any); ok && len(ports) > 0 {
		d.Log.Warn("published ports are not reachable: the network has no way in", zap.String("network", network), zap.String("endpoint", endpoint))
	}
}

func (d *Driver) revokeExternalConnectivity(ctx context.Context, r network.RevokeExternalConnectivityRequest) (empty, error) {
	return empty{}, d.Records.Unpublish(ctx, r.EndpointID)
}
