package driver_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/driver"
	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb/ovsdbtest"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// host stands in for the programs: it keeps what plans make and take back, and
// fails where a test says so.
type host struct {
	mu      sync.Mutex
	things  map[string]bool // "link ocn…", "port ocn…"
	north   *ovsdbtest.DB
	ports   map[string]map[string]string // OVS port -> external_ids
	config  map[string]string            // external_ids of the chassis
	bridges map[string]bool
	closed  bool           // no bridge has been opened by ovs-vswitchd
	made    map[string]int // "switch NAME" -> how often it ran
	away    bool           // the northbound database does not answer
	deleted chan string    // what a watch tells of

	// hook is called before each run of a program; its error is the run's. An
	// error that wraps errAfterwards comes after the program has done its work.
	hook func(ctx context.Context, program string, ops [][]string) error
	wait func(ctx context.Context, limit time.Duration) error // what a wait for a port does
}

var errAfterwards = errors.New("killed after it had done its work")

func newHost() *host {
	return &host{
		things: map[string]bool{}, north: ovsdbtest.Northbound(), ports: map[string]map[string]string{},
		config: map[string]string{"system-id": "h"}, bridges: map[string]bool{"br-int": true}, made: map[string]int{}, deleted: make(chan string),
	}
}

func (h *host) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Collect(maps.Keys(h.things))
	for kind, table := range map[string]string{"ls ": "Logical_Switch", "lsp ": "Logical_Switch_Port", "lr ": "Logical_Router", "lrp ": "Logical_Router_Port"} {
		for _, name := range h.north.Names(table) {
			all = append(all, kind+name)
		}
	}
	slices.Sort(all)
	return all
}

// chassis is what is set on the host itself.
func (h *host) chassis() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprint(h.config, h.bridges)
}

func (h *host) setAway(away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = away
}

// onRun sets the hook.
func (h *host) onRun(hook func(ctx context.Context, program string, ops [][]string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hook = hook
}

func (h *host) isAway() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away
}

// refused is what a program says that could do nothing.
func refused(program, text string) error {
	return &executor.CommandError{Argv: []string{program}, Stderr: text, Err: errors.New("exit status 1")}
}

// stopped is a program that was killed: what it did is not known.
func stopped(program string, cause error) error {
	return &executor.CommandError{Argv: []string{program}, Stopped: true, Err: cause}
}

// before is what happens to a program before it does anything.
func (h *host) before(ctx context.Context, program string, north bool, ops ...[]string) error {
	h.mu.Lock()
	hook := h.hook
	h.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, program, ops); err != nil {
			return err
		}
	}
	if north && h.isAway() {
		return refused(program, "tcp:172.30.0.5:6641: database connection failed (Connection refused)")
	}
	if ctx.Err() != nil {
		return stopped(program, ctx.Err())
	}
	return nil
}

// Apply runs a plan the way the executor does: in order, taking back what was
// done when a step fails.
func (h *host) Apply(ctx context.Context, p plan.Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	for i, s := range p.Steps {
		if err := h.step(ctx, s); err != nil {
			var failed *executor.CommandError
			if s.Target.Form == plan.Batch || errors.As(err, &failed) && failed.Stopped {
				i++
			}
			return errors.Join(err, h.Undo(context.WithoutCancel(ctx), plan.Plan{Steps: p.Steps[:i]}))
		}
	}
	return nil
}

func (h *host) Undo(ctx context.Context, p plan.Plan) error {
	var all []error
	for _, s := range p.Reverse().Steps {
		all = append(all, h.step(ctx, s))
	}
	return errors.Join(all...)
}

