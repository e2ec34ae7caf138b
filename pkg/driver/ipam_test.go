package driver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

const (
	gatewayType = "com.docker.network.gateway"
	ourSpace    = "ovs-container-network"
)

// pool asks for an address pool as dockerd does, and returns its id.
func (p *plugin) pool(t *testing.T, subnet, part, tenant string) string {
	t.Helper()
	options := map[string]string{}
	if tenant != "" {
		options["tenant_id"] = tenant
	}
	answer := p.ok(t, "IpamDriver.RequestPool", map[string]any{"AddressSpace": ourSpace, "Pool": subnet, "SubPool": part, "Options": options})
	id, _ := answer["PoolID"].(string)
	if got, _ := answer["Pool"].(string); subnet != "" && got != subnet {
		t.Errorf("the pool is %q, not %q", got, subnet)
	}
	return id
}

func (p *plugin) address(t *testing.T, pool, asked string) string {
	t.Helper()
	a, _ := p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": asked, "Options": map[string]string{}})["Address"].(string)
	return a
}

// given makes a network with addresses of the driver's, in the order of dockerd's requests.
func (p *plugin) given(t *testing.T, i int, name, subnet, tenant string) (pool string) {
	t.Helper()
	pool = p.pool(t, subnet, "", tenant)
	gateway, _ := p.ok(t, "IpamDriver.RequestAddress", map[string]any{
		"PoolID": pool, "Options": map[string]string{"RequestAddressType": gatewayType},
	})["Address"].(string)
	p.ok(t, "CreateNetwork", ours(i, name, subnet, gateway, tenant))
	return pool
}

func ours(i int, name, subnet, gateway, tenant string) map[string]any {
	n := network(i, name)
	n["IPv4Data"] = []map[string]any{{"AddressSpace": ourSpace, "Pool": subnet, "Gateway": gateway}}
	if tenant != "" {
		n["Options"].(map[string]any)["com.docker.network.generic"].(map[string]string)["tenant_id"] = tenant
	}
	return n
}

// attach makes an endpoint with an address that was given.
func (p *plugin) attach(t *testing.T, n, i int, address string) {
	t.Helper()
	e := endpoint(n, i, 0)
	e["Interface"] = map[string]string{"Address": address}
	p.ok(t, "CreateEndpoint", e)
}

func TestCapabilitiesOfIPAM(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		if c := p.ok(t, "IpamDriver.GetCapabilities", nil); c["RequiresRequestReplay"] != true || c["RequiresMACAddress"] != false {
			t.Errorf("capabilities are %v", c)
		}
		if s := p.ok(t, "IpamDriver.GetDefaultAddressSpaces", nil); s["LocalDefaultAddressSpace"] != ourSpace {
			t.Errorf("address spaces are %v", s)
		}
	})
}

func TestAddressesAreGiven(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		for i, want := range []string{"10.1.0.2/24", "10.1.0.3/24"} {
			a := p.address(t, pool, "")
			if a != want {
				t.Errorf("got %s, want %s", a, want)
			}
			p.attach(t, 1, 10+i, a)
		}
		if a := p.address(t, pool, "10.1.0.77"); a != "10.1.0.77/24" {
			t.Errorf("got %s", a)
		}
		p.fails(t, "is taken", "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.77"})
		p.fails(t, "the gateway's", "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.1"})
		p.fails(t, "not in subnet", "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.2.0.1"})
		p.fails(t, "is not the name of an address pool", "IpamDriver.RequestAddress", map[string]any{"PoolID": "x"})
		p.ok(t, "DeleteEndpoint", map[string]any{"NetworkID": id(1), "EndpointID": id(10)})
		p.ok(t, "IpamDriver.ReleaseAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.2"})
		p.ok(t, "IpamDriver.ReleaseAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.2"}) // again
		if a := p.address(t, pool, ""); a != "10.1.0.2/24" {
			t.Errorf("what was given back is not given again: %s", a)
		}
	})
}

// A host gives addresses that it has leased while the database is away, and no others.
func TestAddressesWhileOVNIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		first := p.address(t, pool, "")
		p.host.setAway(true)
		seen := map[string]bool{first: true}
		for {
			answer, err := p.call(t.Context(), "IpamDriver.RequestAddress", map[string]any{"PoolID": pool})
			if err != nil {
				if len(seen) < 10 || !strings.Contains(err.Error(), "does not answer") && !strings.Contains(err.Error(), "refused") {
					t.Errorf("after %d addresses: %v", len(seen), err)
				}
				break
			}
			a := answer["Address"].(string)
			if seen[a] {
				t.Fatalf("%s was given twice", a)
			}
			seen[a] = true
		}
		p.host.setAway(false)
		later()
		p.address(t, pool, "")
	})
}

// The first address that there is no lease for waits a while for the database, no other one does, and a database that is
// back by then gives it.
func TestAddressWaitsForOVN(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		exhaust := func() (waited time.Duration) {
			p.host.setAway(true)
			for {
				took := stopwatch()
				if _, err := p.call(t.Context(), "IpamDriver.RequestAddress", map[string]any{"PoolID": pool}); err != nil {
					return took()
				}
			}
		}
		if waited := exhaust(); waited < 10*time.Second || waited > 15*time.Second {
			t.Errorf("the first one waited %s", waited)
		}
		if waited := exhaust(); waited > time.Second {
			t.Errorf("the next one waited %s", waited)
		}
		p.host.setAway(false)
		later()
		p.address(t, pool, "")

		p.host.setAway(true)
		time.AfterFunc(6*time.Second, func() { p.host.setAway(false) })
		took := stopwatch()
		for took() == 0 { // it is back once one has waited
			p.address(t, pool, "")
		}
		if took() > 10*time.Second {
			t.Errorf("an address came after %s", took())
		}
	})
}

