package driver_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// populated has two networks on one switch, one on its own, and endpoints that
// have joined, and one that has not.
func populated(t *testing.T, p *plugin) {
	t.Helper()
	p.ok(t, "CreateNetwork", network(1, "ls"))
	p.ok(t, "CreateNetwork", network(2, "ls"))
	p.ok(t, "CreateNetwork", network(3, "own"))
	for i, n := range []int{1, 1, 2, 3} {
		p.ok(t, "CreateEndpoint", endpoint(n, 10+i, 10+i))
		p.ok(t, "Join", endpoint(n, 10+i, 10+i))
	}
	p.ok(t, "CreateEndpoint", endpoint(3, 20, 20))
	<-time.After(time.Second) // a pass leaves alone what changes beside it
}

// docked tells the plugin that Docker has just what the records have.
func (p *plugin) docked() {
	p.docker.mu.Lock()
	defer p.docker.mu.Unlock()
	s := central.Snapshot{Networks: map[string]central.DockerNetwork{}}
	for id, n := range p.records.Networks.List() {
		have := central.DockerNetwork{
			ID: id, Name: "n", Ours: true, Endpoints: map[string]central.DockerEndpoint{},
			Options: map[string]string{"ovn.switch": n.Data.Options.Switch, "ovn.nb_connection": n.Data.NB, "ovn.sb_connection": n.Data.SB},
		}
		for _, s := range n.Data.Subnets {
			have.Pools = append(have.Pools, central.Pool{Subnet: s.Pool.String(), Gateway: s.Gateway.String()})
		}
		s.Networks[id] = have
	}
	for id, e := range p.records.Endpoints.List() {
		have := central.DockerEndpoint{ID: id, Container: "c" + id, MAC: e.Data.MAC}
		for _, a := range e.Data.Addresses {
			have.Addresses = append(have.Addresses, a.String())
		}
		s.Networks[e.Data.NetworkID].Endpoints[id] = have
	}
	p.docker.have = s
}

// damage is what an administrator may do by accident.
var damage = map[string]func(h *host){
	"a switch port":          func(h *host) { h.north.Delete("Logical_Switch_Port", id(10)) },
	"all switch ports":       func(h *host) { h.north.Clear("Logical_Switch_Port") },
	"a switch and its ports": func(h *host) { h.north.Delete("Logical_Switch", "ls") },
	"one network's use of a switch": func(h *host) {
		ids := h.north.Row("Logical_Switch", "ls").Map("external_ids")
		delete(ids, "network-"+id(2))
		h.north.Set("Logical_Switch", "ls", "external_ids", ovsdb.Map(ids))
	},
	"a port's addresses": func(h *host) { h.north.Set("Logical_Switch_Port", id(11), "addresses", ovsdb.Set[string]()) },
	"a port's marks": func(h *host) {
		h.north.Set("Logical_Switch_Port", id(11), "external_ids", ovsdb.Map(nil))
	},
	"an OVS port": func(h *host) {
		name := "ocn" + id(12)[:12]
		delete(h.ports, name)
		delete(h.things, "port "+name)
	},
	"an interface's iface-id": func(h *host) { delete(h.ports["ocn"+id(12)[:12]], "iface-id") },
	"the bridge": func(h *host) {
		clear(h.bridges)
		clear(h.ports)
		maps.DeleteFunc(h.things, func(s string, _ bool) bool { return strings.HasPrefix(s, "port ") })
	},
	"the chassis' settings":  func(h *host) { h.config = map[string]string{"system-id": "h"} },
	"a setting":              func(h *host) { delete(h.config, "ovn-remote") },
	"a veth before its Join": func(h *host) { delete(h.things, "link ocn"+id(20)[:12]) },
}

// whole is all that there is, with what binds it together.
func (h *host) whole() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprint(h.things, h.north.Dump(), h.ports, h.config, h.bridges)
}

