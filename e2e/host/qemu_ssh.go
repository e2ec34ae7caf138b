package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sshSocket is where the connection to a host takes commands, in the host's folder. It is named without that folder, which
// ssh runs in: a socket's path may have 107 bytes only.
const sshSocket = "ssh.sock"

// runLimit is for commands whose caller has set no deadline.
const runLimit = 10 * time.Minute

// quote writes arguments as words of a POSIX shell. ssh has no argument list: it joins what it is given with spaces, and the
// user's shell in the host reads that.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// ssh is an ssh client for the host. It has nothing of the user's own configuration.
func (h *qemuHost) ssh(ctx context.Context, options ...string) *exec.Cmd {
	args := []string{
		"-F", "none", "-i", filepath.Join(h.Image, "key"), "-l", "root", "-p", strconv.Itoa(h.Port),
		"-o", "HostName=127.0.0.1", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=3", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6",
		"-o", "Ciphers=^aes128-gcm@openssh.com", "-o", "ControlPath=" + sshSocket,
	}
	cmd := exec.CommandContext(ctx, "ssh", append(append(args, options...), h.mark())...)
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
		cmd := h.ssh(context.Background(), "-M", "-N", "-o", "ControlPersist=no")
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

func (h *qemuHost) Run(ctx context.Context, argv ...string) (string, error) {
	return h.RunInput(ctx, nil, argv...)
}

// RunInput ends with the context, but the command may then go on in the host until it reads or writes.
func (h *qemuHost) RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("running a command: no command given")
	}
	if h.Machine == nil {
		return "", fmt.Errorf("running %q on %s: the host is powered off", argv, h.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := h.ssh(ctx, "-o", "ControlMaster=no", "-T")
	cmd.Args = append(cmd.Args, "exec "+quote(argv))
	cmd.Stdin = stdin
	cmd.WaitDelay = 2 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	if err != nil {
		return stdout.String(), &CommandError{Host: h.Name(), Argv: argv, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

func (h *qemuHost) Docker(ctx context.Context, args ...string) (string, error) {
	return h.Run(ctx, append([]string{"docker"}, args...)...)
}

func (h *qemuHost) CopyIn(ctx context.Context, local, remote string) error {
	staged := "/var/tmp/copy-in-" + randomID()[:12]
	if _, err := h.Run(ctx, "mkdir", "-p", staged, filepath.Dir(remote)); err != nil {
		return err
	}
	send := exec.CommandContext(ctx, "tar", "-C", filepath.Dir(local), "-cf", "-", "--", filepath.Base(local))
	if err := h.feed(ctx, send, "tar", "-C", staged, "-xf", "-"); err != nil {
		return fmt.Errorf("copying %s: %w", local, err)
	}
	if _, err := h.Run(ctx, "mv", "-T", filepath.Join(staged, filepath.Base(local)), remote); err != nil {
		return err
	}
	_, err := h.Run(ctx, "rmdir", staged)
	return err
}

// feed runs a command in the host that reads what one of the machine writes.
func (h *qemuHost) feed(ctx context.Context, from *exec.Cmd, argv ...string) error {
	var stderr bytes.Buffer
	from.Stderr, from.WaitDelay = &stderr, 2*time.Second
	pipe, err := from.StdoutPipe()
	if err != nil {
		return err
	}
	if err := from.Start(); err != nil {
		return err
	}
	_, err = h.RunInput(ctx, pipe, argv...)
	if werr := from.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("running %q: %w: %s", from.Args, werr, strings.TrimSpace(stderr.String())))
	}
	return err
}

func (h *qemuHost) WriteFile(ctx context.Context, remote string, content []byte, mode os.FileMode) error {
	if _, err := h.Run(ctx, "mkdir", "-p", filepath.Dir(remote)); err != nil {
		return err
	}
	if _, err := h.RunInput(ctx, bytes.NewReader(content), "dd", "of="+remote, "status=none"); err != nil {
		return err
	}
	_, err := h.Run(ctx, "chmod", fmt.Sprintf("%04o", mode.Perm()), remote)
	return err
}

// Start leaves the command to systemd, which keeps it when the session ends.
func (h *qemuHost) Start(ctx context.Context, logPath string, argv ...string) (func(), error) {
	unit := "testhost-" + randomID()[:12] + ".service"
	run := []string{
		"systemd-run", "--quiet", "--collect", "--unit=" + unit, "--setenv=HOME=/root", "--setenv=LC_ALL=C",
		"--property=StandardOutput=append:" + logPath, "--property=StandardError=append:" + logPath, "--property=TimeoutStopSec=10", "--",
	}
	if _, err := h.Run(ctx, append(run, argv...)...); err != nil {
		return nil, fmt.Errorf("starting %q on %s: %w", argv, h.Name(), err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = h.Run(ctx, "systemctl", "stop", unit) // gone by itself, or with the host
	}, nil
}
