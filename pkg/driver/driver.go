package driver

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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
	// waited is true once an endpoint has waited for Rebuilt: the next one finds
	// it closed, or would wait in vain too.
	waited atomic.Bool
}

// New returns a driver.
func New(c Config) *Driver { return &Driver{Config: c} }

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

// rebuiltWait bounds how long an endpoint waits for a network whose record may
// have been lost. While dockerd starts, Docker's lists are not to be had, and
// the API waits for this request.
const rebuiltWait = 2 * time.Second

// network returns a network that is complete, or that soon will be.
func (d *Driver) network(ctx context.Context, id string) (topology.Network, error) {
	n, err := d.Records.Network(id)
	if err == nil || d.Records.Removed(id) || d.waited.Swap(true) {
		return n, err
	}
	select {
	case <-d.Rebuilt:
	case <-ctx.Done():
	case <-time.After(rebuiltWait):
	}
	return d.Records.Network(id)
}

// Rebuild makes a network that Docker has and the records do not, as it was
// made at first.
func (d *Driver) Rebuild(ctx context.Context, n topology.Network) error {
	return d.makeNetwork(ctx, n)
}

// detached returns a context that outlives the request, for what must be
// finished or taken back whatever became of the caller.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
