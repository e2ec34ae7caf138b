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
	Host      netip.Addr `json:"host,omitzero"` // not valid: all IPv4 addresses of the host
	HostPort  uint16     `json:"host_port"`
	Container uint16     `json:"container_port"`
}

// Name is the protocol's: tcp, udp or sctp.
func (p Port) Name() string { return protocols[p.Protocol] }

func (p Port) String() string {
	host := "0.0.0.0"
	if p.Host.IsValid() {
		host = p.Host.String()
	}
	return fmt.Sprintf("%s:%d->%d/%s", host, p.HostPort, p.Container, p.Name())
}

// Meets reports whether both cannot be published at once.
func (p Port) Meets(o Port) bool {
	return p.Protocol == o.Protocol && p.HostPort == o.HostPort && p.HostPort != 0 && (!p.Host.IsValid() || !o.Host.IsValid() || p.Host == o.Host)
}
