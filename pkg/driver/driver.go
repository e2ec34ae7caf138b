package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Central provides OVN's databases and the host's ovn-controller; package
// central implements it.
type Central interface {
	Ensure(ctx context.Context, r central.Request) (central.Connections, error)
	EnsureController(ctx context.Context, autoCreate bool) error
}

// Config is what a driver works with.
type Config struct {
	Run      lifecycle.Runner
	Central  Central
	Records  *lifecycle.Records
	Locks    *keylock.Locks
	Instance string
	Host     topology.Host
	// Ready is closed when what an earlier process left half done has been
	// taken back.
	Ready <-chan struct{}
	// Rebuilt is closed when what Docker has and the records lacked has been
	// made again, or could not be.
	Rebuilt <-chan struct{}
	Log     *zap.Logger
}

// Driver implements the calls.
type Driver struct {
	Config

	joins sync.Map // endpoint id -> *context.CancelCauseFunc of its Join
	// late holds, for a northbound database, until when no Join waits long for
	// its ports, because one has waited in vain.
	late sync.Map
	// rebuiltBy is until when endpoints wait for Rebuilt, set by the first that
	// has to.
	rebuiltBy func() time.Time
}

// New returns a driver.
func New(c Config) *Driver {
	return &Driver{Config: c, rebuiltBy: sync.OnceValue(func() time.Time { return time.Now().Add(rebuiltWait) })}
}

// recoveryWait bounds how long a request waits for the first phase of
// recovery.
const recoveryWait = 15 * time.Second

// ready waits until recovery is over: what it takes back may hold names and
// addresses that a new network or endpoint gets. All other calls are about one
// record, and its lock is enough for them; dockerd never repeats a removal that
// failed, and some engines take the network from a container whose Join did.
func (d *Driver) ready(ctx context.Context) error {
	select {
	case <-d.Ready:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, recoveryWait)
	defer cancel()
	select {
	case <-d.Ready:
		return nil
	case <-ctx.Done():
		return errors.New("the plugin is still recovering what it knew before its last stop: try again in a moment (ovs-container-network status shows how far it is)")
	}
}

// rebuiltWait bounds how long endpoints, all together, wait for networks whose
// records may have been lost. While dockerd starts, Docker's lists are not to be
// had, and the API waits for these requests.
const rebuiltWait = 3 * time.Second

// network returns a network that is complete, or that soon will be.
func (d *Driver) network(ctx context.Context, id string) (topology.Network, error) {
	n, err := d.Records.Network(id)
	if err == nil || d.Records.Removed(id) {
		return n, err
	}
	d.awaitRebuilt(ctx)
	if n, err = d.Records.Network(id); err == nil {
		return n, nil
	}
	select {
	case <-d.Rebuilt:
		return n, err
	default:
		return n, fmt.Errorf("network %q has no record here yet: the plugin is still comparing its records with Docker's lists, try again in a moment (docker start)", id)
	}
}

// awaitRebuilt waits, for a while, until what Docker has and the records lacked has
// been made again.
func (d *Driver) awaitRebuilt(ctx context.Context) {
	select {
	case <-d.Rebuilt:
	case <-ctx.Done():
	case <-time.After(time.Until(d.rebuiltBy())):
	}
}

// Rebuild stores a network that Docker has and the records do not, and brings
// the host to what it needs. Unlike a creation that fails, it takes nothing back:
// containers may run on it.
func (d *Driver) Rebuild(ctx context.Context, n topology.Network) error {
	look, err := d.provide(ctx, &n)
	if err != nil {
		return err
	}
	unlock, err := d.Records.LockChassis(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := d.Records.SetUp(ctx, &n, look); err != nil {
		return err
	}
	if err := d.Central.EnsureController(ctx, n.Options.AutoCreate); err != nil {
		d.Log.Warn("a network is rebuilt on a host without ovn-controller", zap.String("network", n.ID), zap.Error(err))
	}
	return d.Records.AdoptNetwork(ctx, n)
}

// detached returns a context that outlives the request, for what must be
// finished or taken back whatever became of the caller.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
