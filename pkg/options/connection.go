package options

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func connection(field func(*Network) *string) func(*Network, string) error {
	return func(n *Network, value string) error {
		c, err := ParseConnection(value)
		if err != nil {
			return err
		}
		*field(n) = c
		return nil
	}
}

// ParseConnection checks an OVSDB connection list, "tcp:HOST:PORT[,tcp:HOST:PORT…]" or the same with ssl:, and gives
// its canonical form: no spaces, host names in lower case, addresses as net/netip writes them, duplicates dropped. HOST
// is an IPv4 address, an IPv6 address in brackets, or a host name (ovsdb(7), "Active OVSDB Connections").
//
// The port has no default here although OVSDB has one (6640): NB and SB of OVN are never found there. Nor is unix:
// taken: the same string is given to ovn-controller, which may run on another host or in another container.
func ParseConnection(value string) (string, error) {
	var list []string
	for part := range strings.SplitSeq(value, ",") {
		c, err := parseRemote(strings.TrimSpace(part))
		if err != nil {
			return "", err
		}
		if len(list) > 0 && scheme(c) != scheme(list[0]) {
			return "", fmt.Errorf("%s mixes tcp: and ssl:; use one of them", quote(value))
		}
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return strings.Join(list, ","), nil
}

func parseRemote(value string) (string, error) {
	kind, rest, ok := strings.Cut(value, ":")
	switch {
	case ok && (kind == "tcp" || kind == "ssl"):
	case ok && kind == "unix":
		return "", fmt.Errorf("%s is a unix socket, which ovn-controller on another host or in another container cannot reach: want tcp:HOST:PORT", quote(value))
	default:
		return "", fmt.Errorf("%s is not an OVSDB connection: want tcp:HOST:PORT or ssl:HOST:PORT, several separated by commas", quote(value))
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return "", fmt.Errorf("%s lacks a host or a port: want tcp:HOST:PORT, with an IPv6 address in brackets", quote(value))
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", fmt.Errorf("%s has no usable port: want a number from 1 to 65535", quote(value))
	}
	bracketed := strings.HasPrefix(rest, "[")
	host, err = parseHost(host, bracketed)
	if err != nil {
		return "", fmt.Errorf("%s: %w", quote(value), err)
	}
	return kind + ":" + net.JoinHostPort(host, strconv.FormatUint(number, 10)), nil
}

func parseHost(host string, bracketed bool) (string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		a, err := parseAddr(host)
		if err != nil {
			return "", err
		}
		return a.String(), nil
	}
	if bracketed {
		return "", fmt.Errorf("%s in brackets is not an IPv6 address", quote(host))
	}
	return hostName(host)
}

// hostName follows RFC 1123 with underscores, which container names have. A last label of digits only is refused: it is
// an IPv4 address with a mistake in it (256.1.1.1), which no DNS would ever answer.
func hostName(host string) (string, error) {
	if len(host) > 253 {
		return "", errors.New("the host name is longer than 253 characters")
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return "", fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "", fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
	}
	return host, nil
}

// DialAddresses gives the HOST:PORT pairs of a canonical connection list, in the form that net.Dial takes.
func DialAddresses(connection string) []string {
	var list []string
	for part := range strings.SplitSeq(connection, ",") {
		if _, address, ok := strings.Cut(part, ":"); ok {
			list = append(list, address)
		}
	}
	return list
}

// scheme is "tcp" or "ssl".
func scheme(connection string) string {
	s, _, _ := strings.Cut(connection, ":")
	return s
}
