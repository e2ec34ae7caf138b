package executor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
)

// refusalWithin is how long a refusal may be on its way.
const refusalWithin = 300 * time.Millisecond

// Reach looks at the way to an address of another host, for packets of a size in bytes and
// tunnels to a UDP port. A ping tells how long packets may be; whether tunnels are refused
// only a datagram to their port does, since firewalls tell protocols apart.
func (e *Executor) Reach(ctx context.Context, from, to netip.AddrPort, size int) link.Way {
	w := link.Way{Looked: true}
	if w.Refused = refused(ctx, from, to); w.Refused != "" {
		return w
	}
	out, err := e.run(ctx, "", "ping", link.Ping(from.Addr(), to.Addr(), size)...)
	if w.Answered = err == nil; w.Answered {
		return w
	}
	var failed *CommandError
	if errors.As(err, &failed) {
		w.Takes = link.ReadTakes(string(out) + failed.Stderr)
	}
	return w
}

// refused sends an empty datagram, which tunnels drop, and returns why it was refused; "" if
// nobody said so. A host that is just off refuses nothing: of what comes back for one of
// those, the kernel tells a connected socket nothing (udp(7)). Nor does one where nobody
// listens: the kernel's datapath does with its first tunnel, and that may be the one to here.
func refused(ctx context.Context, from, to netip.AddrPort) string {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(from)}
	conn, err := d.DialContext(ctx, "udp", to.String())
	if err == nil {
		defer func() { _ = conn.Close() }()
		_, err = conn.Write(nil)
		if err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(refusalWithin)) // it has one
			_, err = conn.Read(make([]byte, 1))
		}
	}
	for _, refusal := range []unix.Errno{unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPERM, unix.EACCES} {
		if errors.Is(err, refusal) {
			return refusal.Error()
		}
	}
	return ""
}
