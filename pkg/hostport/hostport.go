package hostport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Request asks for a port of the host: for one of [Port.HostPort, Last], or, when
// that is 0, for any.
type Request struct {
	topology.Port
	Last uint16
}

// ErrTaken is why a port cannot be had.
var ErrTaken = errors.New("in use on this host")

// Holder holds ports. Its zero value is ready for use.
type Holder struct {
	mu   sync.Mutex
	held map[string][]holding
}

type holding struct {
	port   topology.Port
	socket io.Closer
}

// Hold takes ports of the host for the endpoint, in addition to those that it has,
// all or none, and returns which they are.
func (h *Holder) Hold(endpoint string, asked ...Request) ([]topology.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var got []holding
	for _, r := range asked {
		one, err := h.take(endpoint, r)
		if err != nil {
			return nil, errors.Join(err, closeAll(got))
		}
		if one.socket != nil {
			got = append(got, one)
		}
	}
	if h.held == nil {
		h.held = map[string][]holding{}
	}
	h.held[endpoint] = append(h.held[endpoint], got...)
	var ports []topology.Port
	for _, one := range h.held[endpoint] {
		ports = append(ports, one.port)
	}
	return ports, nil
}

// Keep is Hold for a port that the endpoint has already. It counts as the endpoint's
// even if a program has taken it meanwhile, which is returned.
func (h *Holder) Keep(endpoint string, p topology.Port) error {
	_, err := h.Hold(endpoint, Request{Port: p})
	if errors.Is(err, ErrTaken) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.held == nil {
			h.held = map[string][]holding{}
		}
		h.held[endpoint] = append(h.held[endpoint], holding{p, io.NopCloser(nil)})
	}
	return err
}

// take takes one port; it has no socket when the endpoint holds it already.
func (h *Holder) take(endpoint string, r Request) (holding, error) {
	for _, have := range h.held[endpoint] {
		p := have.port
		if p.Protocol == r.Protocol && p.Container == r.Container && p.Host == r.Host && (r.HostPort == 0 || p.HostPort >= r.HostPort && p.HostPort <= max(r.HostPort, r.Last)) {
			return holding{}, nil
		}
	}
	var err error
	for n := int(r.HostPort); n <= int(max(r.HostPort, r.Last)); n++ {
		p := r.Port
		p.HostPort = uint16(n) //nolint:gosec // of a range of such
		if owner := h.owner(p); owner != "" {
			err = fmt.Errorf("port %d/%s: %w", p.HostPort, p.Name(), ErrTaken)
			continue
		}
		var socket io.Closer
		if socket, p.HostPort, err = bind(p); err == nil {
			return holding{p, socket}, nil
		}
		if !errors.Is(err, ErrTaken) {
			break
		}
	}
	return holding{}, err
}

// Owner returns the endpoint that holds a port that this one meets; "" when none
// does.
func (h *Holder) Owner(p topology.Port) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.owner(p)
}

func (h *Holder) owner(p topology.Port) string {
	for endpoint, all := range h.held {
		if slices.ContainsFunc(all, func(have holding) bool { return have.port.Meets(p) }) {
			return endpoint
		}
	}
	return ""
}

// Release gives up the endpoint's ports.
func (h *Holder) Release(endpoint string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.held[endpoint]
	delete(h.held, endpoint)
	return closeAll(all)
}

func closeAll(all []holding) error {
	var errs []error
	for _, one := range all {
		errs = append(errs, one.socket.Close())
	}
	return errors.Join(errs...)
}

// Free returns nil when the port could be held now.
func Free(p topology.Port) error {
	socket, _, err := bind(p)
	if err != nil {
		return err
	}
	return socket.Close()
}

// bind takes the port, any for 0. Nothing ever arrives at the socket: the packet
// filter leads it elsewhere.
func bind(p topology.Port) (io.Closer, uint16, error) {
	// No address stands for all of both families, where the kernel has both.
	at, network := netip.AddrPortFrom(p.Host, p.HostPort), ""
	switch {
	case p.Host.Is4():
		network = "4"
	case p.Host.Is6():
		network = "6"
	}
	var (
		socket io.Closer
		got    net.Addr
		err    error
	)
	switch p.Protocol {
	case topology.TCP:
		var l *net.TCPListener
		if l, err = net.ListenTCP("tcp"+network, net.TCPAddrFromAddrPort(at)); err == nil {
			socket, got = l, l.Addr()
		}
	case topology.UDP:
		var c *net.UDPConn
		if c, err = net.ListenUDP("udp"+network, net.UDPAddrFromAddrPort(at)); err == nil {
			socket, got = c, c.LocalAddr()
		}
	case topology.SCTP:
		return bindSCTP(at)
	default:
		return nil, 0, fmt.Errorf("protocol %d cannot be published: tcp, udp and sctp can", p.Protocol)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, 0, fmt.Errorf("port %d/%s: %w", p.HostPort, p.Name(), ErrTaken)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, 0, fmt.Errorf("address %s, of port %d/%s, is none of this host's: give another one, or none, before the port", p.Host, p.HostPort, p.Name())
	case err != nil:
		return nil, 0, fmt.Errorf("taking port %d/%s: %w", p.HostPort, p.Name(), err)
	}
	number, err := netip.ParseAddrPort(got.String())
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("reading port %q: %w", got, err), socket.Close())
	}
	return socket, number.Port(), nil
}
