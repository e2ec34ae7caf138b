package central

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/docker/docker/client"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

const (
	labelKey   = "owner"
	labelValue = "ovs-container-network"

	containerName  = "ovn-central"
	controllerName = "ovn-controller"
	volumeName     = "ovn-central-db"

	// undoWithin bounds the removal of what a failed call made.
	undoWithin = 5 * time.Second
	// probeWithin bounds one question to a database that may not be there.
	probeWithin = 2 * time.Second
	// pollEvery is the pause between questions to one that is starting.
	pollEvery = 50 * time.Millisecond
)

// Prober answers what only the host's programs can tell; package executor
// implements it.
type Prober interface {
	// DatabaseReady returns nil when the server at conn ("tcp:host:port")
	// serves db ("OVN_Northbound" or "OVN_Southbound") and answers a read.
	DatabaseReady(ctx context.Context, conn, db string) error
	// HostPrefixes returns the prefixes that the host's own routes cover,
	// default routes left out.
	HostPrefixes(ctx context.Context) ([]netip.Prefix, error)
}

// Config says where things are.
type Config struct {
	DockerHost string // "" for DOCKER_HOST or Docker's default socket
	Image      string // of OVN central and ovn-controller
	HostRun    string // the host's /run, as this process sees it
}

// Request is what a network needs.
type Request struct {
	NB, SB     string // "tcp:host:port[,…]"
	Overlay    string // name of the Docker network for OVN central
	AutoCreate bool
}

// Connections are the databases to use: those asked for, or where auto-create
// put them.
type Connections struct{ NB, SB string }

// Central makes and finds OVN central and ovn-controller.
type Central struct {
	cfg    Config
	probe  Prober
	docker *client.Client
	log    *zap.Logger
	// turn lets one caller at a time make things. A channel, so that waiting
	// ends with the caller's context.
	turn chan struct{}
}

// New returns a Central. It does no I/O: Docker may be down.
func New(cfg Config, probe Prober, log *zap.Logger) (*Central, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if cfg.DockerHost != "" {
		opts = append(opts, client.WithHost(cfg.DockerHost))
	}
	docker, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	c := &Central{cfg: cfg, probe: probe, docker: docker, log: log, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// Close releases connections.
func (c *Central) Close() error { return c.docker.Close() }

// take waits for the caller's turn and returns how to give it back.
func (c *Central) take(ctx context.Context) (func(), error) {
	select {
	case <-c.turn:
		return func() { c.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another network's OVN central to be made: %w", context.Cause(ctx))
	}
}

// Ensure returns databases that answer. Those asked for are used as they are
// when they do; otherwise, and with AutoCreate only, OVN central is made or
// started, and the connections follow it.
func (c *Central) Ensure(ctx context.Context, r Request) (Connections, error) {
	asked := Connections{NB: r.NB, SB: r.SB}
	away := c.unreachable(ctx, asked)
	if away == "" {
		return asked, nil
	}
	if !r.AutoCreate {
		//nolint:staticcheck // The README promises this text as it is.
		return Connections{}, fmt.Errorf("OVN central not reachable at %s and auto-create not enabled", away)
	}
	done, err := c.take(ctx)
	if err != nil {
		return Connections{}, err
	}
	defer done()
	// Whoever had the turn before may have made it.
	if c.unreachable(ctx, asked) == "" {
		return asked, nil
	}
	var undo undoList
	conns, err := c.create(ctx, r, &undo)
	if err != nil {
		return Connections{}, errors.Join(err, undo.run(ctx))
	}
	return conns, nil
}

// unreachable returns the first connection that does not answer, or "".
func (c *Central) unreachable(ctx context.Context, conns Connections) string {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	if err := c.probe.DatabaseReady(ctx, conns.NB, ovsdb.Northbound); err != nil {
		return conns.NB
	}
	if err := c.probe.DatabaseReady(ctx, conns.SB, ovsdb.Southbound); err != nil {
		return conns.SB
	}
	return ""
}

func (c *Central) create(ctx context.Context, r Request, undo *undoList) (Connections, error) {
	overlay, err := c.overlay(ctx, r.Overlay, undo)
	if err != nil {
		return Connections{}, err
	}
	conns, err := follow(r, overlay.central)
	if err != nil {
		return Connections{}, err
	}
	if conns != (Connections{NB: r.NB, SB: r.SB}) {
		c.log.Warn("OVN central is at another address than asked for, because the subnet was taken: the network uses it",
			zap.String("asked", r.NB), zap.String("nb", conns.NB), zap.String("sb", conns.SB))
	}
	if err := c.container(ctx, overlay, undo); err != nil {
		return Connections{}, err
	}
	return conns, c.await(ctx, conns)
}

// await waits until both databases answer.
func (c *Central) await(ctx context.Context, conns Connections) error {
	for {
		away := c.unreachable(ctx, conns)
		if away == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for OVN central at %q to answer, %s: %w", away, c.describe(ctx), context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// undoList is what a failed call takes back, newest first.
type undoList []func(context.Context) error

func (u *undoList) add(f func(context.Context) error) { *u = append(*u, f) }

func (u *undoList) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	var all []error
	for i := len(*u) - 1; i >= 0; i-- {
		all = append(all, (*u)[i](ctx))
	}
	return errors.Join(all...)
}

// dockerError says what to do when it is Docker itself that does not answer.
func (c *Central) dockerError(doing string, err error) error {
	if client.IsErrConnectionFailed(err) {
		return fmt.Errorf("%s: Docker API not reachable at %q, check that dockerd runs and that the plugin sees its socket: %w", doing, c.docker.DaemonHost(), err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
