package firewall

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
)

// ConntrackProgram is conntrack(8).
const ConntrackProgram = "conntrack"

// Flow selects connections that the kernel tracks: those over UDP to To or From or, if
// it is valid, all that come from Of. The kernel translates the addresses of a
// connection as its first packet met the rules, so that one that is older than a rule
// never meets it: a client that asks again and again from one port would never get to
// the container, and a container that pings with one number never out.
type Flow struct {
	To   netip.AddrPort // where the first packet was sent; not valid: anywhere
	From netip.AddrPort // who answers; not valid: anybody
	Of   netip.Prefix   // where the first packet came from
	// Untranslated is of those from Of whose addresses stay what they are.
	Untranslated bool
}

func (f Flow) family() []string {
	if f.To.Addr().Is6() || f.From.Addr().Is6() || f.Of.Addr().Is6() {
		return []string{"--family", "ipv6"}
	}
	return []string{"--family", "ipv4"}
}

// ofHost selects what the host's own packet filter has seen: connections of OVN's are
// in zones of theirs.
var ofHost = []string{"--zone", "0"}

// Look are conntrack's arguments to list the connections from Of.
func (f Flow) Look() []string {
	return slices.Concat([]string{"--dump"}, f.family(), ofHost, []string{"--orig-src", f.Of.String()})
}

// entry is what conntrack prints of a connection: where its first packet came from, and
// where the answer goes.
var entry = regexp.MustCompile(`(?m)^.*?\bsrc=(\S+).*?\bsrc=\S+ dst=(\S+)`)

// Narrow returns the flows of single addresses that are in a list of those from Of:
// conntrack compares the address of an answer with an address only.
func (f Flow) Narrow(list []byte) []Flow {
	var all []Flow
	for _, m := range entry.FindAllSubmatch(list, -1) {
		from, err := netip.ParseAddr(string(m[1]))
		one := Flow{Of: netip.PrefixFrom(from, from.BitLen()), Untranslated: true}
		if err == nil && string(m[1]) == string(m[2]) && f.Of.Contains(from) && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// Forget are conntrack's arguments to forget the connections (conntrack(8),
// FILTER PARAMETERS).
func (f Flow) Forget() []string {
	args := slices.Concat([]string{"--delete"}, f.family(), ofHost)
	if f.Of.IsValid() {
		args = append(args, "--orig-src", f.Of.String())
		if f.Untranslated {
			args = append(args, "--reply-dst", f.Of.Addr().String())
		}
		return args
	}
	args = append(args, "--proto", "udp")
	if f.To.IsValid() {
		args = append(args, "--orig-dst", f.To.Addr().String(), "--orig-port-dst", strconv.Itoa(int(f.To.Port())))
	}
	if f.From.IsValid() {
		args = append(args, "--reply-src", f.From.Addr().String(), "--reply-port-src", strconv.Itoa(int(f.From.Port())))
	}
	return args
}
