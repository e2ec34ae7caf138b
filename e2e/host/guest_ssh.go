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
	"strings"
	"time"
)

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

func (g *guest) Run(ctx context.Context, argv ...string) (string, error) {
	return g.RunInput(ctx, nil, argv...)
}

// RunInput ends with the context, but the command may then go on in the host until it reads or writes.
func (g *guest) RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("running a command: no command given")
	}
	if !g.way.powered() {
		return "", fmt.Errorf("running %q on %s: the host is powered off", argv, g.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := g.way.command(ctx, argv)
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
		return stdout.String(), &CommandError{Host: g.Name(), Argv: argv, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

func (g *guest) Docker(ctx context.Context, args ...string) (string, error) {
	return g.Run(ctx, append([]string{"docker"}, args...)...)
}

func (g *guest) CopyIn(ctx context.Context, local, remote string) error {
	staged := "/var/tmp/copy-in-" + randomID()[:12]
	if _, err := g.Run(ctx, "mkdir", "-p", staged, filepath.Dir(remote)); err != nil {
		return err
	}
	send := exec.CommandContext(ctx, "tar", "-C", filepath.Dir(local), "-cf", "-", "--", filepath.Base(local))
	send.Env = append(os.Environ(), "COPYFILE_DISABLE=1") // or a Mac's tar sends a file of attributes beside each
	if err := g.feed(ctx, send, "tar", "-C", staged, "-xf", "-"); err != nil {
		return fmt.Errorf("copying %s: %w", local, err)
	}
	if _, err := g.Run(ctx, "mv", "-T", filepath.Join(staged, filepath.Base(local)), remote); err != nil {
		return err
	}
	_, err := g.Run(ctx, "rmdir", staged)
	return err
}

// feed runs a command in the host that reads what one of the machine writes.
func (g *guest) feed(ctx context.Context, from *exec.Cmd, argv ...string) error {
	var stderr bytes.Buffer
	from.Stderr, from.WaitDelay = &stderr, 2*time.Second
	pipe, err := from.StdoutPipe()
	if err != nil {
		return err
	}
	if err := from.Start(); err != nil {
		return err
	}
	_, err = g.RunInput(ctx, pipe, argv...)
	if werr := from.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("running %q: %w: %s", from.Args, werr, strings.TrimSpace(stderr.String())))
	}
	return err
}

func (g *guest) WriteFile(ctx context.Context, remote string, content []byte, mode os.FileMode) error {
	if _, err := g.Run(ctx, "mkdir", "-p", filepath.Dir(remote)); err != nil {
		return err
	}
	if _, err := g.RunInput(ctx, bytes.NewReader(content), "dd", "of="+remote, "status=none"); err != nil {
		return err
	}
	_, err := g.Run(ctx, "chmod", fmt.Sprintf("%04o", mode.Perm()), remote)
	return err
}

// Start leaves the command to systemd, which keeps it when the session ends.
func (g *guest) Start(ctx context.Context, logPath string, argv ...string) (func(), error) {
	unit := "testhost-" + randomID()[:12] + ".service"
	run := []string{
		"systemd-run", "--quiet", "--collect", "--unit=" + unit, "--setenv=HOME=/root", "--setenv=LC_ALL=C",
		"--property=StandardOutput=append:" + logPath, "--property=StandardError=append:" + logPath, "--property=TimeoutStopSec=10", "--",
	}
	if _, err := g.Run(ctx, append(run, argv...)...); err != nil {
		return nil, fmt.Errorf("starting %q on %s: %w", argv, g.Name(), err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = g.Run(ctx, "systemctl", "stop", unit) // gone by itself, or with the host
	}, nil
}
