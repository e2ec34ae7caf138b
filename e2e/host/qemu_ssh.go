//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// sshSocket is where the connection to a host takes commands, in the host's folder. It is named without that folder, which
// ssh runs in: a socket's path may have 107 bytes only.
const sshSocket = "ssh.sock"

// ssh is an ssh client for the host. It has nothing of the user's own configuration.
func (h *qemuHost) ssh(ctx context.Context, options []string, command ...string) *exec.Cmd {
	args := []string{
		"-F", "none", "-i", filepath.Join(h.Image, "key"), "-l", "root", "-p", strconv.Itoa(h.Port),
		"-o", "HostName=127.0.0.1", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=3", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6",
		"-o", "Ciphers=^aes128-gcm@openssh.com", "-o", "ControlPath=" + sshSocket,
	}
	cmd := exec.CommandContext(ctx, "ssh", slices.Concat(args, options, []string{h.mark()}, command)...)
	cmd.Dir = h.Dir
	return cmd
}

// connect makes the connection that all commands share. A new one for each would cost half a second.
func (h *qemuHost) connect(ctx context.Context) error {
	socket := filepath.Join(h.Dir, sshSocket)
	return await(ctx, "ssh to host "+h.Name(), func() error {
		if !h.Machine.alive() {
			text, _ := os.ReadFile(filepath.Join(h.Dir, "qemu.log"))
			return &endedError{fmt.Errorf("QEMU has ended: %s", tail(string(text), 5))}
		}
		if err := h.disconnect(); err != nil {
			return err
		}
		var stderr bytes.Buffer
		// no context: the connection outlives this call
		cmd := h.ssh(context.Background(), []string{"-M", "-N", "-o", "ControlPersist=no"})
		cmd.Stderr = &stderr
		master, err := spawn(cmd)
		if err != nil {
			return err
		}
		h.Session = master
		for master.alive() && ctx.Err() == nil {
			if _, err := os.Stat(socket); err == nil {
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond) // a refusal comes at once, and there is nothing to gain from many
		return errors.Join(errors.New("it does not answer"), h.disconnect())
	})
}

// disconnect ends the connection. One to a host that is gone would be noticed half a minute later.
func (h *qemuHost) disconnect() error {
	if h.Session != nil {
		if err := h.Session.kill(); err != nil {
			return err
		}
		h.Session = nil
	}
	if err := os.Remove(filepath.Join(h.Dir, sshSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (h *qemuHost) command(ctx context.Context, argv []string) *exec.Cmd {
	return h.ssh(ctx, []string{"-o", "ControlMaster=no", "-T"}, "exec "+quote(argv))
}

func (h *qemuHost) powered() bool { return h.Machine != nil }
