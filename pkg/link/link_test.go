package link_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
)

// What iproute2 6.1 prints.
const (
	addresses = `[{"ifindex":1,"ifname":"lo","mtu":65536,"addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},` +
		`{"ifindex":2,"ifname":"eth0","mtu":9000,"addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24},{"family":"inet6","local":"2001:db8::a","prefixlen":64}]},` +
		`{"ifindex":3,"ifname":"bare","mtu":1500,"addr_info":[]},{}]`
	routes = `[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"},{"dst":"172.17.0.0/16","dev":"docker0"},{"dst":"198.51.100.7","gateway":"192.0.2.1","dev":"eth0"},` +
		`{"type":"broadcast","dst":"192.0.2.255","dev":"eth0"},{"type":"multicast","dst":"ff00::/8","dev":"eth0"},{"dst":"2001:db8::/64","dev":"eth0"}]`
)

func TestParseAddresses(t *testing.T) {
	got, err := link.ParseAddresses([]byte(addresses))
	want := []link.Address{
		{Link: "lo", MTU: 65536, Prefix: netip.MustParsePrefix("127.0.0.1/8")},
		{Link: "eth0", MTU: 9000, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
		{Link: "eth0", MTU: 9000, Prefix: netip.MustParsePrefix("2001:db8::a/64")},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := link.ParseAddresses([]byte("nonsense")); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestParseRoutes(t *testing.T) {
	got, err := link.ParseRoutes([]byte(routes))
	want := []link.Route{
		{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Device: "docker0"},
		{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Via: netip.MustParseAddr("192.0.2.1"), Device: "eth0"},
		{Prefix: netip.MustParsePrefix("2001:db8::/64"), Device: "eth0"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestParseRouteSource(t *testing.T) {
	got, err := link.ParseRouteSource([]byte(`[{"dst":"172.30.0.5","dev":"br-1","prefsrc":"172.30.0.1","flags":[],"uid":0,"cache":[]}]`))
	if err != nil || got != netip.MustParseAddr("172.30.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := link.ParseRouteSource([]byte(`[{"dst":"x"}]`)); err == nil {
		t.Error("a route without a source was accepted")
	}
}
