//go:build linux

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is a connection to QEMU's monitor protocol (docs/interop/qmp-spec.txt of QEMU).
type monitor struct {
	conn *net.UnixConn
	dec  *json.Decoder
}

// newMonitor makes the connection; theirs is the end for QEMU.
func newMonitor() (m *monitor, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket for QEMU's monitor: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "monitor"), os.NewFile(uintptr(pair[1]), "monitor")
	defer ours.Close() // net.FileConn has one of its own
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return &monitor{conn: conn.(*net.UnixConn), dec: json.NewDecoder(conn)}, theirs, nil
}

// hello ends the protocol's opening, after which commands are taken.
func (m *monitor) hello(ctx context.Context) error {
	return m.do(ctx, nil, "qmp_capabilities", nil, nil)
}

// do runs a command, with a file for it to use if it needs one.
func (m *monitor) do(ctx context.Context, file *os.File, name string, arguments map[string]any, result any) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	if err := m.conn.SetDeadline(deadline); err != nil {
		return err
	}
	command := map[string]any{"execute": name}
	if arguments != nil {
		command["arguments"] = arguments
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	if _, _, err := m.conn.WriteMsgUnix(text, rights, nil); err != nil {
		return fmt.Errorf("asking QEMU for %q: %w", name, err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.dec.Decode(&answer); err != nil {
			return fmt.Errorf("asking QEMU for %q: %w", name, err)
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("asking QEMU for %q: %s", name, answer.Error.Desc)
		case answer.Return != nil && result != nil:
			return json.Unmarshal(answer.Return, result)
		case answer.Return != nil:
			return nil
		}
		// the greeting, or an event
	}
}

// save writes the running host's memory and devices to a file. The host does not go on afterwards: its disk must stay as
// the saved memory knows it.
func (m *monitor) save(ctx context.Context, file *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	// the default of 128 MiB a second is for networks
	if err := m.do(ctx, nil, "migrate-set-parameters", map[string]any{"max-bandwidth": int64(20) << 30}, nil); err != nil {
		return err
	}
	if err := m.do(ctx, file, "getfd", map[string]any{"fdname": "state"}, nil); err != nil {
		return err
	}
	if err := m.do(ctx, nil, "migrate", map[string]any{"uri": "fd:state"}, nil); err != nil {
		return err
	}
	return await(ctx, "QEMU to save a host", func() error {
		var info struct {
			Status    string
			ErrorDesc string `json:"error-desc"`
		}
		if err := m.do(ctx, nil, "query-migrate", nil, &info); err != nil {
			return err
		}
		if info.Status == "failed" {
			return fmt.Errorf("it failed: %s", info.ErrorDesc)
		}
		if info.Status != "completed" {
			return fmt.Errorf("it is %s", info.Status)
		}
		return nil
	})
}
