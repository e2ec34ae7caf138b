package hostport

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"

	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// nothing is a port that cannot be held, of a kernel that has no SCTP sockets:
// nobody else can have it either.
type nothing struct{}

func (nothing) Close() error { return nil }

// bindSCTP takes a port with a socket of the kernel's own, which package net has
// none of (sctp(7)).
func bindSCTP(at netip.AddrPort) (io.Closer, uint16, error) {
	family, to := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Port: int(at.Port())})
	switch a := at.Addr(); {
	case a.Is6():
		family, to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(at.Port()), Addr: a.As16()}
	case a.IsValid():
		to = &syscall.SockaddrInet4{Port: int(at.Port()), Addr: a.As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, topology.SCTP)
	if err != nil {
		if at.Port() == 0 {
			return nil, 0, fmt.Errorf("taking a port for sctp: the kernel has none: name the port of the host: %w", err)
		}
		return nothing{}, at.Port(), nil
	}
	file := os.NewFile(uintptr(fd), "sctp")
	err = syscall.Bind(fd, to)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("port %d/sctp: %w", at.Port(), ErrTaken)
	}
	var number int
	if err == nil {
		var got syscall.Sockaddr
		if got, err = syscall.Getsockname(fd); err == nil {
			switch got := got.(type) {
			case *syscall.SockaddrInet4:
				number = got.Port
			case *syscall.SockaddrInet6:
				number = got.Port
			}
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, uint16(number), nil //nolint:gosec // a port
}
