package topology

import (
	"fmt"
	"net/netip"
)

// The protocols that can be published, by their numbers (protocols(5)).
const (
	TCP  = 6
	UDP  = 17
	SCTP = 132
)

var protocols = map[uint8]string{TCP: "tcp", UDP: "udp", SCTP: "sctp"}

// Port is a port of the host that leads to one of a container.
type Port struct {
	Protocol  uint8      `json:"protocol"`      // IP protocol number
	Host      netip.Addr `json:"host,omitzero"` // not valid: all addresses of the host; unspecified: all of its family
	HostPort  uint16     `json:"host_port"`
	Container uint16     `json:"container_port"`
}

// Name is the protocol's: tcp, udp or sctp.
func (p Port) Name() string { return protocols[p.Protocol] }

func (p Port) String() string {
	host := "*"
	if p.Host.IsValid() {
		host = p.Host.String()
		if p.Host.Is6() {
			host = "[" + host + "]"
		}
	}
	return fmt.Sprintf("%s:%d->%d/%s", host, p.HostPort, p.Container, p.Name())
}

// Meets reports whether both cannot be published at once.
func (p Port) Meets(o Port) bool {
	return p.Protocol == o.Protocol && p.HostPort == o.HostPort && p.HostPort != 0 && meet(p.Host, o.Host)
}

func meet(a, b netip.Addr) bool {
	switch {
	case !a.IsValid() || !b.IsValid() || a == b:
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a.IsUnspecified() || b.IsUnspecified()
}

// LeadsTo reports whether the port can lead to the address: what arrives by one
// family stays in it.
func (p Port) LeadsTo(a netip.Addr) bool { return !p.Host.IsValid() || p.Host.Is4() == a.Is4() }
