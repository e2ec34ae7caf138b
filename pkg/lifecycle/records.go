package lifecycle

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Runner runs plans and reads; the executor implements it.
type Runner interface {
	Apply(ctx context.Context, p plan.Plan) error
	Undo(ctx context.Context, p plan.Plan) error
	Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error)
	Addresses(ctx context.Context) ([]link.Address, error)
	RouteSource(ctx context.Context, to netip.Addr) (netip.Addr, error)
}

// Outages knows which northbound databases do not answer.
type Outages interface {
	// Down reports whether the database is known not to answer.
	Down(nb string) bool
	// Report says that the database did not answer.
	Report(nb string)
	// Retry says that a record waits to be completed or removed, whether the
	// database answers or not. "" stands for what is on the host only, of
	// endpoints whose network has no record any more.
	Retry(nb string)
}

// Config is what Records works with.
type Config struct {
	Run       Runner
	Outages   Outages
	Networks  *store.Collection[topology.Network]
	Endpoints *store.Collection[topology.Endpoint]
	Locks     *keylock.Locks
	Host      topology.Host
	Instance  string
	// FailWhenDown refuses endpoints while the northbound database does not
	// answer, instead of completing them later.
	FailWhenDown bool
	// Changed is called after every change of a record, and must not block.
	Changed func()
	Log     *zap.Logger
}

// Records are the networks and endpoints of this plugin instance.
type Records struct {
	Config

	// hostAway is true after Open vSwitch took longer than an endpoint waits
	// for it, until it has answered again.
	hostAway atomic.Bool
	// steady is true once the host's settings are complete.
	steady atomic.Bool
	// condemned holds the ids whose removal failed, also those that could not
	// be marked as "deleting" on disk.
	condemned sync.Map
	// removed holds the ids of what this process has removed. Docker never uses
	// one again.
	removed sync.Map
}

// Leaving reports whether the removal of a record has begun and is not over.
func (r *Records) Leaving(id string, phase store.Phase) bool {
	_, condemned := r.condemned.Load(id)
	return condemned || phase == store.Deleting
}

// New returns the records in the collections.
func New(c Config) *Records { return &Records{Config: c} }

// Network returns a network that is complete.
func (r *Records) Network(id string) (topology.Network, error) {
	have, ok := r.Networks.Get(id)
	if !ok || have.Phase != store.Ready {
		return topology.Network{}, fmt.Errorf("network %q is not known to this plugin: remove it and create it again (docker network rm, docker network create)", id)
	}
	return have.Data, nil
}

// Endpoint returns an endpoint that is complete.
func (r *Records) Endpoint(id string) (topology.Endpoint, error) {
	have, ok := r.Endpoints.Get(id)
	if !ok || have.Phase != store.Ready {
		return topology.Endpoint{}, fmt.Errorf("endpoint %q is not known to this plugin: disconnect the container from the network and connect it again", id)
	}
	return have.Data, nil
}

// OtherNetworks reports whether there is a network other than this one. One
// that is being removed does not count: it may wait for a database that never
// comes back, and needs nothing of the host any more.
func (r *Records) OtherNetworks(than string) bool {
	for id, n := range r.Networks.List() {
		if id != than && n.Phase != store.Deleting {
			return true
		}
	}
	return false
}

func (r *Records) putNetwork(n topology.Network, phase store.Phase) error {
	if err := r.Networks.Put(n.ID, store.Record[topology.Network]{Phase: phase, Data: n}); err != nil {
		return fmt.Errorf("storing network %q as %s: %w", n.ID, phase, err)
	}
	r.Changed()
	return nil
}

func (r *Records) putEndpoint(e topology.Endpoint, phase store.Phase) error {
	if err := r.Endpoints.Put(e.ID, store.Record[topology.Endpoint]{Phase: phase, Data: e}); err != nil {
		return fmt.Errorf("storing endpoint %q as %s: %w", e.ID, phase, err)
	}
	r.Changed()
	return nil
}
