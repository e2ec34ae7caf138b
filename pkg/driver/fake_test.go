package driver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/driver"
	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// host stands in for the programs: it keeps what plans make and take back, and
// fails where a test says so.
type host struct {
	mu     sync.Mutex
	things map[string]bool              // "link ocn…", "port ocn…", "lsp …"
	sw     map[string]map[string]string // logical switch -> external_ids
	fail   func(program string, words []string) error
	wait   func(ctx context.Context) error // what a wait for a port does
}

func newHost() *host { return &host{things: map[string]bool{}, sw: map[string]map[string]string{}} }

func (h *host) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Collect(maps.Keys(h.things))
	for s := range h.sw {
		all = append(all, "ls "+s)
	}
	slices.Sort(all)
	return all
}

// Apply runs a plan the way the executor does: in order, taking back what was
// done when a step fails.
func (h *host) Apply(ctx context.Context, p plan.Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	for i, s := range p.Steps {
		if err := h.step(s); err != nil {
			_ = h.Undo(ctx, plan.Plan{Steps: p.Steps[:i]})
			return err
		}
	}
	return ctx.Err()
}

func (h *host) Undo(_ context.Context, p plan.Plan) error {
	for _, s := range p.Reverse().Steps {
		if err := h.step(s); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) step(s plan.Step) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range s.Ops {
		if h.fail != nil {
			if err := h.fail(s.Target.Program, op.Do); err != nil {
				return err
			}
		}
	}
	for _, op := range s.Ops {
		w := slices.DeleteFunc(slices.Clone(op.Do), func(s string) bool { return strings.HasPrefix(s, "--") })
		switch line := strings.Join(w, " "); {
		case strings.HasPrefix(line, "link add"):
			if h.things["link "+w[3]] {
				return fmt.Errorf("RTNETLINK answers: File exists: %s", w[3])
			}
			h.things["link "+w[3]] = true
		case strings.HasPrefix(line, "link del"):
			delete(h.things, "link "+w[3])
		case w[0] == "add-port":
			h.things["port "+w[2]] = true
		case w[0] == "del-port":
			delete(h.things, "port "+w[2])
		case w[0] == "lsp-add":
			h.things["lsp "+w[2]] = true
		case w[0] == "lsp-del":
			delete(h.things, "lsp "+w[1])
		case w[0] == "ls-add":
			h.sw[w[1]] = map[string]string{}
		case w[0] == "ls-del":
			delete(h.sw, w[1])
		case strings.HasPrefix(line, "set Logical_Switch "):
			for _, c := range w[3:] {
				k, v, _ := strings.Cut(strings.TrimPrefix(c, "external_ids:"), "=")
				h.sw[w[2]][k] = strings.Trim(v, `"`)
			}
		case strings.HasPrefix(line, "remove Logical_Switch "):
			delete(h.sw[w[2]], w[4])
		case s.Target.Program == "ovsdb-client":
			for name := range h.sw {
				if strings.Contains(line, `"op":"delete"`) && strings.Contains(line, `"uuid-of-`+name+`"`) {
					delete(h.sw, name)
				}
			}
		}
	}
	return nil
}

// Transact answers the reads that the driver makes.
func (h *host) Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error) {
	var results []ovsdb.Result
	for _, o := range t.Operations {
		if o["op"] == "wait" {
			if h.wait != nil {
				return nil, h.wait(ctx)
			}
			return []ovsdb.Result{{}}, nil
		}
		var rows []ovsdb.Row
		switch o["table"] {
		case "NB_Global":
			rows = append(rows, ovsdb.Row{"_uuid": json.RawMessage(`["uuid","nb"]`)})
		case "Open_vSwitch":
			rows = append(rows, ovsdb.Row{"external_ids": json.RawMessage(`["map",[["system-id","h"]]]`)})
		case "Bridge":
			rows = append(rows, ovsdb.Row{"datapath_id": json.RawMessage(`"1"`)})
		case "Logical_Switch":
			name := o["where"].([]ovsdb.Condition)[0][2].(string)
			h.mu.Lock()
			if ids, ok := h.sw[name]; ok {
				text, _ := json.Marshal(ovsdb.Map(ids))
				rows = append(rows, ovsdb.Row{"_uuid": json.RawMessage(`["uuid","uuid-of-` + name + `"]`), "external_ids": text, "ports": json.RawMessage(`["set",[]]`)})
			}
			h.mu.Unlock()
		}
		results = append(results, ovsdb.Result{Rows: rows})
	}
	return results, ctx.Err()
}

func (h *host) Addresses(context.Context) ([]link.Address, error) { return nil, nil }

func (h *host) RouteSource(context.Context, netip.Addr) (netip.Addr, error) {
	return netip.MustParseAddr("172.30.0.1"), nil
}

// Ensure and EnsureController make host an OVN central that is there.
func (h *host) Ensure(_ context.Context, r central.Request) (central.Connections, error) {
	return central.Connections{NB: r.NB, SB: r.SB}, nil
}

func (h *host) EnsureController(context.Context, bool) error { return nil }

// outages is a northbound database that is up, or down.
type outages struct {
	mu       sync.Mutex
	down     bool
	reported []string
}

func (o *outages) Down(string) bool { o.mu.Lock(); defer o.mu.Unlock(); return o.down }

func (o *outages) Report(nb string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down, o.reported = true, append(o.reported, nb)
}

// plugin is a driver on a host of its own, with real files.
type plugin struct {
	*host
	outages *outages
	records *lifecycle.Records
	driver  *driver.Driver
	dir     string
}

func newPlugin(t *testing.T) *plugin {
	t.Helper()
	p := &plugin{host: newHost(), outages: &outages{}, dir: t.TempDir()}
	p.open(t)
	return p
}

// open starts the driver on the files that are there, as a new process would.
func (p *plugin) open(t *testing.T) {
	t.Helper()
	s, err := store.Open(p.dir, store.Options{Mode: store.Strict})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	networks, err := store.NewCollection[topology.Network](s, "networks")
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := store.NewCollection[topology.Endpoint](s, "endpoints")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	close(ready)
	locks := &keylock.Locks{}
	h := topology.Host{OVSDB: "unix:/ovs.sock"}
	log := zaptest.NewLogger(t)
	p.records = lifecycle.New(lifecycle.Config{
		Run: p.host, Outages: p.outages, Networks: networks, Endpoints: endpoints, Locks: locks, Host: h, Changed: func() {}, Log: log,
	})
	p.driver = driver.New(driver.Config{
		Run: p.host, Central: p.host, Records: p.records, Locks: locks, Instance: s.Instance(), Host: h, Ready: ready, Log: log,
	})
}
