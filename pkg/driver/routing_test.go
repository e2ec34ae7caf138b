package driver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// routed is the request for a network in 10.I.0.0/24, or 192.168.I.0/24 of a
// transit network.
func routed(i int, opts ...string) map[string]any {
	given := map[string]string{"ovn.nb_connection": "tcp:172.30.0.5:6641", "ovn.sb_connection": "tcp:172.30.0.5:6642"}
	base := fmt.Sprintf("10.%d.0.", i)
	for _, o := range opts {
		k, v, _ := strings.Cut(o, "=")
		given[k] = v
		if o == "ovn.role=transit" {
			base = fmt.Sprintf("192.168.%d.", i)
		}
	}
	return map[string]any{
		"NetworkID": id(i), "Options": map[string]any{"com.docker.network.generic": given},
		"IPv4Data": []map[string]any{{"AddressSpace": "LocalDefault", "Pool": base + "0/24", "Gateway": base + "1/24"}},
	}
}

// at is the request for an endpoint with an address.
func at(n, i int, address string) map[string]any {
	r := endpoint(n, i, i)
	r["Interface"] = map[string]string{"Address": address}
	return r
}

// named has Docker know the networks by these names.
func (p *plugin) named(names map[int]string) {
	p.docker.mu.Lock()
	defer p.docker.mu.Unlock()
	p.docker.have = central.Snapshot{Networks: map[string]central.DockerNetwork{}}
	for i, name := range names {
		p.docker.have.Networks[id(i)] = central.DockerNetwork{ID: id(i), Name: name, Ours: true}
	}
	p.reconciler.Changed()
}

// learns asks Docker for names.
func (p *plugin) learns(t *testing.T) { aside(t, p.reconciler.Learn) }

func (p *plugin) there(t *testing.T, want bool, things ...string) {
	t.Helper()
	all := p.list()
	for _, thing := range things {
		if slices.Contains(all, thing) != want {
			t.Errorf("%q there: %t, want %t, in %q", thing, !want, want, all)
		}
	}
}

// A router is attached once Docker tells the name of the transit network,
// whichever was made first.
func TestNamesAreLearnt(t *testing.T) {
	for _, transitFirst := range []bool{true, false} {
		bubble(t, func(t *testing.T, p *plugin) {
			p.learns(t)
			vpc, transit := routed(1, "ovn.switch=ls-a", "ovn.router=lr-a", "ovn.transit_network=x"), routed(2, "ovn.role=transit")
			first, second := vpc, transit
			if transitFirst {
				first, second = transit, vpc
			}
			p.ok(t, "CreateNetwork", first)
			<-time.After(time.Minute)
			p.ok(t, "CreateNetwork", second)
			p.there(t, true, "lr lr-a", "lrp lr-a:ls-a", "lr lr-gateway")
			p.there(t, false, "lrp lr-a:ls-transit-192.168.2.0-24")
			p.named(map[int]string{1: "a", 2: "x"})
			<-time.After(3 * time.Second)
			p.there(t, true, "lrp lr-a:ls-transit-192.168.2.0-24")
			if got := p.north.Row("Logical_Switch", "ls-transit-192.168.2.0-24").Map("external_ids")["transit-"+id(2)]; got != "x" {
				t.Errorf("the database has the name %q", got)
			}
			p.ok(t, "DeleteNetwork", vpc)
			p.ok(t, "DeleteNetwork", transit)
			if all := p.list(); len(all) > 0 {
				t.Errorf("left behind: %q", all)
			}
		})
	}
}

