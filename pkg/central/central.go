package central

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/docker/docker/client"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

const (
	labelKey   = "owner"
	labelValue = "ovs-container-network"

	containerName  = "ovn-central"
	controllerName = "ovn-controller"
	volumeName     = "ovn-central-db"

	// probeWithin bounds the first question to databases: one that is not there
	// may drop what is sent to it.
	probeWithin = 2 * time.Second
	// answerWithin bounds each question to databases that are starting. The
	// machine may be slow, and it is the caller's time that ends the wait.
	answerWithin = 5 * time.Second
	// pollEvery is the pause between questions.
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
	// Addresses returns those of the host's links.
	Addresses(ctx context.Context) ([]link.Address, error)
}

// Config says where things are.
type Config struct {
	DockerHost string // "" for DOCKER_HOST or Docker's default socket
	Image      string // of OVN central and ovn-controller
	HostRun    string // the host's /run, as this process sees it
	Socket     string // the plugin's own; names the driver when no dockerd manages the plugin

	// Publish is the address of this host at which OVN central is offered to others; the
	// zero Addr when it is not. Insecure offers it without TLS.
	Publish  netip.Addr
	Insecure bool
	// Joined returns what this host shows to databases at ssl:, and the invitation that it
	// has that from, if it has joined any.
	Joined func() (identity pki.Identity, invitation string, joined bool)
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

// errSilent is of databases that there is TLS with, and no answer from.
var errSilent = errors.New("the databases behind it do not answer, does their host's OVN central run (docker ps)?")

// tls tells connections that take certificates.
func tls(conn string) bool { return strings.HasPrefix(conn, "ssl:") }

// Central makes and finds OVN central and ovn-controller.
type Central struct {
	cfg   Config
	probe Prober
	// docker belongs to whoever has the turn, and is new with each: dockerd may
	// have been upgraded since, and speak other versions of the API.
	docker *client.Client
	opts   []client.Opt
	log    *zap.Logger
	// turn lets one caller at a time make things. A channel, so that waiting
	// ends with the caller's context.
	turn chan struct{}
}

// New returns a Central. It does no I/O: Docker may be down.
func New(cfg Config, probe Prober, log *zap.Logger) (*Central, error) {
	if cfg.Joined == nil {
		cfg.Joined = func() (pki.Identity, string, bool) { return pki.Identity{}, "", false }
	}
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if cfg.DockerHost != "" {
		opts = append(opts, client.WithHost(cfg.DockerHost))
	}
	docker, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	c := &Central{cfg: cfg, probe: probe, docker: docker, opts: opts, log: log, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// Close releases connections.
func (c *Central) Close() error { return c.docker.Close() }

// take waits for the caller's turn and returns how to give it back.
func (c *Central) take(ctx context.Context) (func(), error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another network's OVN central to be made: %w", context.Cause(ctx))
	}
	done := func() { c.turn <- struct{}{} }
	docker, err := client.NewClientWithOpts(c.opts...)
	if err != nil {
		done()
		return nil, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	err = c.docker.Close()
	c.docker = docker
	if err != nil {
		done()
		return nil, fmt.Errorf("closing connections to Docker: %w", err)
	}
	return done, nil
}

// Ensure returns databases that answer. Those asked for are used as they are
// when they do; otherwise, and with AutoCreate only, OVN central is made or
// started, and the connections follow it. It ends before the context does, so
// that a call that fails still has time to take back what it made.
func (c *Central) Ensure(ctx context.Context, r Request) (Connections, error) {
	asked := Connections{NB: r.NB, SB: r.SB}
	identity, _, joined := c.cfg.Joined()
	if tls(r.NB) && !joined {
		return Connections{}, fmt.Errorf("ovn.nb_connection %q takes certificates, and this host has none: have it join that OVN (ovs-container-network join INVITATION)", r.NB)
	}
	away := c.unreachable(ctx, asked, probeWithin)
	if away == "" {
		return asked, nil
	}
	if tls(away) {
		bounded, cancel := context.WithTimeout(ctx, probeWithin)
		defer cancel()
		return Connections{}, fmt.Errorf("OVN central not reachable at %s: %w", away, cmp.Or(identity.Greet(bounded, options.DialAddresses(away)), errSilent))
	}
	if ctx.Err() != nil {
		return Connections{}, fmt.Errorf("asking whether OVN central answers at %q: %w", away, context.Cause(ctx))
	}
	if !r.AutoCreate {
		// The README promises this text as it is.
		return Connections{}, fmt.Errorf("OVN central not reachable at %s and auto-create not enabled", away)
	}
	work, cancel := spare(ctx)
	defer cancel()
	done, err := c.take(work)
	if err != nil {
		return Connections{}, err
	}
	defer done()
	var undo undoList
	conns, err := c.create(work, r, &undo)
	if err != nil {
		return Connections{}, errors.Join(err, undo.run(ctx))
	}
	return conns, nil
}

// unreachable returns the first connection that does not answer, or "". Both
// are asked at once: two that drop what is sent to them cost no more than one.
func (c *Central) unreachable(ctx context.Context, conns Connections, within time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	south := make(chan error, 1)
	go func() { south <- c.probe.DatabaseReady(ctx, conns.SB, ovsdb.Southbound) }()
	north := c.probe.DatabaseReady(ctx, conns.NB, ovsdb.Northbound)
	if north != nil {
		cancel()
	}
	switch err := <-south; {
	case north != nil:
		return conns.NB
	case err != nil:
		return conns.SB
	}
	return ""
}

// create makes what is missing. What can be known to fail without making
// anything fails first.
func (c *Central) create(ctx context.Context, r Request, undo *undoList) (Connections, error) {
	have, err := c.find(ctx, containerName)
	if err != nil {
		return Connections{}, err
	}
	if have == nil {
		if err := c.checkImage(ctx); err != nil {
			return Connections{}, err
		}
	}
	overlay, err := c.findOverlay(ctx, r.Overlay)
	if err != nil {
		return Connections{}, err
	}
	if overlay == nil {
		if err := couldMake(r, have); err != nil {
			return Connections{}, err
		}
		if overlay, err = c.makeOverlay(ctx, r.Overlay, undo); err != nil {
			return Connections{}, err
		}
	}
	conns, err := follow(r, overlay.central)
	if err != nil {
		return Connections{}, err
	}
	if conns != (Connections{NB: r.NB, SB: r.SB}) {
		c.log.Warn("OVN central is at another address than asked for, where its network is: the connections follow it",
			zap.String("asked", r.NB), zap.String("nb", conns.NB), zap.String("sb", conns.SB), zap.String("overlay", overlay.name))
	}
	if err := c.container(ctx, *overlay, undo); err != nil {
		return Connections{}, err
	}
	return conns, c.await(ctx, conns)
}

// await waits until both databases answer, as long as the context lasts.
func (c *Central) await(ctx context.Context, conns Connections) error {
	for {
		away := c.unreachable(ctx, conns, answerWithin)
		if away == "" {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("waiting for OVN central at %q to answer, %s: %w", away, c.describe(ctx, containerName), err)
		}
	}
}

// pause waits until the next look at something, and returns why the context
// ended when it did.
func pause(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pollEvery):
		return nil
	}
}

// dockerError says what to do when it is Docker itself that does not answer.
func (c *Central) dockerError(doing string, err error) error {
	switch {
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("%s: Docker API not reachable at %q, check that dockerd runs and that the plugin sees its socket: %w", doing, c.docker.DaemonHost(), err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: Docker API at %q did not answer in time, check that \"docker ps\" answers and try again: %w", doing, c.docker.DaemonHost(), err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