func TestPools(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		if again := p.pool(t, "10.1.0.0/24", "", ""); again != pool {
			t.Errorf("asked for again, it is %q and was %q", again, pool)
		}
		p.fails(t, "overlaps with 10.1.0.0/24", "IpamDriver.RequestPool", map[string]any{"Pool": "10.1.0.128/25"})
		p.fails(t, "unknown --ipam-opt", "IpamDriver.RequestPool", map[string]any{"Pool": "10.2.0.0/24", "Options": map[string]string{"x": "y"}})
		p.fails(t, "not a usable name", "IpamDriver.RequestPool", map[string]any{"Pool": "10.2.0.0/24", "Options": map[string]string{"tenant_id": "a,b"}})
		p.fails(t, "is that of network", "CreateNetwork", ours(2, "ls2", "10.1.0.0/24", "10.1.0.1/24", ""))
		// dockerd takes back what it has asked for; the first network keeps it.
		p.ok(t, "IpamDriver.ReleaseAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.1"})
		p.ok(t, "IpamDriver.ReleasePool", map[string]any{"PoolID": pool})
		if a := p.address(t, pool, ""); a != "10.1.0.2/24" {
			t.Errorf("got %s", a)
		}
		red, blue := p.given(t, 3, "ls3", "10.1.0.0/24", "red"), p.given(t, 4, "ls4", "10.1.0.0/24", "blue")
		if red == blue || p.address(t, red, "") != p.address(t, blue, "") {
			t.Error("two tenants do not have the same addresses")
		}
		p.pool(t, "10.9.0.0/24", "", "green")
		p.fails(t, "give both the same", "CreateNetwork", ours(5, "ls5", "10.9.0.0/24", "10.9.0.1/24", ""))
		// Docker has the pool given back before it has the network removed.
		p.ok(t, "IpamDriver.ReleasePool", map[string]any{"PoolID": pool})
		p.ok(t, "DeleteNetwork", map[string]any{"NetworkID": id(1)})
		p.given(t, 6, "ls6", "10.1.0.0/25", "")
		auto := p.pool(t, "", "", "")
		if other := p.pool(t, "", "", ""); !strings.Contains(auto, "10.201.0.0/24") || !strings.Contains(other, "10.201.1.0/24") {
			t.Errorf("chosen: %s, %s", auto, other)
		}
		if v6, _ := p.ok(t, "IpamDriver.RequestPool", map[string]any{"V6": true})["Pool"].(string); !strings.HasPrefix(v6, "fd") || !strings.HasSuffix(v6, "/64") {
			t.Errorf("chosen: %s", v6)
		}
	})
}

// Auxiliary addresses are asked for before there is a network, and never given to a container.
func TestAuxiliaryAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.pool(t, "10.1.0.0/28", "10.1.0.4/30", "")
		p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.9", "Options": map[string]string{"RequestAddressType": gatewayType}})
		p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.5"})
		n := ours(1, "ls", "10.1.0.0/28", "10.1.0.9/28", "")
		n["IPv4Data"].([]map[string]any)[0]["AuxAddresses"] = map[string]string{"printer": "10.1.0.5/28"}
		p.ok(t, "CreateNetwork", n)
		for range 2 { // dockerd asks again when it has restarted
			p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.9", "Options": map[string]string{"RequestAddressType": gatewayType}})
			if a := p.address(t, pool, "10.1.0.5"); a != "10.1.0.5/28" {
				t.Errorf("got %s", a)
			}
		}
		for _, want := range []string{"10.1.0.4/28", "10.1.0.6/28", "10.1.0.7/28"} {
			if got := p.address(t, pool, ""); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		p.fails(t, "10.1.0.0/28 (--ip-range 10.1.0.4/30) is full", "IpamDriver.RequestAddress", map[string]any{"PoolID": pool})
	})
}

// What the files say of who has which address outlives the process, and what they do not say is learned from the endpoints.
func TestAddressesAfterARestart(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("pool's file lost %t", lost), func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plugin) {
				pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
				for i := range 3 {
					p.attach(t, 1, 10+i, p.address(t, pool, ""))
				}
				if lost {
					for file := range p.records.Pools.List() {
						if err := p.records.Pools.Delete(file); err != nil {
							t.Fatal(err)
						}
					}
				}
				p.restart(t)
				close(p.ready)
				p.serve(t, nil)
				if a := p.address(t, pool, ""); a != "10.1.0.5/24" {
					t.Errorf("got %s", a)
				}
				p.fails(t, "is taken", "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.3"})
			})
		})
	}
}

// An address whose endpoint never came, because dockerd was killed in between, is given again after a while.
func TestUnusedAddressesAreCollected(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		p.attach(t, 1, 10, p.address(t, pool, ""))
		p.address(t, pool, "")
		stale := p.pool(t, "10.7.0.0/24", "", "")
		collect := func() int {
			gone, err := p.records.CollectAddresses(t.Context(), func(string) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			return len(gone)
		}
		if n := collect(); n != 0 {
			t.Errorf("%d addresses were collected at once", n)
		}
		<-time.After(6 * time.Minute)
		if n := collect(); n != 1 {
			t.Errorf("%d addresses were collected, not the one", n)
		}
		if a := p.address(t, pool, ""); a != "10.1.0.3/24" {
			t.Errorf("got %s", a)
		}
		for _, r := range p.records.Pools.List() {
			if r.Data.String() == stale {
				t.Error("a pool that no network ever had is kept")
			}
			if r.Phase != store.Ready {
				t.Errorf("%s is %s", r.Data, r.Phase)
			}
		}
	})
}
