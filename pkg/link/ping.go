package link

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Ping returns the arguments of ping(8) that send one packet of a size in bytes, its IP
// header included, which no router may cut into pieces, and wait a second for the answer.
func Ping(from, to netip.Addr, size int) []string {
	header := 20 + 8 // IPv4, ICMP
	if to.Is6() {
		header += 20
	}
	return []string{"-n", "-c", "1", "-W", "1", "-M", "do", "-s", strconv.Itoa(max(0, size-header)), "-I", from.String(), to.String()}
}

// Way is what is known of the way to another host.
type Way struct {
	Answered bool
	// Takes is the size of the largest packet that the way takes, where it said that it
	// takes none of the size that was sent; 0 otherwise.
	Takes int
	// Refused is what a host on the way, or this one, said when it took no packet at all;
	// "" otherwise. That nobody answers means nothing: many do not answer, or are just off.
	Refused string
}

var (
	takes = regexp.MustCompile(`mtu ?= ?([0-9]+)`)
	// As ping(8) prints the codes of ICMP and ICMPv6, and the errors of this host's own kernel.
	refusals = regexp.MustCompile(`(?i)(destination )?(net|protocol|port) unreachable|(net|host|administratively) prohibited|packet filtered|network is unreachable|no route\b|operation not permitted`)
)

// ReadPing reads what ping(8) printed, on both of its outputs.
func ReadPing(answered bool, printed string) Way {
	w := Way{Answered: answered}
	if answered {
		return w
	}
	if m := takes.FindStringSubmatch(printed); m != nil {
		w.Takes, _ = strconv.Atoi(m[1]) // digits only; one that is too long is none
		return w
	}
	w.Refused = strings.ToLower(refusals.FindString(printed))
	return w
}
