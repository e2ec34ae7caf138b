package driver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// ways are how a program can fail.
var ways = []struct {
	name string
	err  func(program string) error
}{
	{"refuses", func(p string) error { return refused(p, "syntax error") }},
	{"is killed before", func(p string) error { return stopped(p, context.DeadlineExceeded) }},
	{"is killed after", func(p string) error { return stopped(p, errAfterwards) }},
	{"is unreachable", func(p string) error { return refused(p, "database connection failed (No such file or directory)") }},
}

// What the writes of the northbound database have in them: making a switch, and
// making a port.
const (
	inserts = `"op":"insert"`
	chains  = "ovn-nbctl "
)

// eachStep makes the k-th run of a program fail, for every k and every way,
// and checks that this reached what must be reached.
func eachStep(t *testing.T, reach []string, setup func(*testing.T, *plugin), try func(t *testing.T, p *plugin, failed string)) {
	var seen []string
	for _, way := range ways {
		for k := 1; ; k++ {
			reached := ""
			t.Run(fmt.Sprintf("run %d %s", k, way.name), func(t *testing.T) {
				bubble(t, func(t *testing.T, p *plugin) {
					setup(t, p)
					var runs atomic.Int64
					var program string
					p.onRun(func(_ context.Context, name string, ops [][]string) error {
						if runs.Add(1) != int64(k) {
							return nil
						}
						program = fmt.Sprint(name, " ", ops)
						return way.err(name)
					})
					try(t, p, way.name)
					reached = program
				})
			})
			if reached == "" {
				break
			}
			seen = append(seen, reached)
		}
	}
	for _, part := range reach {
		if !slices.ContainsFunc(seen, func(s string) bool { return strings.Contains(s, part) }) {
			t.Errorf("%s never failed: %q", part, seen)
		}
	}
}

// Whatever fails in CreateNetwork, nothing is left: not in OVN, nor on the
// chassis, nor on disk. The next try succeeds.
func TestCreateNetworkFailsAtEachStep(t *testing.T) {
	fresh := func(_ *testing.T, p *plugin) { p.config, p.bridges = map[string]string{}, map[string]bool{} }
	eachStep(t, []string{inserts, "ovs-vsctl ", "ip "}, fresh, func(t *testing.T, p *plugin, _ string) {
		before := p.chassis()
		if _, err := p.call(t.Context(), "CreateNetwork", network(1, "ls")); err != nil {
			later()
			if got := p.chassis(); got != before {
				t.Errorf("chassis\n%s\nwas\n%s", got, before)
			}
			if n := p.records.Networks.Len(); n != 0 {
				t.Errorf("%d records are left", n)
			}
			p.tidy(t)
		}
		p.onRun(nil)
		p.ok(t, "CreateNetwork", network(2, "ls"))
		p.tidy(t)
	})
}

// The same of CreateEndpoint, which succeeds though OVN is away.
func TestCreateEndpointFailsAtEachStep(t *testing.T) {
	for _, fail := range []bool{false, true} {
		t.Run(fmt.Sprintf("fail when down %t", fail), func(t *testing.T) {
			setup := func(t *testing.T, p *plugin) {
				p.records.FailWhenDown = fail
				p.ok(t, "CreateNetwork", network(1, "ls"))
			}
			eachStep(t, []string{chains, "ovs-vsctl ", "ip "}, setup, func(t *testing.T, p *plugin, _ string) {
				_, err := p.call(t.Context(), "CreateEndpoint", endpoint(1, 10, 2))
				later()
				if n := p.records.Endpoints.Len(); (err == nil) != (n == 1) {
					t.Errorf("%d records after %v", n, err)
				}
				p.tidy(t)
				p.onRun(nil)
				// The address is free again, or in use.
				if err != nil {
					p.ok(t, "CreateEndpoint", endpoint(1, 11, 2))
				}
				p.ok(t, "DeleteNetwork", map[string]any{"NetworkID": id(1)})
				if got := p.list(); len(got) != 0 {
					t.Errorf("left: %q", got)
				}
			})
		})
	}
}

// When taking back fails too, the record stays until it has been done.
func TestUndoFails(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovs-vsctl" && ops[0][0] == "add-port" {
				p.setAway(true) // OVN goes away after the port was made there
				return refused(program, "no bridge named br-int")
			}
			return nil
		})
		p.fails(t, "no bridge", "CreateEndpoint", endpoint(1, 10, 2))
		if got := p.list(); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "link") || strings.HasPrefix(s, "port") }) {
			t.Errorf("left on the host: %q", got)
		}
		p.setAway(false)
		later()
		p.tidy(t)
		if n := p.records.Endpoints.Len(); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}

// The same of a network: OVN goes away just as the switch has been made.
func TestUndoOfNetworkFails(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if !strings.Contains(fmt.Sprint(ops), inserts) {
				return nil
			}
			p.onRun(func(_ context.Context, _ string, _ [][]string) error {
				p.setAway(true)
				p.onRun(nil)
				return nil
			})
			return stopped(program, errAfterwards)
		})
		p.fails(t, "tried again", "CreateNetwork", network(1, "ls"))
		if got := p.list(); !slices.Equal(got, []string{"ls ls"}) {
			t.Errorf("there is %q", got)
		}
		p.setAway(false)
		later()
		if got := p.list(); len(got) != 0 || p.records.Networks.Len() != 0 {
			t.Errorf("left: %q", got)
		}
	})
}