// Whatever was deleted is there again after one pass, and a second one finds
// nothing to do.
func TestPassRestores(t *testing.T) {
	names := slices.Sorted(maps.Keys(damage))
	check := func(name string, broken []string) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plugin) {
				populated(t, p)
				before := p.whole()
				p.host.mu.Lock()
				for _, d := range broken {
					damage[d](p.host)
				}
				p.host.mu.Unlock()
				if err := p.reconciler.Pass(t.Context()); err != nil {
					t.Error(err)
				}
				if after := p.whole(); after != before {
					t.Errorf("there was\n%s\nand is\n%s", before, after)
				}
				p.tidy(t)
				report := len(p.reconciler.Report().Repaired)
				if report == 0 {
					t.Error("nothing is reported")
				}
				if err := p.reconciler.Pass(t.Context()); err != nil || len(p.reconciler.Report().Repaired) != report {
					t.Errorf("a second pass did %q (%v)", p.reconciler.Report().Repaired[report:], err)
				}
			})
		})
	}
	for _, name := range names {
		check(name, []string{name})
	}
	for i := range 10 {
		some := slices.Clone(names)
		rand.New(rand.NewPCG(1, uint64(i))).Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		check(fmt.Sprintf("several %d", i), some[:2+i%4])
	}
}

// The link of a container that runs cannot be made again: its OVS port goes,
// and nobody else's.
func TestPassLostLink(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.host.mu.Lock()
		delete(p.things, "link ocn"+id(10)[:12])
		p.host.mu.Unlock()
		for range 2 {
			if err := p.reconciler.Pass(t.Context()); err != nil {
				t.Error(err)
			}
		}
		all := p.list()
		if slices.Contains(all, "port ocn"+id(10)[:12]) || slices.Contains(all, "link ocn"+id(10)[:12]) || !slices.Contains(all, "port ocn"+id(11)[:12]) {
			t.Errorf("there is %q", all)
		}
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 10))
		p.tidy(t)
	})
}

// One endpoint that cannot be restored does not keep the others.
func TestPassOneFails(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.host.mu.Lock()
		damage["all switch ports"](p.host)
		p.host.mu.Unlock()
		p.onRun(func(_ context.Context, program string, ops [][]string) error {
			if program == "ovn-nbctl" && slices.ContainsFunc(ops, func(w []string) bool { return w[0] == "lsp-add" && w[2] == id(11) }) {
				return refused(program, "some defect")
			}
			return nil
		})
		if err := p.reconciler.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), id(11)) {
			t.Errorf("error %v does not name the endpoint", err)
		}
		if all := p.list(); !slices.Contains(all, "lsp "+id(10)) || !slices.Contains(all, "lsp "+id(13)) || slices.Contains(all, "lsp "+id(11)) {
			t.Errorf("there is %q", all)
		}
		p.onRun(nil)
		if err := p.reconciler.Pass(t.Context()); err != nil {
			t.Error(err)
		}
		p.tidy(t)
	})
}

// What Docker removed while nobody was told is removed, and what is of another
// plugin, or of another host, is not touched.
func TestSweepCollects(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.docker.mu.Lock()
		delete(p.docker.have.Networks, id(3))
		delete(p.docker.have.Networks[id(1)].Endpoints, id(10))
		p.docker.mu.Unlock()

		p.host.mu.Lock()
		row := func(port, instance, host, network string) {
			p.north.AddPort("ls", port)
			p.north.Set("Logical_Switch_Port", port, "addresses", "m 10.1.9.9")
			p.north.Set("Logical_Switch_Port", port, "external_ids", ovsdb.Map(map[string]string{"owner": topology.Owner, "instance": instance, "host": host, "network_id": network, "endpoint_id": port}))
		}
		row(id(30), p.store.Instance(), "h", id(1))  // ours, with no record
		row(id(31), "another", "h", id(9))           // another plugin's
		row(id(32), p.store.Instance(), "h2", id(1)) // of another host
		row(id(33), "before the loss", "h", id(1))   // ours: the network is
		ids := p.north.Row("Logical_Switch", "ls").Map("external_ids")
		ids["network-"+id(9)] = "another"          // another plugin's
		ids["network-"+id(8)] = p.store.Instance() // ours, with no record
		p.north.Set("Logical_Switch", "ls", "external_ids", ovsdb.Map(ids))
		p.host.mu.Unlock()

		sweep := func() {
			<-time.After(time.Minute)
			if err := p.reconciler.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}
		sweep()
		if got := p.records.Endpoints.Len(); got != 5 {
			t.Errorf("%d endpoints: some were collected that dockerd may not have stored yet", got)
		}
		sweep()
		all := p.list()
		for _, gone := range []string{"lsp " + id(10), "lsp " + id(13), "lsp " + id(20), "lsp " + id(30), "lsp " + id(33), "ls own", "link ocn" + id(10)[:12]} {
			if slices.Contains(all, gone) {
				t.Errorf("%s is still there", gone)
			}
		}
		for _, kept := range []string{"lsp " + id(11), "lsp " + id(12), "lsp " + id(31), "lsp " + id(32), "ls ls"} {
			if !slices.Contains(all, kept) {
				t.Errorf("%s is gone", kept)
			}
		}
		if keys := p.north.Row("Logical_Switch", "ls").Map("external_ids"); keys["network-"+id(9)] == "" || keys["network-"+id(8)] != "" {
			t.Errorf("uses of the switch: %v", keys)
		}
		if got := len(p.reconciler.Report().Collected); got != 5 {
			t.Errorf("%d collected: %q", got, p.reconciler.Report().Collected)
		}
	})
}

