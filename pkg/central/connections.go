package central

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// candidates are the subnets of an overlay network that is made here, in order
// of preference.
var candidates = []netip.Prefix{
	netip.MustParsePrefix("172.30.0.0/24"),
	netip.MustParsePrefix("172.31.0.0/24"),
	netip.MustParsePrefix("192.168.200.0/24"),
	netip.MustParsePrefix("192.168.201.0/24"),
}

// centralAddress returns the address of OVN central in a subnet: the fifth.
func centralAddress(subnet netip.Prefix) (netip.Addr, error) {
	a := subnet.Masked().Addr()
	for range 5 {
		a = a.Next()
	}
	// The last address of an IPv4 subnet is for broadcasts.
	if !a.IsValid() || !subnet.Contains(a.Next()) {
		return netip.Addr{}, fmt.Errorf("subnet %s is too small for OVN central, which has its fifth address: use a /29 or larger", subnet)
	}
	return a, nil
}

// follow returns the connections asked for, moved to where OVN central is. A
// host that auto-create could never have meant is an error: a second central
// beside the one that somebody runs elsewhere would split the network in two.
func follow(r Request, central netip.Addr) (Connections, error) {
	nb, err := move("ovn.nb_connection", r.NB, central)
	if err != nil {
		return Connections{}, err
	}
	sb, err := move("ovn.sb_connection", r.SB, central)
	if err != nil {
		return Connections{}, err
	}
	if nb.port != northPort || sb.port != southPort {
		return Connections{}, fmt.Errorf("auto-create makes OVN central with its databases on ports %s and %s: ovn.nb_connection %q and ovn.sb_connection %q name others", northPort, southPort, r.NB, r.SB)
	}
	return Connections{NB: nb.String(), SB: sb.String()}, nil
}

// The ports of OVN's databases (ovn-nb(5), ovn-sb(5)).
const (
	northPort = "6641"
	southPort = "6642"
)

type endpoint struct{ host, port string }

func (e endpoint) String() string { return "tcp:" + net.JoinHostPort(e.host, e.port) }

func move(option, conn string, central netip.Addr) (endpoint, error) {
	rest, tcp := strings.CutPrefix(conn, "tcp:")
	if !tcp || strings.Contains(rest, ",") {
		return endpoint{}, fmt.Errorf("%s %q does not answer, and auto-create makes one OVN central, by tcp: name a single tcp: address, or start that one", option, conn)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return endpoint{}, fmt.Errorf("reading %s %q: %w", option, conn, err)
	}
	asked, err := netip.ParseAddr(host)
	if err != nil || asked != central && !slices.ContainsFunc(candidates, func(p netip.Prefix) bool {
		a, err := centralAddress(p)
		return err == nil && a == asked
	}) {
		return endpoint{}, fmt.Errorf("%s %q does not answer, and auto-create can provide OVN central only at %s: name that address, or start the one at %q", option, conn, central, host)
	}
	return endpoint{host: central.String(), port: port}, nil
}

// free returns the candidates that no route of the host covers. Routes wider
// than the widest private network, a /8, are ways out and not networks: VPNs
// set 0.0.0.0/1 and 128.0.0.0/1 in place of a default route.
func free(routes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(candidates), func(p netip.Prefix) bool {
		return slices.ContainsFunc(routes, func(r netip.Prefix) bool { return r.Bits() >= 8 && r.Overlaps(p) })
	})
}
