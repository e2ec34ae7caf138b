package link

import (
	"net/netip"
	"regexp"
	"strconv"
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

// Way is what is known of the way to an address of another host. That nobody answers means
// little: many hosts answer no ping, and others are just off.
type Way struct {
	Looked   bool // at all
	Answered bool // a ping
	// Takes is the size of the largest packet that the way takes, where it said that it
	// takes none of the size that was sent; 0 otherwise.
	Takes int
	// Refused is why datagrams to the port of tunnels are refused; "" where they may pass.
	Refused string
}

// Bad reports whether no tunnel goes this way.
func (w Way) Bad() bool { return w.Takes > 0 || w.Refused != "" }

var takes = regexp.MustCompile(`mtu ?= ?([0-9]{1,5})\b`)

// ReadTakes reads from what ping(8) printed, on both of its outputs, what the way takes.
func ReadTakes(printed string) int {
	m := takes.FindStringSubmatch(printed)
	if m == nil {
		return 0
	}
	size, _ := strconv.Atoi(m[1]) // digits only
	return size
}
