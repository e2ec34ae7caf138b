package central

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

func TestCentralAddressIsTheFifth(t *testing.T) {
	for subnet, want := range map[string]string{
		"172.30.0.0/24":    "172.30.0.5",
		"10.200.0.0/16":    "10.200.0.5",
		"10.200.0.128/25":  "10.200.0.133",
		"10.200.3.77/22":   "10.200.0.5", // host bits are of no account
		"10.0.0.8/29":      "10.0.0.13",
		"10.0.0.0/30":      "",
		"10.0.0.0/32":      "",
		"255.255.255.0/24": "255.255.255.5",
	} {
		got, err := centralAddress(netip.MustParsePrefix(subnet))
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "/29") {
				t.Errorf("%s: address %s, error %v, want an error that says /29", subnet, got, err)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", subnet, got, err, want)
		}
	}
}

func TestFollow(t *testing.T) {
	const moved = "tcp:172.31.0.5:6641 tcp:172.31.0.5:6642"
	for _, tc := range []struct{ name, nb, sb, central, want, err string }{
		{"where it is", "tcp:172.31.0.5:6641", "tcp:172.31.0.5:6642", "172.31.0.5", moved, ""},
		{"first candidate was taken", "tcp:172.30.0.5:6641", "tcp:172.30.0.5:6642", "172.31.0.5", moved, ""},
		{"two candidates", "tcp:172.30.0.5:6641", "tcp:192.168.200.5:6642", "172.31.0.5", moved, ""},
		{"custom network, its address", "tcp:10.200.0.5:6641", "tcp:10.200.0.5:6642", "10.200.0.5", "tcp:10.200.0.5:6641 tcp:10.200.0.5:6642", ""},
		{"custom network, default address", "tcp:172.30.0.5:6641", "tcp:172.30.0.5:6642", "10.200.0.5", "tcp:10.200.0.5:6641 tcp:10.200.0.5:6642", ""},
		{"a candidate's other address", "tcp:172.30.0.6:6641", "tcp:172.30.0.5:6642", "172.30.0.5", "", `ovn.nb_connection "tcp:172.30.0.6:6641"`},
		{"somebody's central", "tcp:192.0.2.7:6641", "tcp:192.0.2.7:6642", "172.30.0.5", "", `only at 172.30.0.5`},
		{"somebody's southbound", "tcp:172.30.0.5:6641", "tcp:192.0.2.7:6642", "172.30.0.5", "", `ovn.sb_connection "tcp:192.0.2.7:6642"`},
		{"host name", "tcp:ovn.example:6641", "tcp:172.30.0.5:6642", "172.30.0.5", "", `"ovn.example"`},
		{"IPv6", "tcp:[::1]:6641", "tcp:[::1]:6642", "172.30.0.5", "", `"::1"`},
		{"cluster", "tcp:172.30.0.5:6641,tcp:172.31.0.5:6641", "tcp:172.30.0.5:6642", "172.30.0.5", "", "single tcp: address"},
		{"TLS", "ssl:172.30.0.5:6641", "ssl:172.30.0.5:6642", "172.30.0.5", "", "single tcp: address"},
		{"no port", "tcp:172.30.0.5", "tcp:172.30.0.5:6642", "172.30.0.5", "", "missing port"},
		{"other ports", "tcp:172.30.0.5:16641", "tcp:172.30.0.5:16642", "172.30.0.5", "", "ports 6641 and 6642"},
		{"ports changed about", "tcp:172.30.0.5:6642", "tcp:172.30.0.5:6641", "172.30.0.5", "", "ports 6641 and 6642"},
	} {
		got, err := follow(Request{NB: tc.nb, SB: tc.sb}, netip.MustParseAddr(tc.central))
		switch {
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.err)
		case tc.err == "" && (err != nil || got.NB+" "+got.SB != tc.want):
			t.Errorf("%s: got %v, %v, want %s", tc.name, got, err, tc.want)
		}
	}
}

func TestFreeSubnets(t *testing.T) {
	for _, tc := range []struct{ name, routes, want string }{
		{"nothing routed", "", "172.30.0.0/24 172.31.0.0/24 192.168.200.0/24 192.168.201.0/24"},
		{"exactly one", "172.30.0.0/24", "172.31.0.0/24 192.168.200.0/24 192.168.201.0/24"},
		{"one address inside", "172.31.0.9/32", "172.30.0.0/24 192.168.200.0/24 192.168.201.0/24"},
		{"a company's private networks", "172.16.0.0/12 192.168.0.0/16", ""},
		{"a VPN in place of the default route", "0.0.0.0/1 128.0.0.0/1", "172.30.0.0/24 172.31.0.0/24 192.168.200.0/24 192.168.201.0/24"},
		{"IPv6 beside", "fd00::/8 ::1/128", "172.30.0.0/24 172.31.0.0/24 192.168.200.0/24 192.168.201.0/24"},
	} {
		var routes []netip.Prefix
		for _, r := range strings.Fields(tc.routes) {
			routes = append(routes, netip.MustParsePrefix(r))
		}
		var got []string
		for _, p := range free(routes) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestOverlayIsNotMadeBesideAnotherCentral(t *testing.T) {
	on := func(names ...string) *container.InspectResponse {
		s := &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}}
		for _, n := range names {
			s.Networks[n] = &network.EndpointSettings{}
		}
		return &container.InspectResponse{NetworkSettings: s}
	}
	asked := Request{NB: "tcp:172.30.0.5:6641", SB: "tcp:172.30.0.5:6642", Overlay: "transit-overlay"}
	for _, tc := range []struct {
		name string
		have *container.InspectResponse
		want string
	}{
		{"no container", nil, ""},
		{"on a network of that name, which was removed", on("transit-overlay"), ""},
		{"on no network", on(), ""},
		{"elsewhere", on("bridge"), `ovn.transit_overlay_network=bridge`},
	} {
		err := couldMake(asked, tc.have)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}
