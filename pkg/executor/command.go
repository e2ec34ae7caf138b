package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// callTimeout bounds one invocation whose caller has more time. The longest
// that one takes on purpose is a Join's wait for its port, 10 s.
const callTimeout = 12 * time.Second

// programs are what the plugin's rootfs holds, and whether the program takes
// "--timeout=SECONDS".
var programs = map[string]bool{
	"ovn-nbctl":    true,
	"ovn-sbctl":    true,
	"ovs-vsctl":    true,
	"ovsdb-client": true,
	"ip":           false,
	"ethtool":      false,
	"ping":         false,

	"conntrack":               false,
	"iptables-nft-save":       false,
	"iptables-nft-restore":    false,
	"iptables-legacy-save":    false,
	"iptables-legacy-restore": false,

	"ip6tables-nft-save":       false,
	"ip6tables-nft-restore":    false,
	"ip6tables-legacy-save":    false,
	"ip6tables-legacy-restore": false,
}

// CommandError is a program that did not succeed.
type CommandError struct {
	Argv   []string
	Stdin  string
	Stderr string
	// Stopped says that the program did not end by itself with an exit
	// status: it was killed, or ended by its own timeout. A transaction that
	// it had sent may have been committed, or be committed later.
	Stopped bool
	Err     error
}

// Error has what the program said first, and then the whole command line: a
// failed chain names the object in its text, never the position.
func (e *CommandError) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = "no message"
	}
	line := strings.Join(e.Argv, " ")
	if e.Stdin != "" {
		line += " (" + strings.ReplaceAll(strings.TrimSpace(e.Stdin), "\n", "; ") + ")"
	}
	return fmt.Sprintf("%s (%v, running %q)", text, e.Err, line)
}

func (e *CommandError) Unwrap() error { return e.Err }

// run starts the program, and returns what it printed, also when it failed.
func (e *Executor) run(ctx context.Context, stdin, program string, args ...string) ([]byte, error) {
	timed, known := programs[program]
	if !known {
		return nil, fmt.Errorf("running %q: not a program of this plugin", program)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if timed {
		args = append([]string{"--timeout=" + seconds(ctx)}, e.certified(args)...)
	}
	return e.start(ctx, stdin, program, args)
}

// start runs the program with just these arguments until the context ends.
func (e *Executor) start(ctx context.Context, stdin, program string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	err := cmd.Run()
	e.observe(program, time.Since(started), err)
	if err == nil {
		return stdout.Bytes(), nil
	}
	failed := &CommandError{Argv: cmd.Args, Stdin: stdin, Stderr: stderr.String(), Err: err}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		failed.Stopped = !exit.Exited()
	}
	if ctx.Err() != nil {
		failed.Stopped, failed.Err = true, fmt.Errorf("stopped after %s: %w", time.Since(started).Round(time.Millisecond), context.Cause(ctx))
	}
	return stdout.Bytes(), failed
}

// certified adds the certificates where a database is asked for at ssl:
// (ovn-nbctl(8), ovsdb-client(1), "Public Key Infrastructure Options").
func (e *Executor) certified(args []string) []string {
	if e.TLS == nil || !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(strings.TrimPrefix(arg, "--db="), "ssl:") }) {
		return args
	}
	folder := e.TLS()
	in := func(name string) string { return filepath.Join(folder, name) }
	return append([]string{"--private-key=" + in("key.pem"), "--certificate=" + in("cert.pem"), "--ca-cert=" + in("ca.pem")}, args...)
}

// seconds returns what is left of the context's time, in the whole seconds
// that the ctl programs count in, rounded up: the context itself is exact.
func seconds(ctx context.Context) string {
	deadline, _ := ctx.Deadline()
	return strconv.Itoa(max(1, int(math.Ceil(time.Until(deadline).Seconds()))))
}
