package options

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	minVLAN, maxVLAN = 1, 4094

	// minMTU is what every IPv4 host must be able to receive (RFC 791); IPv6 needs 1280, which depends on the
	// subnets of the network and is checked where they are known. maxMTU is the usual limit of jumbo frames.
	minMTU, maxMTU = 576, 9216

	// Shorter leases would be a load, longer ones for ever; a year is what other servers stop at.
	minLease, maxLease = 60, 365 * 24 * 3600

	// maxName is a limit of ours; neither OVN nor Docker has one. It keeps argument lists and log lines bounded.
	maxName = 128

	// maxBridge is IFNAMSIZ less the final NUL: a bridge has an interface of its own name.
	maxBridge = 15

	// maxQuoted bounds how much of a bad value an error repeats.
	maxQuoted = 80
)

type addr = netip.Addr

// quote is %q for values from outside, shortened when somebody passes a whole file.
func quote(value string) string {
	if len(value) <= maxQuoted {
		return strconv.Quote(value)
	}
	return fmt.Sprintf("%q… (%d bytes)", value[:maxQuoted], len(value))
}

// name gives a parser for a string field whose value must pass check.
func name(field func(*Network) *string, check func(string) error) func(*Network, string) error {
	return func(n *Network, value string) error {
		if err := check(value); err != nil {
			return err
		}
		*field(n) = value
		return nil
	}
}

// plainName takes letters, digits, '.', '_' and '-', the first being a letter, digit or '_'.
//
// The rule is narrower than what OVN takes. A leading dash would be read as a flag and a leading '@' as a row of the
// same transaction; ':', '=', ',' and quotes are syntax in the values of ovs-vsctl(8).
func plainName(value string) error {
	if len(value) > maxName {
		return fmt.Errorf("%s is too long for a name: at most %d characters", quote(value), maxName)
	}
	for i := range len(value) {
		c := value[i]
		first := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
		if !first && (i == 0 || c != '.' && c != '-') {
			return fmt.Errorf("%s is not a usable name: letters, digits, '.', '_' and '-' only, beginning with a letter, digit or '_'", quote(value))
		}
	}
	if value == "" {
		return errors.New("a name cannot be empty")
	}
	return nil
}

// CheckTenant refuses what tenant_id cannot be.
func CheckTenant(value string) error { return plainName(value) }

// rowName is plainName for what names a row of OVN, which must not look like a UUID: ovn-nbctl(8) takes a UUID
// wherever it takes a name, and prefers it.
func rowName(value string) error {
	if err := plainName(value); err != nil {
		return err
	}
	if isUUID(value) {
		return fmt.Errorf("%q has the form of a UUID, which OVN would take for a row's id instead of its name; choose another name", value)
	}
	return nil
}

func isUUID(value string) bool {
	if len(value) != 36 {
		return false
	}
	for i := range len(value) {
		c := value[i] | 0x20
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if value[i] != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func bridgeName(value string) error {
	if err := rowName(value); err != nil {
		return err
	}
	if len(value) > maxBridge {
		return fmt.Errorf("%q is too long for a bridge: interface names have at most %d characters", value, maxBridge)
	}
	return nil
}

// dockerNetworkName excludes the names that Docker gives a meaning of its own: a container can be given no address
// on those networks.
func dockerNetworkName(value string) error {
	if err := plainName(value); err != nil {
		return err
	}
	if slices.Contains([]string{"host", "bridge", "none", "default"}, value) {
		return fmt.Errorf("%q is a network of Docker's own, on which OVN central can have no fixed address; choose another name", value)
	}
	return nil
}

// number takes plain decimal digits only: strconv.Atoi would also take "+5".
func number(field func(*Network) *int, what string, low, high int) func(*Network, string) error {
	return func(n *Network, value string) error {
		v, err := strconv.ParseUint(value, 10, 31)
		if err != nil || int(v) < low || int(v) > high {
			return fmt.Errorf("%s is not %s: want a number from %d to %d", quote(value), what, low, high)
		}
		*field(n) = int(v)
		return nil
	}
}

func boolean(field func(*Network) *bool) func(*Network, string) error {
	return func(n *Network, value string) error {
		v, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s is neither true nor false", quote(value))
		}
		*field(n) = v
		return nil
	}
}

func oneOf[T ~string](field func(*Network) *T, allowed ...T) func(*Network, string) error {
	return func(n *Network, value string) error {
		if !slices.Contains(allowed, T(value)) {
			words := make([]string, len(allowed))
			for i, a := range allowed {
				words[i] = strconv.Quote(string(a))
			}
			return fmt.Errorf("%s is not known: want %s", quote(value), strings.Join(words, ", "))
		}
		*field(n) = T(value)
		return nil
	}
}

// address takes an address that one host can own. An IPv4 address in IPv6 clothes becomes plain IPv4, because OVS
// compares addresses as text.
func address(field func(*Network) *addr) func(*Network, string) error {
	return func(n *Network, value string) error {
		a, err := parseAddr(value)
		if err != nil {
			return err
		}
		*field(n) = a
		return nil
	}
}

func parseAddr(value string) (addr, error) {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return addr{}, fmt.Errorf("%s is not an IP address: want the form 192.0.2.1 or 2001:db8::1, without a prefix length", quote(value))
	}
	if a = a.Unmap(); a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return addr{}, fmt.Errorf("%s is not the address of one host: the zero address, multicast, and addresses with a zone cannot be used", quote(value))
	}
	return a, nil
}

func nat(n *Network, value string) error {
	switch value {
	case NATHost:
		return nil
	case NATNone:
		n.NoNAT = true
		return nil
	}
	a, err := parseAddr(value)
	if err != nil || !a.Is4() {
		return fmt.Errorf("%s is not %q, %q or the IPv4 address of one host", quote(value), NATHost, NATNone)
	}
	n.SNAT = a
	return nil
}

func nameServers(n *Network, value string) error {
	for text := range strings.SplitSeq(value, ",") {
		a, err := parseAddr(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		n.DHCPDNS = append(n.DHCPDNS, a)
	}
	return nil
}

// domainName takes the names of RFC 1123, 2.1: letters, digits and '-' between dots.
func domainName(value string) error {
	const maxDomain = 253
	if len(value) > maxDomain {
		return fmt.Errorf("%s is too long for a domain name: at most %d characters", quote(value), maxDomain)
	}
	for label := range strings.SplitSeq(value, ".") {
		wrong := strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
		})
		if wrong || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%s is not a domain name: letters, digits and '-' between dots", quote(value))
		}
	}
	return nil
}

// subnet takes subnets with room for a gateway and two containers at least.
func subnet(n *Network, value string) error {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 29 {
		return fmt.Errorf("%s is not an IPv4 subnet with a prefix length from 8 to 29, such as 10.0.0.0/24", quote(value))
	}
	if p != p.Masked() {
		return fmt.Errorf("%q is an address in a subnet: want %q", value, p.Masked())
	}
	n.Subnet = p
	return nil
}
