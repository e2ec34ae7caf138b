package driver_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// refuses asks for an address that is not to be given.
func (p *plugin) refuses(t *testing.T, want, pool, address string, gateway bool) {
	t.Helper()
	options := map[string]string{}
	if gateway {
		options["RequestAddressType"] = gatewayType
	}
	p.fails(t, want, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Address": address, "Options": options})
}

// A second network on the subnet of the first is refused, and dockerd then takes back all that it has asked for:
// that takes nothing from the first.
func TestASecondNetworkTakesNothingFromTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		a := p.address(t, pool, "")
		p.attach(t, 1, 10, a)
		again := p.pool(t, "10.1.0.0/24", "10.1.0.0/28", "")
		p.refuses(t, "cannot be the gateway's", again, "10.1.0.2", true)
		p.refuses(t, "cannot be the gateway's", again, "10.1.0.77", true)
		p.refuses(t, "is taken", again, "10.1.0.2", false)
		p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": again, "Address": "10.1.0.1", "Options": map[string]string{"RequestAddressType": gatewayType}})
		p.address(t, again, "10.1.0.200")
		p.fails(t, "is that of network", "CreateNetwork", ours(2, "ls2", "10.1.0.0/24", "10.1.0.1/24", ""))
		for _, address := range []string{"10.1.0.1", "10.1.0.2", "10.1.0.200"} {
			p.ok(t, "IpamDriver.ReleaseAddress", map[string]any{"PoolID": again, "Address": address})
		}
		p.ok(t, "IpamDriver.ReleasePool", map[string]any{"PoolID": again})
		if got := p.address(t, pool, ""); got != "10.1.0.3/24" {
			t.Errorf("after it, %s is given", got)
		}
		p.refuses(t, "the gateway's", pool, "10.1.0.1", false)
		p.address(t, pool, "10.1.0.200")
	})
}

// An auxiliary address that a container has been given by --ip is no other container's.
func TestAuxiliaryAddressesAreGivenOnce(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.pool(t, "10.1.0.0/24", "", "")
		p.address(t, pool, "10.1.0.5")
		p.ok(t, "IpamDriver.RequestAddress", map[string]any{"PoolID": pool, "Options": map[string]string{"RequestAddressType": gatewayType}})
		p.ok(t, "CreateNetwork", ours(1, "ls", "10.1.0.0/24", "10.1.0.1/24", ""))
		p.attach(t, 1, 10, p.address(t, pool, "10.1.0.5"))
		p.refuses(t, "is that of endpoint", pool, "10.1.0.5", false)
		p.ok(t, "DeleteEndpoint", map[string]any{"NetworkID": id(1), "EndpointID": id(10)})
		p.address(t, pool, "10.1.0.5")
	})
}

// A network that is refused leaves no pool bound to it.
func TestARefusedNetworkHasNoPools(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.pool(t, "10.1.0.0/24", "", "")
		p.pool(t, "fd01::/64", "", "red")
		n := ours(1, "ls", "10.1.0.0/24", "10.1.0.1/24", "")
		n["IPv6Data"] = []map[string]any{{"AddressSpace": ourSpace, "Pool": "fd01::/64", "Gateway": "fd01::1/64"}}
		p.fails(t, "give both the same", "CreateNetwork", n)
		p.given(t, 2, "ls2", "10.1.0.0/24", "")
	})
}

// The subnet of a network whose pool's file was lost is not free.
func TestALostPoolIsNotFree(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.201.0.0/24", "")
		p.attach(t, 1, 10, p.address(t, pool, ""))
		for file := range p.records.Pools.List() {
			if err := p.records.Pools.Delete(file); err != nil {
				t.Fatal(err)
			}
		}
		p.fails(t, "overlaps with 10.201.0.0/24", "IpamDriver.RequestPool", map[string]any{"Pool": "10.201.0.128/25"})
		if auto := p.pool(t, "", "", ""); auto != "ovn,,10.201.1.0/24," {
			t.Errorf("chosen: %s", auto)
		}
		// A range is known to Docker alone.
		ranged := p.pool(t, "10.201.0.0/24", "10.201.0.16/28", "")
		if a := p.address(t, ranged, ""); a != "10.201.0.16/24" {
			t.Errorf("got %s", a)
		}
	})
}

