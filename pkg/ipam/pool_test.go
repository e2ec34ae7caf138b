package ipam_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go4.org/netipx"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
)

func TestUsable(t *testing.T) {
	for subnet, want := range map[string]string{
		"10.0.0.0/24":        "10.0.0.1-10.0.0.254",
		"10.0.0.128/30":      "10.0.0.129-10.0.0.130",
		"10.0.0.0/31":        "10.0.0.0-10.0.0.1",
		"10.0.0.7/32":        "10.0.0.7-10.0.0.7",
		"fd00::/64":          "fd00::1-fd00::ffff:ffff:ffff:ffff",
		"fd00::4/126":        "fd00::5-fd00::7",
		"fd00::4/127":        "fd00::4-fd00::5",
		"fd00::4/128":        "fd00::4-fd00::4",
		"255.255.255.0/24":   "255.255.255.1-255.255.255.254",
		"255.255.255.255/32": "255.255.255.255-255.255.255.255",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if got := ipam.Usable(netip.MustParsePrefix(subnet)); got != netipx.MustParseIPRange(want) {
			t.Errorf("%s: got %s, want %s", subnet, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	for text, says := range map[string]string{
		"ovn,,10.0.0.0/24,":                      "",
		"ovn,tenant-a,10.0.0.0/24,10.0.0.128/25": "",
		"ovn,,fd00::/64,":                        "",
		"ovn,,10.0.0.1/24,":                      "not the name",
		"ovn,,10.0.0.0/24,10.0.0.129/25":         "not the name",
		"ovn,,10.0.0.0/24,10.0.1.0/25":           "not in subnet",
		"ovn,,10.0.0.0/24,10.0.0.0/16":           "not in subnet",
		"ovn,,0.0.0.0/0,":                        "too large",
		"ovn,,fd00::/8,":                         "too large",
		"LocalDefault/10.0.0.0/24":               "not the name",
		"":                                       "not the name",
		"ovn,a,b,c,d":                            "not the name",
	} {
		k, err := ipam.ParseKey(text)
		switch {
		case says == "" && (err != nil || k.String() != text):
			t.Errorf("%q: got %q, %v", text, k, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%q: the error is %v, want %q", text, err, says)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, text := range []string{"ovn,,10.0.0.0/24,", "ovn,a,fd00::/64,fd00::/80", "ovn,,10.0.0.0/33,", "ovn,,::ffff:10.0.0.0/120,", ","} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ipam.ParseKey(text)
		if err != nil {
			return
		}
		if again, err := ipam.ParseKey(k.String()); err != nil || again != k {
			t.Fatalf("%q is read as %+v, which is written as %q and read as %+v, %v", text, k, k, again, err)
		}
		p := ipam.Pool{Key: k}
		if span, ok := p.Lease(netip.Addr{}, nil, nil, nil); ok && (!k.Subnet.Contains(span.From()) || !k.Subnet.Contains(span.To())) {
			t.Fatalf("%q leases %s", text, span)
		}
	})
}

func TestTake(t *testing.T) {
	a, now := netip.MustParseAddr, time.Now()
	p := ipam.Pool{Key: key("10.0.0.0/24", "10.0.0.8/29"), Gateway: a("10.0.0.9"), Reserved: []netip.Addr{a("10.0.0.10")}}
	leased := []netipx.IPRange{netipx.MustParseIPRange("10.0.0.1-10.0.0.12"), netipx.MustParseIPRange("10.0.0.200-10.0.0.200")}
	for _, want := range []string{"10.0.0.8", "10.0.0.11", "10.0.0.12"} {
		if got, err := p.Take(netip.Addr{}, leased, now); err != nil || got != a(want) {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
	for asked, want := range map[string]error{"": ipam.ErrNotLeased, "10.0.0.201": ipam.ErrNotLeased, "10.0.0.9": ipam.ErrTaken, "10.0.0.11": ipam.ErrTaken, "10.0.0.200": nil, "10.0.0.2": nil, "10.0.0.10": nil} {
		address := netip.Addr{}
		if asked != "" {
			address = a(asked)
		}
		if _, err := p.Take(address, leased, now); !errors.Is(err, want) {
			t.Errorf("asked for %q: %v, want %v", asked, err, want)
		}
	}
	for _, asked := range []string{"10.0.1.1", "10.0.0.0", "10.0.0.255", "fd00::1"} {
		if _, err := p.Take(a(asked), leased, now); err == nil || errors.Is(err, ipam.ErrNotLeased) {
			t.Errorf("asked for %q: %v", asked, err)
		}
	}
	p.Release(a("10.0.0.11"))
	if got, err := p.Take(netip.Addr{}, leased, now); err != nil || got != a("10.0.0.11") {
		t.Errorf("what was released is not given again: %s, %v", got, err)
	}
}

func key(subnet, part string) ipam.Key {
	k := ipam.Key{Subnet: netip.MustParsePrefix(subnet)}
	if part != "" {
		k.Range = netip.MustParsePrefix(part)
	}
	return k
}

// Whatever hosts do, no address is given twice, none that is kept, none outside; and in the end all are given.
func TestHostsShareAPool(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		k := randomKey(rnd)
		t.Run(fmt.Sprintf("%d %s", seed, k), func(t *testing.T) { share(t, rnd, k) })
	}
}

func randomKey(rnd *rand.Rand) ipam.Key {
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256))}), 22+rnd.IntN(11))
	if rnd.IntN(2) == 0 {
		subnet = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(rnd.IntN(256)), 15: byte(rnd.IntN(256))}), 118+rnd.IntN(11))
	}
	k := ipam.Key{Subnet: subnet.Masked()}
	if rnd.IntN(3) == 0 {
		bits := subnet.Bits() + rnd.IntN(subnet.Addr().BitLen()-subnet.Bits()+1)
		k.Range = netip.PrefixFrom(subnet.Addr(), bits).Masked()
	}
	return k
}

