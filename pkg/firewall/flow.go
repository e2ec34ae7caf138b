package firewall

import (
	"net/netip"
	"strconv"
)

// ConntrackProgram is conntrack(8).
const ConntrackProgram = "conntrack"

// Flow selects connections over UDP that the kernel tracks. It translates the
// addresses of a connection as its first packet met the rules, so that one that is
// older than a rule never meets it: a client that asks again and again from one
// port would never get to the container.
type Flow struct {
	To   netip.AddrPort // where the first packet was sent; not valid: anywhere
	From netip.AddrPort // who answers; not valid: anybody
}

// Forget are conntrack's arguments to forget the connections (conntrack(8),
// FILTER PARAMETERS).
func (f Flow) Forget() []string {
	args := []string{"--delete", "--family", "ipv4", "--proto", "udp"}
	if f.To.IsValid() {
		args = append(args, "--orig-dst", f.To.Addr().String(), "--orig-port-dst", strconv.Itoa(int(f.To.Port())))
	}
	if f.From.IsValid() {
		args = append(args, "--reply-src", f.From.Addr().String(), "--reply-port-src", strconv.Itoa(int(f.From.Port())))
	}
	return args
}