func (h *host) step(ctx context.Context, s plan.Step) error {
	var ops [][]string
	for _, op := range s.Ops {
		ops = append(ops, slices.DeleteFunc(slices.Clone(op.Do), func(s string) bool { return strings.HasPrefix(s, "--") }))
	}
	north := strings.Contains(strings.Join(s.Target.Args, " "), "tcp:")
	err := h.before(ctx, s.Target.Program, north, ops...)
	if err != nil && !errors.Is(err, errAfterwards) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Target.Program == "ovn-nbctl" {
		if taken := h.taken(ops); taken != nil {
			return taken
		}
	}
	for _, w := range ops {
		if failed := h.op(s.Target.Program, w); failed != nil {
			return failed
		}
	}
	return err
}

// taken is ovn-nbctl's answer to an address that another port has.
func (h *host) taken(ops [][]string) error {
	on := map[string]string{}
	for _, w := range ops {
		switch w[0] {
		case "lsp-add":
			on[w[2]] = w[1]
		case "lsp-set-addresses":
			for _, port := range h.north.Of("Logical_Switch", on[w[1]], "ports", "Logical_Switch_Port") {
				has := strings.Fields(h.north.Row("Logical_Switch_Port", port).String("addresses"))
				for _, a := range strings.Fields(w[2])[1:] {
					if port != w[1] && slices.Contains(has, a) {
						return refused("ovn-nbctl", fmt.Sprintf("duplicate IPv4 address '%s' found on logical switch '%s'", a, on[w[1]]))
					}
				}
			}
		}
	}
	return nil
}

func (h *host) op(program string, w []string) error {
	switch line := strings.Join(w, " "); {
	case strings.HasPrefix(line, "link add"):
		if h.things["link "+w[3]] {
			return refused("ip", "RTNETLINK answers: File exists: "+w[3])
		}
		h.things["link "+w[3]] = true
	case strings.HasPrefix(line, "link del"):
		delete(h.things, "link "+w[3])
	case w[0] == "add-port":
		h.things["port "+w[2]] = true
		if h.ports[w[2]] == nil {
			h.ports[w[2]] = map[string]string{}
		}
	case w[0] == "del-port":
		delete(h.things, "port "+w[1])
		delete(h.ports, w[1])
	case w[0] == "lsp-add":
		if !h.north.AddPort(w[1], w[2]) {
			return refused(program, w[1]+": switch name not found")
		}
	case w[0] == "lsp-set-addresses":
		h.north.Set("Logical_Switch_Port", w[1], "addresses", w[2])
	case w[0] == "lsp-set-port-security":
		h.north.Set("Logical_Switch_Port", w[1], "port_security", strings.Join(w[2:], " "))
	case w[0] == "lsp-del":
		h.north.Delete("Logical_Switch_Port", w[1])
	case w[0] == "add-br":
		h.bridges[w[1]] = true
	case w[0] == "del-br":
		delete(h.bridges, w[1])
		clear(h.ports)
	case strings.HasPrefix(line, "set Open_vSwitch "):
		set(h.config, w[3:])
	case strings.HasPrefix(line, "remove Open_vSwitch "):
		delete(h.config, w[4])
	case strings.HasPrefix(line, "set Interface "):
		set(h.ports[w[2]], w[3:])
	case strings.HasPrefix(line, "set Logical_Switch_Port "):
		ids := h.north.Row("Logical_Switch_Port", w[2]).Map("external_ids")
		set(ids, w[3:])
		h.north.Set("Logical_Switch_Port", w[2], "external_ids", ovsdb.Map(ids))
	case program == "ovsdb-client":
		before := h.north.Names("Logical_Switch")
		if err := h.north.Script(line); err != nil {
			return err
		}
		for _, name := range h.north.Names("Logical_Switch") {
			if !slices.Contains(before, name) {
				h.made["switch "+name]++
			}
		}
	}
	return nil
}

func set(ids map[string]string, columns []string) {
	for _, c := range columns {
		k, v, _ := strings.Cut(strings.TrimPrefix(c, "external_ids:"), "=")
		ids[k] = strings.Trim(v, `"`)
	}
}

func (h *host) Addresses(ctx context.Context) ([]link.Address, error) {
	return nil, h.before(ctx, "ip", false, []string{"address"})
}

