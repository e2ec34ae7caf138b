package lifecycle

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/hostport"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
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
	Reach(ctx context.Context, from, to netip.AddrPort, size int) link.Way
	Routes(ctx context.Context) ([]link.Route, error)
	Links(ctx context.Context) (map[string]bool, error)
	Firewall(ctx context.Context, six bool) (firewall.Backend, map[firewall.Backend]firewall.Rules, error)
	Forget(ctx context.Context, flows ...firewall.Flow) error
	Forwards6() (bool, error)
}

// Outages knows which northbound databases do not answer.
type Outages interface {
	// Down reports whether the database is known not to answer.
	Down(nb string) bool
	// Since returns since when it is known not to answer; zero while it does.
	Since(nb string) time.Time
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
	Pools     *store.Collection[ipam.Pool]
	Locks     *keylock.Locks
	Host      topology.Host
	Instance  string
	// BridgeMappings are the physical networks of this host, and the bridges that lead
	// there, as ovn-bridge-mappings has them; "" leaves it as it is.
	BridgeMappings string
	// Published is the address that other hosts reach this one's OVN central at, "" for none.
	Published string
	// FailWhenDown refuses endpoints while the northbound database does not
	// answer, instead of completing them later.
	FailWhenDown bool
	// Translated is called after OVN was told to translate the addresses of an endpoint on
	// its own chassis, and must not block.
	Translated func()
	// Changed is called after every change of a record, and must not block.
	Changed func()
	Log     *zap.Logger
}

// Records are the networks and endpoints of this plugin instance.
type Records struct {
	Config

	ports hostport.Holder // of this host, that lead to endpoints
	// recalled are ports that led to an address when this program started
	// (netip.Addr to []topology.Port).
	recalled sync.Map
	// led is what the host was last brought to, nil if that is not known; the lock
	// of the way out is its lock.
	led *led
	// unmirrored is true while it is known that no mirror of ours is there, nor asked
	// for; the lock of the mirrors is its lock.
	unmirrored bool
	// hostAway is true after Open vSwitch took longer than an endpoint waits
	// for it, until it has answered again.
	hostAway atomic.Bool
	// turns counts how often the chassis' lock was taken and given back.
	turns atomic.Uint64
	// steady is true once the host's settings are complete.
	steady atomic.Bool
	// poolsMu is the lock of what is stored of address pools.
	poolsMu sync.Mutex
	// leasesSeen is when the leases of a network were read last (id to time.Time).
	leasesSeen sync.Map
	// condemned holds the ids whose removal failed, also those that could not
	// be marked as "deleting" on disk.
	condemned sync.Map
	// removed holds the ids of what Docker has removed, and when. It never uses
	// one again, but may list it a moment longer.
	removed sync.Map
	// unclaimed holds the ids, of networks and endpoints, that Docker has removed
	// although there was no record of them, after a loss of files: what is left
	// of them in OVN is nobody else's.
	unclaimed sync.Map
}

// MarkRemoved says that Docker has removed the network or endpoint.
func (r *Records) MarkRemoved(id string) { r.removed.Store(id, time.Now()) }

// Removed reports whether Docker has removed the network or endpoint: it may
// list it a moment longer.
func (r *Records) Removed(id string) bool {
	_, removed := r.removed.Load(id)
	return removed
}

// ForgetRemoved drops the marks that are older than what Docker may still list.
func (r *Records) ForgetRemoved(age time.Duration) {
	r.removed.Range(func(id, at any) bool {
		if time.Since(at.(time.Time)) > age {
			r.removed.Delete(id)
		}
		return true
	})
}

// Unclaimed reports whether Docker has removed the network or endpoint without
// there being a record of it.
func (r *Records) Unclaimed(id string) bool {
	_, unclaimed := r.unclaimed.Load(id)
	return unclaimed
}

// AnyUnclaimed reports whether there is something that Unclaimed is true of.
func (r *Records) AnyUnclaimed() bool {
	found := false
	r.unclaimed.Range(func(any, any) bool { found = true; return false })
	return found
}

// Claimed says that all that was left of the network or endpoint is gone.
func (r *Records) Claimed(id string) { r.unclaimed.Delete(id) }

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
		return topology.Network{}, fmt.Errorf("network %q is not known to this plugin: ovs-container-network status says whether it could not be rebuilt, and why; if it says nothing, remove it and create it again (docker network rm, docker network create)", id)
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