// Files cannot be written: a new endpoint is refused and leaves nothing, and
// what is there is joined and removed all the same.
func TestDiskFails(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		mend := breakFolder(t, p.dir, "endpoints")
		p.fails(t, "storing endpoint", "CreateEndpoint", endpoint(1, 11, 3))
		p.ok(t, "Join", endpoint(1, 10, 2))
		p.fails(t, "tried again", "DeleteEndpoint", endpoint(1, 10, 2))
		if got := p.list(); !slices.Equal(got, []string{"ls ls"}) {
			t.Errorf("left: %q", got)
		}
		mend()
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 2))
		p.tidy(t)
	})
}

// A client that is gone takes the call for failed: what was done is taken back,
// whenever it went.
func TestCallerGoes(t *testing.T) {
	for _, call := range []string{"CreateNetwork", "CreateEndpoint"} {
		for k := 1; ; k++ {
			var reached atomic.Bool
			t.Run(fmt.Sprintf("%s before run %d", call, k), func(t *testing.T) {
				bubble(t, func(t *testing.T, p *plugin) {
					request := network(1, "ls")
					if call == "CreateEndpoint" {
						p.ok(t, "CreateNetwork", request)
						request = endpoint(1, 10, 2)
					}
					before := fmt.Sprint(p.list(), p.chassis())
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					var runs atomic.Int64
					p.onRun(func(during context.Context, _ string, _ [][]string) error {
						if runs.Add(1) == int64(k) {
							leave()
							<-during.Done()
							reached.Store(true)
						}
						return nil
					})
					_, err := p.call(ctx, call, request)
					later()
					if !reached.Load() {
						return
					}
					if !errors.Is(err, context.Canceled) {
						t.Errorf("error %v", err)
					}
					if got := fmt.Sprint(p.list(), p.chassis()); got != before {
						t.Errorf("there is\n%s\nbefore\n%s", got, before)
					}
					p.tidy(t)
				})
			})
			if !reached.Load() {
				break
			}
		}
	}
}

// The client goes when all is done and stored, before it has the answer.
func TestCallerGoesAtTheEnd(t *testing.T) {
	for _, call := range []string{"CreateNetwork", "CreateEndpoint"} {
		bubble(t, func(t *testing.T, p *plugin) {
			request := network(1, "ls")
			if call == "CreateEndpoint" {
				p.ok(t, "CreateNetwork", request)
				request = endpoint(1, 10, 2)
			}
			before := p.list()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var stored atomic.Int64
			p.records.Changed = func() {
				if stored.Add(1) == 2 { // pending, ready
					leave()
					<-time.After(time.Millisecond)
				}
			}
			if _, err := p.call(ctx, call, request); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			later()
			if got := p.list(); !slices.Equal(got, before) {
				t.Errorf("%s: there is %q, before %q", call, got, before)
			}
			p.tidy(t)
		})
	}
}

// Programs that hang: the answer comes before dockerd's own limit, and nothing
// is left.
func TestHandlerDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.onRun(func(ctx context.Context, program string, ops [][]string) error {
			if program == "ovs-vsctl" && ops[0][0] == "add-port" {
				<-ctx.Done()
				return stopped(program, context.Cause(ctx))
			}
			return nil
		})
		took := stopwatch()
		p.fails(t, "deadline", "CreateEndpoint", endpoint(1, 10, 2))
		if d := took(); d.Seconds() > 30 {
			t.Errorf("answered after %s", d)
		}
		later()
		p.tidy(t)
	})
}

// Another plugin makes the switch between the look and the write: there is one,
// and both use it.
func TestSwitchMadeMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.onRun(func(_ context.Context, _ string, ops [][]string) error {
			if strings.Contains(fmt.Sprint(ops), inserts) {
				p.onRun(nil)
				p.mu.Lock()
				p.north.Insert("Logical_Switch", map[string]any{"name": "ls", "external_ids": ovsdb.Map(map[string]string{"owner": topology.Owner, "network-other": "elsewhere"})})
				p.mu.Unlock()
			}
			return nil
		})
		p.ok(t, "CreateNetwork", network(1, "ls"))
		if ids := p.north.Row("Logical_Switch", "ls").Map("external_ids"); len(ids) != 3 || p.made["switch ls"] != 0 {
			t.Errorf("external_ids %v, made %v", ids, p.made)
		}
	})
}

// A bridge that is not open because ovs-vswitchd is down keeps its datapath: on
// a host with the kernel's, nobody would ever turn it back.
func TestBridgeOfADeadSwitch(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.closed = true
		var seen []string
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program != "ovs-vsctl" {
				return nil
			}
			seen = append(seen, fmt.Sprint(ops))
			return stopped(program, context.DeadlineExceeded)
		})
		p.fails(t, "ovs-vswitchd has not opened bridge", "CreateNetwork", network(1, "ls"))
		if strings.Contains(strings.Join(seen, "\n"), "netdev") || len(seen) == 0 {
			t.Errorf("ovs-vsctl ran %q", seen)
		}
		p.onRun(nil)
		p.ok(t, "CreateNetwork", network(2, "ls")) // it answers: the kernel has no datapath
	})
}