// Pools are chosen for several networks at once, and no two get the same.
func TestPoolsAreChosenAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		var mu sync.Mutex
		chosen := map[string]bool{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				pool := p.pool(t, "", "", "")
				mu.Lock()
				defer mu.Unlock()
				if chosen[pool] {
					t.Errorf("%s was chosen twice", pool)
				}
				chosen[pool] = true
			})
		}
		all.Wait()
	})
}

// An address that turns out to be somebody's who has not leased it is not offered at once again.
func TestForeignAddressesAreAvoided(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/24", "")
		p.attach(t, 1, 10, p.address(t, pool, ""))
		p.host.mu.Lock()
		p.host.north.AddPort("ls", "by-hand")
		p.host.north.Set("Logical_Switch_Port", "by-hand", "addresses", "0a:00:00:00:00:01 10.1.0.3")
		p.host.mu.Unlock()
		a := p.address(t, pool, "")
		e := endpoint(1, 11, 0)
		e["Interface"] = map[string]string{"Address": a}
		p.fails(t, "duplicate", "CreateEndpoint", e)
		p.ok(t, "IpamDriver.ReleaseAddress", map[string]any{"PoolID": pool, "Address": "10.1.0.3"})
		if got := p.address(t, pool, ""); a != "10.1.0.3/24" || got != "10.1.0.4/24" {
			t.Errorf("first %s, then %s", a, got)
		}
	})
}

// What a host has leased and does not need any more is given back, but for a first reserve.
func TestIdleLeasesAreGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		pool := p.given(t, 1, "ls", "10.1.0.0/20", "")
		leased := func() (count int) {
			n, err := p.records.Network(id(1))
			if err != nil {
				t.Fatal(err)
			}
			for _, span := range n.Leases {
				for a := span.From(); a != span.To().Next(); a = a.Next() {
					count++
				}
			}
			return count
		}
		var all []string
		for range 300 {
			all = append(all, p.address(t, pool, ""))
		}
		if n := leased(); n < 300 {
			t.Fatalf("%d addresses are leased", n)
		}
		p.attach(t, 1, 10, all[299])
		<-time.After(6 * time.Minute) // nobody has made endpoints of the rest
		collect := func() {
			if _, err := p.records.CollectAddresses(t.Context(), func(string) bool { return false }); err != nil {
				t.Fatal(err)
			}
		}
		collect()
		collect()
		if n := leased(); n != 33 {
			t.Errorf("%d addresses stay leased, not a reserve of 32 and the one that is taken", n)
		}
		seen := map[string]bool{all[299]: true}
		for range 100 {
			a := p.address(t, pool, "")
			if seen[a] {
				t.Fatalf("%s was given twice", a)
			}
			seen[a] = true
		}
	})
}

// A pool whose network has gone without a word, and left no record, goes too.
func TestPoolsOfGoneNetworksAreCollected(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.given(t, 1, "ls", "10.1.0.0/24", "")
		if err := p.records.Networks.Delete(id(1)); err != nil {
			t.Fatal(err)
		}
		for i, gone := range []bool{false, true} {
			<-time.After(6 * time.Minute)
			if _, err := p.records.CollectAddresses(t.Context(), func(string) bool { return gone }); err != nil {
				t.Fatal(err)
			}
			if n := len(p.records.Pools.List()); n != 1-i {
				t.Errorf("with Docker's network gone %t, there are %d pools: %s", gone, n, fmt.Sprint(p.records.Pools.List()))
			}
		}
	})
}