// An endpoint whose creation Docker has not stored yet is not collected, nor
// anything when Docker's lists cannot be read.
func TestSweepPatience(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.docked()
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 10))
		if err := p.reconciler.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if p.records.Endpoints.Len() != 1 {
			t.Error("the endpoint was collected too soon")
		}
		away := errors.New("docker is away")
		p.docker.mu.Lock()
		p.docker.have, p.docker.err = central.Snapshot{}, away
		p.docker.mu.Unlock()
		if err := p.reconciler.Sweep(t.Context()); !errors.Is(err, away) {
			t.Errorf("error %v", err)
		}
		p.tidy(t)
		if p.records.Endpoints.Len() != 1 || p.records.Networks.Len() != 1 {
			t.Error("something was collected")
		}
	})
}

// A data directory that was lost, or one record, is rebuilt from Docker's
// lists; what is there is claimed, and no port is made twice.
func TestSweepRebuilds(t *testing.T) {
	for _, lost := range []string{"all", "a network", "an endpoint"} {
		t.Run(lost, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plugin) {
				populated(t, p)
				p.docked()
				before := p.list()
				p.lose(t, lost)
				p.serve(t, nil)
				p.reconciler.Recover(t.Context())
				close(p.ready)
				if err := p.reconciler.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
				p.tidy(t)
				if after := p.list(); !slices.Equal(before, after) {
					t.Errorf("there was\n%q\nand is\n%q", before, after)
				}
				if len(p.reconciler.Report().Rebuilt) == 0 {
					t.Error("nothing is reported")
				}
				p.host.mu.Lock()
				for _, port := range p.north.Names("Logical_Switch_Port") {
					if instance := p.north.Row("Logical_Switch_Port", port).Map("external_ids")["instance"]; instance != p.store.Instance() {
						t.Errorf("port %.12s is of %q", port, instance)
					}
				}
				p.host.mu.Unlock()
				p.ok(t, "CreateEndpoint", endpoint(1, 40, 40))
				for i := range 4 {
					p.ok(t, "DeleteEndpoint", endpoint([]int{1, 1, 2, 3}[i], 10+i, 10+i))
				}
				for i := range 3 {
					p.ok(t, "DeleteNetwork", network(1+i, ""))
				}
				if left := p.list(); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		})
	}
}

// What this process has removed does not come back because Docker lists it a
// moment longer.
func TestSweepLeavesRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.docked()
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 10))
		p.ok(t, "DeleteNetwork", network(3, "own"))
		if err := p.reconciler.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		p.tidy(t)
		if got := p.reconciler.Report().Rebuilt; len(got) != 0 {
			t.Errorf("rebuilt %q", got)
		}
	})
}

// An endpoint whose record was lost is removed all the same when Docker says
// so.
func TestDeleteWithoutRecord(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		populated(t, p)
		p.lose(t, "an endpoint")
		p.serve(t, nil)
		close(p.ready)
		p.ok(t, "DeleteEndpoint", endpoint(1, 10, 10))
		p.tidy(t)
	})
}

// lose ends the process, removes state files, and starts a new one.
func (p *plugin) lose(t *testing.T, what string) {
	t.Helper()
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	path := map[string]string{
		"all": p.dir, "a network": filepath.Join(p.dir, "networks", id(1)+".json"), "an endpoint": filepath.Join(p.dir, "endpoints", id(10)+".json"),
	}[what]
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	p.open(t)
}
