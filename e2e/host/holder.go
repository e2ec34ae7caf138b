//go:build linux

package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// holder is the first process of a host, which keeps its namespaces alive. The record of it outlives the test binary.
type holder struct {
	Pid int
	// Started is the start time in clock ticks (proc(5), field 22 of stat): with it, a process that got the pid later is
	// not taken for the holder.
	Started uint64
	Cgroups *cgroups
}

// startHolder starts the first process of a host and returns when its namespaces are set up.
func startHolder(ctx context.Context, c initConfig, set *cgroups) (*holder, error) {
	c.Cgroups = *set
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.Dir, "init.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()

	started := make(chan error, 1)
	var h *holder
	go func() {
		// Never unlocked: the thread ends with this function. It joins the host's cgroups, and with Pdeathsig its end is
		// the end of the host, so it stays here for as long as the holder lives.
		runtime.LockOSThread()
		cmd, err := forkHolder(set, config, log)
		if err == nil {
			h = &holder{Pid: cmd.Process.Pid, Cgroups: set}
			h.Started, err = startTime(h.Pid)
		}
		started <- err
		if cmd != nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting host %s: %w", c.Hostname, err)
	}
	ready := fmt.Sprintf("/proc/%d/root/run/host-ready", h.Pid)
	for {
		if _, err := os.Stat(ready); err == nil {
			return h, nil
		}
		if !h.alive() || ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			return nil, errors.Join(fmt.Errorf("starting host %s: %s", c.Hostname, strings.TrimSpace(string(text))), ctx.Err(), h.kill())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func forkHolder(set *cgroups, config []byte, log *os.File) (*exec.Cmd, error) {
	if err := set.joinThread(); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{initName}, Env: []string{"PATH=" + searchPath},
		Stdout: log, Stderr: log, ExtraFiles: []*os.File{read},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID,
			Setsid:     true, // ^C is for the test binary, which then takes the host down in order
		},
	}
	if !keep() {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	dir, ok, err := set.open2(true)
	if err != nil {
		return nil, err
	}
	if ok {
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = write.Write(config)
	return cmd, errors.Join(err, write.Close())
}

func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// the name, field 2, may hold anything; what follows the last bracket is field 3 and on
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("reading start time of process %d: %q", pid, stat)
	}
	if fields[0] == "Z" {
		return 0, errors.New("process has ended")
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

func (h *holder) alive() bool {
	t, err := startTime(h.Pid)
	return err == nil && t == h.Started
}

// kill ends the holder and with it every process of the host, and removes its cgroups.
func (h *holder) kill() error {
	if h.alive() {
		if err := unix.Kill(h.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending process %d: %w", h.Pid, err)
		}
	}
	for range 500 {
		if !h.alive() {
			return h.Cgroups.remove()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("ending process %d: it is still there after 5 s", h.Pid)
}

// enter says which of the host's namespaces a command runs in.
type enter []string

var (
	whole   = enter{"mnt", "net", "uts", "ipc", "pid", "cgroup"}
	network = enter{"net"} // the machine's tools and files, the host's links
)

// start starts a command in the namespaces and cgroups of the host. Both are properties of a thread that a fork inherits, so a
// thread is sacrificed for it: no helper program is needed, and a command costs no more than its own fork.
func (h *holder) start(ns enter, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		done <- h.startHere(ns, cmd)
	}()
	return <-done
}

func (h *holder) startHere(ns enter, cmd *exec.Cmd) error {
	// a thread that shares its root and working directory with others may not change its mount namespace
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leaving the shared working directory: %w", err)
	}
	attr := &syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = cmd.SysProcAttr
	}
	if len(ns) == len(whole) {
		if err := h.Cgroups.joinThread(); err != nil {
			return err
		}
		dir, ok, err := h.Cgroups.open2(false)
		if err != nil {
			return err
		}
		if ok {
			defer dir.Close()
			attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
		}
	}
	// all are opened first: after the first setns, /proc may be another
	var files []*os.File
	for _, name := range ns {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", h.Pid, name))
		if err != nil {
			return fmt.Errorf("opening a namespace of process %d: %w", h.Pid, err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("entering %s: %w", f.Name(), err)
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	path, err := find(cmd.Args[0])
	if err != nil {
		return err
	}
	cmd.Path, cmd.Err, cmd.SysProcAttr = path, nil, attr
	return cmd.Start()
}

// find looks up a program as the calling thread sees the file system.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("running %q: %w", name, exec.ErrNotFound)
}

// run runs a command to its end.
func (h *holder) run(ctx context.Context, ns enter, host string, stdin io.Reader, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("running a command: no command given")
	}
	cmd := exec.CommandContext(ctx, argv[0])
	cmd.Args = argv
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "LC_ALL=C", "TERM=dumb", "COMPOSE_API_VERSION=auto"}
	cmd.Stdin = stdin
	// a daemon that the command leaves behind may hold its output open
	cmd.WaitDelay = 2 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := h.start(ns, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	if err != nil {
		return stdout.String(), &CommandError{Host: host, Argv: argv, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}