// Join names the router; but not to the container that is the way out, nor on a
// network without a router.
func TestGateway(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(3, "ls"))
		p.ok(t, "CreateNetwork", routed(1, "ovn.switch=ls-a", "ovn.router=lr-a"))
		p.ok(t, "CreateNetwork", routed(2, "ovn.role=transit", "ovn.external_gateway=192.168.2.254"))
		for _, c := range []struct {
			request map[string]any
			gateway any
		}{
			{endpoint(3, 10, 10), nil},
			{at(1, 11, "10.1.0.11/24"), "10.1.0.1"},
			{at(2, 12, "192.168.2.12/24"), "192.168.2.1"},
			{at(2, 13, "192.168.2.254/24"), nil},
		} {
			p.ok(t, "CreateEndpoint", c.request)
			answer := p.ok(t, "Join", c.request)
			if got := answer["Gateway"]; got != c.gateway && (got != "" || c.gateway != nil) {
				t.Errorf("%v: gateway %v, want %v", c.request["Interface"], got, c.gateway)
			}
		}
		for i, want := range map[int]string{12: "0a:00:c0:a8:02:0c 192.168.2.12", 13: ""} {
			if got := p.north.Row("Logical_Switch_Port", id(i)).String("port_security"); got != want {
				t.Errorf("port security %q, want %q", got, want)
			}
		}
		p.fails(t, `"192.168.2.1" belongs to router "lr-gateway"`, "CreateEndpoint", at(2, 14, "192.168.2.1/24"))
	})
}

// What cannot be made is refused before anything is.
func TestRefusedRouters(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		none := routed(1, "ovn.switch=ls-a", "ovn.router=lr-a")
		delete(none, "IPv4Data")
		p.fails(t, "--subnet", "CreateNetwork", none)
		p.fails(t, "is in no subnet", "CreateNetwork", routed(2, "ovn.role=transit", "ovn.external_gateway=192.168.3.1"))
		if all := p.list(); len(all) > 0 {
			t.Errorf("left behind: %q", all)
		}
		p.ok(t, "CreateNetwork", routed(1, "ovn.switch=ls-a", "ovn.router=lr-a", "tenant_id=a"))
		before := p.list()
		p.fails(t, `tenant "a"`, "CreateNetwork", routed(2, "ovn.switch=ls-b", "ovn.router=lr-a", "tenant_id=b"))
		if after := p.list(); !slices.Equal(before, after) {
			t.Errorf("there was\n%q\nand is\n%q", before, after)
		}
		if p.records.Networks.Len() != 1 {
			t.Errorf("%d records", p.records.Networks.Len())
		}
	})
}

// Nothing is lost: a pass makes routing again, a sweep rebuilds it from Docker's
// word, and an empty database is filled.
func TestRoutingIsKept(t *testing.T) {
	requests := map[int]map[string]any{
		1: routed(1, "ovn.switch=ls-a", "ovn.router=lr-a", "ovn.transit_network=x"),
		2: routed(2, "ovn.role=transit", "ovn.external_gateway=192.168.2.254"),
		3: routed(3, "ovn.switch=ls-b", "ovn.router=lr-b", "ovn.transit_network=x"),
	}
	for name, harm := range map[string]func(t *testing.T, p *plugin){
		"all rows": func(_ *testing.T, p *plugin) { p.north.Clear("Logical_Switch", "Logical_Router") },
		"routers":  func(_ *testing.T, p *plugin) { p.north.Clear("Logical_Router") },
		"records": func(t *testing.T, p *plugin) {
			for i := range requests {
				if err := p.records.Networks.Delete(id(i)); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plugin) {
				p.learns(t)
				for i := range 3 {
					p.ok(t, "CreateNetwork", requests[i+1])
				}
				p.named(map[int]string{1: "a", 2: "x", 3: "b"})
				<-time.After(5 * time.Second)
				before := p.north.Dump()
				p.docker.mu.Lock()
				for i, r := range requests {
					n := p.docker.have.Networks[id(i)]
					data := r["IPv4Data"].([]map[string]any)[0]
					n.Options = r["Options"].(map[string]any)["com.docker.network.generic"].(map[string]string)
					n.Pools = []central.Pool{{Subnet: data["Pool"].(string), Gateway: strings.TrimSuffix(data["Gateway"].(string), "/24")}}
					p.docker.have.Networks[id(i)] = n
				}
				p.docker.mu.Unlock()
				harm(t, p)
				if err := p.reconciler.Pass(t.Context()); err != nil {
					t.Error(err)
				}
				if err := p.reconciler.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
				for i := range requests {
					n, err := p.records.Network(id(i))
					if err != nil || n.Name == "" || !n.IsTransit() && n.Transit == nil {
						t.Errorf("network %d is %+v, %v", i, n, err)
					}
				}
				if after := p.north.Dump(); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
			})
		})
	}
}

