package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// viewDelay gathers the changes of a moment into one writing.
const viewDelay = 500 * time.Millisecond

// Views writes the files that show the state to people and tools: an address
// pool for each network, and the OVN objects. They are made from the records,
// a moment after a change, and never read back.
type Views struct {
	Records *lifecycle.Records
	Store   *store.Store
	Log     *zap.Logger

	changed chan struct{}
	written map[string]bool // pools that have a file
	last    map[string]any  // what each file was last written with
}

// NewViews returns views that are written by Run.
func NewViews(s *store.Store, log *zap.Logger) *Views {
	return &Views{Store: s, Log: log, changed: make(chan struct{}, 1), written: map[string]bool{}, last: map[string]any{}}
}

// Changed says that a record has changed. It does not block.
func (v *Views) Changed() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// Run writes the views after changes, and once more when the context ends.
func (v *Views) Run(ctx context.Context) {
	// An earlier process may have ended between a removal and its view.
	if old, err := filepath.Glob(filepath.Join(v.Store.Dir(), poolFile("*"))); err == nil {
		for _, path := range old {
			v.written[strings.TrimSuffix(filepath.Base(path), poolSuffix)] = true
		}
	}
	for {
		select {
		case <-ctx.Done():
			v.write()
			return
		case <-v.changed:
		}
		select {
		case <-ctx.Done():
		case <-time.After(viewDelay):
		}
		v.write()
	}
}

type pool struct {
	Network   string            `json:"network_id"`
	Subnets   []topology.Subnet `json:"subnets"`
	Allocated map[string]string `json:"allocated"` // address -> endpoint id
}

type binding struct {
	Endpoint  string         `json:"endpoint_id"`
	Network   string         `json:"network_id"`
	Switch    string         `json:"logical_switch"`
	Port      string         `json:"logical_switch_port"`
	Interface string         `json:"interface"`
	MAC       string         `json:"mac"`
	Addresses []netip.Prefix `json:"addresses"`
	Deferred  bool           `json:"deferred,omitempty"`
}

func (v *Views) write() {
	networks, endpoints := v.Records.Networks.List(), v.Records.Endpoints.List()
	pools := map[string]pool{}
	switches, routers := map[string][]string{}, map[string][]string{}
	for id, n := range networks {
		pools[id] = pool{Network: id, Subnets: n.Data.Subnets, Allocated: map[string]string{}}
		name := string(n.Data.Switch())
		switches[name] = append(switches[name], id)
		if r := string(n.Data.Router()); r != "" {
			routers[r] = append(routers[r], id)
		}
	}
	bindings := []binding{}
	for id, e := range endpoints {
		if v.Records.Leaving(id, e.Phase) {
			continue
		}
		n := networks[e.Data.NetworkID].Data
		bindings = append(bindings, binding{
			Endpoint: id, Network: n.ID, Switch: string(n.Switch()), Port: string(e.Data.SwitchPort()),
			Interface: e.Data.HostLink(), MAC: e.Data.MAC, Addresses: e.Data.Addresses, Deferred: e.Data.Deferred,
		})
		for _, a := range e.Data.Addresses {
			if p, ok := pools[n.ID]; ok {
				p.Allocated[a.Addr().String()] = id
			}
		}
	}
	slices.SortFunc(bindings, func(a, b binding) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	for _, list := range switches {
		slices.Sort(list)
	}
	for _, list := range routers {
		slices.Sort(list)
	}
	v.put("ovn/logical-switches.json", switches)
	v.put("ovn/logical-routers.json", routers)
	v.put("ovn/port-bindings.json", bindings)
	for id, p := range pools {
		v.put(poolFile(id), p)
		v.written[id] = true
	}
	for _, id := range slices.Collect(maps.Keys(v.written)) {
		if _, there := pools[id]; there {
			continue
		}
		if err := v.Store.RemoveView(poolFile(id)); err != nil {
			v.Log.Warn("a view of the state could not be removed", zap.Error(err))
			continue
		}
		delete(v.written, id)
		delete(v.last, poolFile(id))
	}
}

// put writes a view that has changed: each costs a flush of the disk, and there
// is one for every network.
func (v *Views) put(name string, data any) {
	if reflect.DeepEqual(v.last[name], data) {
		return
	}
	if err := v.Store.WriteView(name, data); err != nil {
		v.Log.Warn("a view of the state could not be written", zap.Error(err))
		return
	}
	v.last[name] = data
}

const poolSuffix = "-pool.json"

func poolFile(networkID string) string { return "ipam/" + networkID + poolSuffix }
