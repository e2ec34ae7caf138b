package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

const (
	// daemonWithin bounds a chain that goes by a daemon: one that has lost its
	// database waits for it, where a plain invocation says at once that it is gone.
	daemonWithin = 2 * time.Second
	// daemonIdle is how long a daemon that nobody uses is kept: all that happens in
	// the database is sent to it.
	daemonIdle = time.Minute
	// daemonPause is how long none is started after one could not be.
	daemonPause = 10 * time.Second
)

// north commits chains in one northbound database, of those that ovn.Direct knows. A plain ovn-nbctl reads the
// whole database before it does anything, and takes longer the more is in it;
// ovn-nbctl as a daemon (ovn-nbctl(8), "Daemon Mode") has it already. So port after
// port goes by a daemon, started by the first of them, which does not wait for it.
//
// A daemon is only ever a short cut. Its view may be a moment old, so only chains
// that fail when it is go that way (ovn.Direct), and what fails there, for whatever
// reason, runs plainly, which is the outcome. Of a daemon that did not answer
// nobody knows what it will still do: it is killed first, and the chain may run
// twice.
type north struct {
	e    *Executor
	args []string // of ovn-nbctl, which say which database
	name string   // of the daemon's files

	mu       sync.Mutex
	daemon   *daemon // nil when there is none
	starting bool
	after    time.Time // none is started before
}

// daemon is an ovn-nbctl that runs.
type daemon struct {
	pid    int
	socket string
	trust  string // the certificates that it was started with
	idle   *time.Timer
}

// commit runs the chain.
func (n *north) commit(ctx context.Context, ops []plan.Op) error {
	if direct, ok := ovn.Direct(ops); ok {
		if d := n.use(); d != nil { //nolint:contextcheck // a daemon outlives the request that starts it
			err := n.e.byDaemon(ctx, d, direct)
			if err == nil {
				return nil
			}
			if !didNothing(err) || isDaemonGone(err) {
				n.drop(d)
			}
		}
	}
	err := n.e.chain(ctx, plan.Target{Program: "ovn-nbctl", Args: n.args}, ops)
	if IsUnreachable(err) {
		n.drop(nil)
	}
	return err
}

func (e *Executor) byDaemon(ctx context.Context, d *daemon, ops []plan.Op) error {
	ctx, cancel := context.WithTimeout(ctx, daemonWithin)
	defer cancel()
	return e.chain(ctx, plan.Target{Program: "ovn-nbctl", Args: []string{"-u", d.socket}}, ops)
}

// use returns the daemon, or nil when there is none, and then has one started.
func (n *north) use() *daemon {
	if n.e.Run == "" {
		return nil
	}
	trust := n.e.trust(n.args)
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.daemon; d != nil {
		if d.trust == trust {
			d.idle.Reset(daemonIdle)
			return d
		}
		n.end() // it would go on with certificates of before
	}
	if !n.starting && time.Now().After(n.after) && !n.e.closed.Load() {
		n.starting = true
		n.e.daemons.Go(func() { n.start(trust) })
	}
	return nil
}

// trust says which certificates a daemon would be started with.
func (e *Executor) trust(args []string) string {
	certified := e.certified(args)
	var at []string
	for _, arg := range certified[:len(certified)-len(args)] {
		_, path, _ := strings.Cut(arg, "=")
		if info, err := os.Stat(path); err == nil {
			at = append(at, path, info.ModTime().String())
		}
	}
	return strings.Join(at, " ")
}

func (n *north) start(trust string) {
	d, err := n.launch(trust)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.starting = false
	if err != nil {
		n.after = time.Now().Add(daemonPause)
		n.e.log.Warn("ovn-nbctl runs without its daemon, which is slower", zap.Error(err))
		return
	}
	n.daemon = d
	d.idle = time.AfterFunc(daemonIdle, func() { n.drop(d) })
	if n.e.closed.Load() {
		n.end()
	}
}

// launch starts ovn-nbctl as a daemon.
func (n *north) launch(trust string) (*daemon, error) {
	if err := os.MkdirAll(n.e.Run, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of ovn-nbctl's socket: %w", err)
	}
	d := &daemon{socket: filepath.Join(n.e.Run, n.name+".ctl"), trust: trust}
	ctx, cancel := context.WithTimeout(context.Background(), daemonPause)
	defer cancel()
	go func() {
		select {
		case <-n.e.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	// Without --timeout, which would end the daemon.
	args := slices.Concat([]string{"--detach", "--no-chdir", "--pidfile=" + d.pidfile(), "--unixctl=" + d.socket, "-vconsole:off", "-vsyslog:off"}, n.args)
	_, failed := n.e.start(ctx, "", "ovn-nbctl", n.e.certified(args))
	if failed != nil {
		failed = fmt.Errorf("starting ovn-nbctl as a daemon: %w", failed)
	}
	text, err := os.ReadFile(d.pidfile())
	if err == nil {
		d.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	switch {
	case failed != nil:
		// It waits for its database, in the background already, and would keep the next one from starting.
		d.kill()
		return nil, failed
	case err != nil:
		return nil, fmt.Errorf("reading which process ovn-nbctl's daemon is: %w", err)
	}
	return d, nil
}

func (d *daemon) pidfile() string { return strings.TrimSuffix(d.socket, ".ctl") + ".pid" }

// drop ends a daemon, if it is still the one that is used; nil stands for any.
func (n *north) drop(d *daemon) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d == nil || d == n.daemon {
		n.end()
	}
}

// end ends the daemon; its lock is held.
func (n *north) end() {
	if n.daemon == nil {
		return
	}
	n.daemon.idle.Stop()
	n.daemon.kill()
	n.daemon = nil
}

// kill ends the daemon at once: what it has not sent yet it must not send later.
// In a managed plugin, whose first process this is, it is ours to wait for.
func (d *daemon) kill() {
	if ours(d.pid, d.socket) {
		_ = syscall.Kill(d.pid, syscall.SIGKILL) // it has ended
	}
	for range 100 {
		if _, err := syscall.Wait4(d.pid, nil, syscall.WNOHANG, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			break // somebody else's child, or none any more
		}
		<-time.After(time.Millisecond)
	}
	_ = os.Remove(d.socket) // its next one takes their place
	_ = os.Remove(d.pidfile())
}

// ours reports whether the process is the ovn-nbctl of the socket: numbers of
// processes are used again.
func ours(pid int, socket string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.Contains(strings.Split(string(text), "\x00"), "--unixctl="+socket)
}

// Sweep ends the daemons that a plugin has left which was killed.
func (e *Executor) Sweep() {
	if e.Run == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(e.Run, "*.pid")) // a pattern that is right
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			(&daemon{pid: pid, socket: strings.TrimSuffix(file, ".pid") + ".ctl"}).kill()
		}
	}
}

// Close ends what runs for this executor between its commands. It is called once.
func (e *Executor) Close() {
	e.closed.Store(true)
	close(e.closing)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.norths {
		n.drop(nil) // after which none begins: whoever held its lock has begun already
	}
	e.daemons.Wait() // those that are being started, and end themselves
	if e.Run != "" {
		_ = os.Remove(e.Run) // unless somebody has put something there
	}
}