// A network that no record speaks of, and that Docker does not have, ends its
// use of routers too.
func TestOrphansOfRouting(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.learns(t)
		p.ok(t, "CreateNetwork", routed(1, "ovn.switch=ls-a", "ovn.router=lr-a", "ovn.transit_network=x"))
		p.ok(t, "CreateNetwork", routed(2, "ovn.role=transit"))
		p.ok(t, "CreateNetwork", routed(3, "ovn.switch=ls-b", "ovn.router=lr-a"))
		p.named(map[int]string{2: "x", 3: "b"})
		<-time.After(5 * time.Second)
		if err := p.records.Networks.Delete(id(1)); err != nil {
			t.Fatal(err)
		}
		if err := p.reconciler.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		p.there(t, false, "ls ls-a", "lrp lr-a:ls-a")
		p.there(t, true, "ls ls-b", "lr lr-a", "lrp lr-a:ls-b", "lrp lr-a:ls-transit-192.168.2.0-24")
		if dump := p.north.Dump(); strings.Contains(dump, topology.Owner+", network-"+id(1)) || strings.Contains(dump, "network-"+id(1)) {
			t.Errorf("a trace of it is in\n%s", dump)
		}
	})
}

// attachable makes a transit network and a VPC on it.
func attachable(t *testing.T, p *plugin) {
	t.Helper()
	p.learns(t)
	p.ok(t, "CreateNetwork", routed(2, "ovn.role=transit"))
	p.named(map[int]string{1: "a", 2: "x", 3: "b", 4: "again"})
	<-time.After(time.Second)
	p.ok(t, "CreateNetwork", routed(3, "ovn.switch=ls-b", "ovn.router=lr-b", "ovn.transit_network=x"))
	<-time.After(time.Minute)
}

// Whatever fails in making a VPC, or in removing it, the database then holds all
// of it or nothing.
func TestRoutedNetworkFailsAtEachStep(t *testing.T) {
	request := routed(1, "ovn.switch=ls-a", "ovn.router=lr-a", "ovn.transit_network=x")
	settled := func(p *plugin) string {
		later()
		<-time.After(time.Minute)
		return p.north.Dump()
	}
	made := ""
	eachStep(t, []string{inserts}, attachable, func(t *testing.T, p *plugin, _ string) {
		before := p.north.Dump()
		_, err := p.call(t.Context(), "CreateNetwork", request)
		if after := settled(p); err != nil && after != before {
			t.Errorf("%v left\n%s\nof\n%s", err, after, before)
		}
		p.onRun(nil)
		if err != nil {
			request["NetworkID"] = id(4)
			p.ok(t, "CreateNetwork", request)
			request["NetworkID"] = id(1)
		}
		if made = strings.ReplaceAll(settled(p), id(4), id(1)); !strings.Contains(made, "lr-a:ls-transit-192.168.2.0-24") {
			t.Errorf("not attached:\n%s", made)
		}
	})
	for _, way := range ways {
		for k := 1; k < 6; k++ {
			t.Run(fmt.Sprintf("removal, run %d %s", k, way.name), func(t *testing.T) {
				bubble(t, func(t *testing.T, p *plugin) {
					attachable(t, p)
					before := p.north.Dump()
					p.ok(t, "CreateNetwork", request)
					runs := 0
					p.onRun(func(_ context.Context, name string, _ [][]string) error {
						if runs++; runs != k {
							return nil
						}
						return way.err(name)
					})
					_, _ = p.call(t.Context(), "DeleteNetwork", request) // dockerd does not ask again
					if after := settled(p); after != before {
						t.Errorf("left\n%s\nof\n%s", after, before)
					}
				})
			})
		}
	}
}
