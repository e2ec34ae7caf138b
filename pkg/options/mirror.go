package options

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// MirrorAll is the single element of Network.MirrorPorts that stands for every port of the network.
const MirrorAll = "all"

// DestinationKind says what a mirror leads to.
type DestinationKind string

// The kinds of the option mirror.dest. MirrorPort has no prefix there.
const (
	MirrorPort      DestinationKind = "port"      // an OVS port of the host
	MirrorContainer DestinationKind = "container" // a container on the network
	MirrorGRE       DestinationKind = "gre"       // a machine that takes whole frames in GRE (RFC 2784)
	MirrorERSPAN    DestinationKind = "erspan"    // the same, as ERSPAN type II
)

// Destination is where a network's mirror leads to.
type Destination struct {
	Kind    DestinationKind
	Name    string     // of the port, or of the container
	Address netip.Addr // of the machine
}

// Destination returns where the network's mirror leads to; false when it has none.
func (n Network) Destination() (Destination, bool) {
	d, err := parseDestination(n.MirrorDest)
	return d, err == nil
}

// Mirrors reports whether ports of the network are mirrored, or can be.
func (n Network) Mirrors() bool { return n.MirrorDest != "" }

// MirrorsNames reports whether the names of containers say what is mirrored, or where to.
func (n Network) MirrorsNames() bool {
	d, ok := n.Destination()
	return ok && (d.Kind == MirrorContainer || slices.ContainsFunc(n.MirrorPorts, isContainerName))
}

func isContainerName(port string) bool {
	_, errIP := netip.ParseAddr(port)
	_, errMAC := net.ParseMAC(port)
	return port != MirrorAll && errIP != nil && errMAC != nil
}

func mirrorDest(n *Network, value string) error {
	_, err := parseDestination(value)
	n.MirrorDest = value
	return err
}

func parseDestination(value string) (Destination, error) {
	kind, rest, prefixed := strings.Cut(value, ":")
	switch d := (Destination{Kind: DestinationKind(kind), Name: rest}); {
	case !prefixed:
		if err := rowName(value); err != nil {
			return d, err
		}
		if len(value) > maxBridge {
			return d, fmt.Errorf("%q is too long for a port: interface names have at most %d characters; a container's name is written container:NAME", value, maxBridge)
		}
		return Destination{Kind: MirrorPort, Name: value}, nil
	case d.Kind == MirrorContainer:
		return d, plainName(rest)
	case d.Kind == MirrorGRE, d.Kind == MirrorERSPAN:
		a, err := parseAddr(rest)
		return Destination{Kind: d.Kind, Address: a}, err
	default:
		return d, fmt.Errorf("%s is no destination: want the name of an OVS port, container:NAME, gre:ADDRESS or erspan:ADDRESS", quote(value))
	}
}

func mirrorPorts(n *Network, value string) error {
	var ports []string
	for p := range strings.SplitSeq(value, ",") {
		p, err := mirrored(strings.TrimSpace(p))
		if err != nil {
			return err
		}
		ports = append(ports, p)
	}
	if len(ports) > 1 && slices.Contains(ports, MirrorAll) {
		return fmt.Errorf("%s names all ports and some: want %q alone, or a list", quote(value), MirrorAll)
	}
	slices.Sort(ports)
	n.MirrorPorts = slices.Compact(ports)
	return nil
}

// mirrored reads one port as it is compared: an address, a MAC address, or a container's name.
func mirrored(text string) (string, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		_, err := parseAddr(text)
		return a.Unmap().String(), err
	}
	if mac, err := net.ParseMAC(text); err == nil && len(mac) == 6 {
		return mac.String(), nil
	}
	if err := plainName(text); err != nil {
		return "", fmt.Errorf("%w; a port is told by its address, its MAC address or its container's name", err)
	}
	return text, nil
}

func checkMirror(n Network) error {
	if n.MirrorDest == "" && len(n.MirrorPorts) > 0 {
		return errors.New("mirror.ports needs mirror.dest: where to")
	}
	if d, ok := n.Destination(); ok && d.Kind == MirrorContainer && slices.Equal(n.MirrorPorts, []string{d.Name}) {
		return fmt.Errorf("option %q: container %q is also where the mirror leads to, and is never mirrored to itself; name others", "mirror.ports", d.Name)
	}
	return nil
}