func share(t *testing.T, rnd *rand.Rand, k ipam.Key) {
	t.Helper()
	gateway := ipam.First(k.Subnet)
	inRange := func(a netip.Addr) bool { return !k.Range.IsValid() || k.Range.Contains(a) }
	reserved := []netip.Addr{netipx.PrefixLastIP(k.Subnet)}
	hosts := make([]ipam.Pool, 1+rnd.IntN(4))
	leases := make([][]netipx.IPRange, len(hosts))
	for i := range hosts {
		hosts[i] = ipam.Pool{Key: k, Gateway: gateway, Reserved: reserved}
	}
	given := map[netip.Addr]bool{}
	var all []netipx.IPRange
	full := make([]bool, len(hosts))
	for step := 0; ; step++ {
		i := rnd.IntN(len(hosts))
		h := &hosts[i]
		if step < 500 && rnd.IntN(4) == 0 && len(h.Taken) > 0 {
			a := h.Addresses()[rnd.IntN(len(h.Taken))]
			h.Release(a)
			delete(given, a)
			continue
		}
		if step < 500 && rnd.IntN(20) == 0 {
			idle := h.Idle(leases[i])
			for _, r := range idle {
				for a := range h.Taken {
					if r.Contains(a) {
						t.Fatalf("%s is taken, and said to be idle", a)
					}
				}
			}
			leases[i], all = ipam.Without(leases[i], idle), ipam.Without(all, idle)
			if again := h.Idle(leases[i]); len(again) > 0 {
				t.Fatalf("of %v, which is what is not idle, %v is", leases[i], again)
			}
		}
		a, err := h.Take(netip.Addr{}, leases[i], time.Now())
		if errors.Is(err, ipam.ErrNotLeased) {
			span, ok := h.Lease(netip.Addr{}, leases[i], all, nil)
			if full[i] = !ok && step >= 500; ok {
				leases[i], all = append(leases[i], span), append(all, span)
			}
			done := step >= 500
			for _, f := range full {
				done = done && f
			}
			if done {
				break
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if given[a] || a == gateway || a == reserved[0] || !ipam.Usable(k.Subnet).Contains(a) || !inRange(a) {
			t.Fatalf("%s was given to host %d; given before: %v", a, i, given[a])
		}
		given[a] = true
	}
	want := 0
	for a := k.Subnet.Addr(); k.Subnet.Contains(a); a = a.Next() {
		if ipam.Usable(k.Subnet).Contains(a) && inRange(a) && a != gateway && a != reserved[0] {
			want++
		}
	}
	if len(given) != want {
		t.Errorf("%d addresses of %d were given", len(given), want)
	}
}

func TestSubnet(t *testing.T) {
	taken := map[netip.Prefix]bool{}
	in := netip.MustParsePrefix("255.255.254.0/23")
	for _, want := range []string{"255.255.254.0/24", "255.255.255.0/24", ""} {
		got, err := ipam.Subnet(in, 24, func(p netip.Prefix) bool { return taken[p] })
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("got %s, %v, want %q", got, err, want)
		}
		taken[got] = true
	}
}
