package hostport_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/hostport"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func some(protocol uint8, container uint16) hostport.Request {
	return hostport.Request{Port: topology.Port{Protocol: protocol, Host: loopback, Container: container}}
}

func TestHold(t *testing.T) {
	var h hostport.Holder
	got, err := h.Hold("a", some(topology.TCP, 80), some(topology.UDP, 53))
	if err != nil || len(got) != 2 || got[0].HostPort == 0 || got[1].HostPort == 0 {
		t.Fatal(got, err)
	}
	again, err := h.Hold("a", some(topology.TCP, 80))
	if err != nil || len(again) != 2 || again[0] != got[0] {
		t.Errorf("asked again, got %v, %v", again, err)
	}
	if _, err := h.Hold("b", hostport.Request{Port: got[0]}); !errors.Is(err, hostport.ErrTaken) {
		t.Errorf("a port of another endpoint: %v", err)
	}
	if owner := h.Owner(got[1]); owner != "a" {
		t.Errorf("owner %q", owner)
	}
	if err := hostport.Free(got[0]); !errors.Is(err, hostport.ErrTaken) {
		t.Errorf("a port that is held is free: %v", err)
	}
	if err := h.Release("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Hold("b", hostport.Request{Port: got[0]}); err != nil {
		t.Errorf("a port that was released: %v", err)
	}
	if err := h.Release("b"); err != nil {
		t.Fatal(err)
	}
}

func TestTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	r := some(topology.TCP, 80)
	r.HostPort = port
	var h hostport.Holder
	if _, err := h.Hold("a", some(topology.UDP, 53), r); !errors.Is(err, hostport.ErrTaken) {
		t.Errorf("a port of another program: %v", err)
	}
	if owner := h.Owner(topology.Port{Protocol: topology.UDP, HostPort: port}); owner != "" {
		t.Errorf("all or none, and %q has one", owner)
	}
	r.Last = port + 5
	got, err := h.Hold("a", r)
	if err != nil || got[0].HostPort <= port || got[0].HostPort > r.Last {
		t.Errorf("of a range: %v, %v", got, err)
	}
	if err := h.Release("a"); err != nil {
		t.Fatal(err)
	}
	r.Host = netip.MustParseAddr("192.0.2.1")
	if _, err := h.Hold("a", r); err == nil || errors.Is(err, hostport.ErrTaken) {
		t.Errorf("an address that the host does not have: %v", err)
	}
}