func (h *host) RouteSource(ctx context.Context, _ netip.Addr) (netip.Addr, error) {
	return netip.MustParseAddr("172.30.0.1"), h.before(ctx, "ip", false, []string{"route"})
}

func (h *host) Reach(context.Context, netip.AddrPort, netip.AddrPort, int) link.Way {
	return link.Way{Looked: true, Answered: true}
}

func (h *host) Routes(ctx context.Context) ([]link.Route, error) {
	return nil, h.before(ctx, "ip", false, []string{"route"})
}

func (h *host) Firewall(ctx context.Context, _ bool) (firewall.Backend, map[firewall.Backend]firewall.Rules, error) {
	return firewall.NFT, nil, h.before(ctx, "iptables-nft-save", false)
}

func (h *host) Forwards6() (bool, error) { return true, nil }

func (h *host) Forget(ctx context.Context, _ ...firewall.Flow) error {
	return h.before(ctx, "conntrack", true)
}

// Ensure and EnsureController make host an OVN central that is there.
func (h *host) Ensure(ctx context.Context, r central.Request) (central.Connections, error) {
	return central.Connections{NB: r.NB, SB: r.SB}, h.before(ctx, "ensure central", true)
}

func (h *host) EnsureController(ctx context.Context, _ bool) error {
	return h.before(ctx, "ensure controller", false)
}

// plugin is a driver on a host of its own, with real files.
type plugin struct {
	*host
	outages    *reconcile.Outages
	reconciler *reconcile.Reconciler
	records    *lifecycle.Records
	driver     *driver.Driver
	server     *driver.Server
	dial       func() (net.Conn, error)
	store      *store.Store
	docker     *docker
	dir        string
	ready      chan struct{}
	down       bool // PLUGIN_OVN_DOWN=fail
}

func newPlugin(t *testing.T) *plugin {
	t.Helper()
	p := &plugin{host: newHost(), dir: t.TempDir(), docker: &docker{}}
	p.open(t)
	close(p.ready)
	return p
}

// open starts the driver on the files that are there, as a new process would;
// whoever calls it again has to close ready.
func (p *plugin) open(t *testing.T) {
	t.Helper()
	var err error
	if p.store, err = store.Open(p.dir, store.Options{Mode: store.Strict}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	networks, err := store.NewCollection[topology.Network](p.store, "networks")
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := store.NewCollection[topology.Endpoint](p.store, "endpoints")
	if err != nil {
		t.Fatal(err)
	}
	pools, err := store.NewCollection[ipam.Pool](p.store, "pools")
	if err != nil {
		t.Fatal(err)
	}
	p.ready = make(chan struct{})
	locks := &keylock.Locks{}
	h := topology.Host{OVSDB: "unix:/ovs.sock"}
	log := zaptest.NewLogger(t)
	p.outages = reconcile.NewOutages(func(ctx context.Context, _ string) error {
		return p.before(ctx, "probe", true)
	})
	p.records = lifecycle.New(lifecycle.Config{
		Translated: func() {},
		Run:        p.host, Outages: p.outages, Networks: networks, Endpoints: endpoints, Pools: pools, Locks: locks, Host: h, Instance: p.store.Instance(),
		FailWhenDown: p.down, Changed: func() {}, Log: log,
	})
	p.reconciler = reconcile.New(reconcile.Config{
		Run: p.host, Records: p.records, Outages: p.outages, Store: p.store, Docker: p.docker, Mode: "strict", Log: log,
		Rebuild: func(ctx context.Context, n topology.Network) error { return p.driver.Rebuild(ctx, n) },
	})
	p.driver = driver.New(driver.Config{
		Run: p.host, Central: p.host, Records: p.records, Locks: locks, Instance: p.store.Instance(), Host: h, Ready: p.ready, Rebuilt: p.ready, Log: log,
	})
}

// restart ends the process, and starts a new one whose recovery has not begun.
func (p *plugin) restart(t *testing.T) {
	t.Helper()
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	p.open(t)
}
