package executor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// asked has a program say what it was called with before it runs, and returns what reads that.
func asked(t *testing.T, program string) func() []string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, "%s is not installed", program)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nexec %s \"$@\"\n", log, path)
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() []string {
		text, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return slices.Collect(strings.Lines(string(text)))
	}
}

// served is a northbound database with a switch, and an executor that may keep a daemon for it.
type served struct {
	*executor.Executor
	t     *testing.T
	nb    string
	calls func() []string
	close func() // once
}

func serve(t *testing.T) served {
	t.Helper()
	nb := database(t, schema(t, "/usr/share/ovn", "ovn-nb.ovsschema"))
	run, err := os.MkdirTemp("", "nbctl") // short, as a socket's path has to be
	if err != nil {
		t.Fatal(err)
	}
	s := served{Executor: executor.New(zaptest.NewLogger(t)), t: t, nb: nb, calls: asked(t, "ovn-nbctl")}
	s.Run = filepath.Join(run, "daemons")
	s.close = sync.OnceFunc(s.Close)
	t.Cleanup(func() {
		s.close()
		if left, err := os.ReadDir(run); err != nil || len(left) > 0 {
			t.Errorf("left in the daemons' folder: %v, %v", left, err)
		}
		_ = os.RemoveAll(run)
	})
	s.plainly("init")
	s.plainly("ls-add", "ls")
	return s
}

// plainly is somebody else's change.
func (s served) plainly(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("ovn-nbctl", append([]string{"--db=" + s.nb, "--timeout=10"}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("ovn-nbctl %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s served) ports() []string {
	s.t.Helper()
	return strings.Fields(s.plainly("--bare", "--columns=name", "list", "Logical_Switch_Port"))
}

func (s served) port(n int) plan.Plan {
	p, address := ovn.SwitchPort(fmt.Sprint("p", n)), fmt.Sprintf("02:00:00:00:00:%02x 10.0.0.%d", n, n)
	return plan.New(plan.Step{Target: ovn.Northbound(s.nb), Ops: []plan.Op{
		ovn.SwitchPortAdd("ls", p), ovn.SwitchPortAddresses(p, address), ovn.SwitchPortSecurity(p, address), ovn.SwitchPortSet(p, map[string]string{"owner": "test"}),
	}})
}

func (s served) apply(n int) {
	s.t.Helper()
	if err := s.Apply(s.t.Context(), s.port(n)); err != nil {
		s.t.Fatalf("port %d: %v", n, err)
	}
}

// pid returns the daemon's process once there is one.
func (s served) pid() int {
	s.t.Helper()
	for range 500 {
		files, _ := filepath.Glob(filepath.Join(s.Run, "*.pid"))
		if len(files) > 0 {
			text, err := os.ReadFile(files[0])
			if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
				time.Sleep(50 * time.Millisecond) // until the executor has read it too
				return pid
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("no daemon was started")
	return 0
}

func (s served) byDaemon() int {
	return len(slices.DeleteFunc(s.calls(), func(line string) bool { return !strings.Contains(line, " -u ") }))
}

func TestPortsGoByADaemon(t *testing.T) {
	s := serve(t)
	s.apply(1)
	if s.byDaemon() != 0 {
		t.Error("the first chain waited for a daemon")
	}
	s.pid()
	s.apply(2)
	if s.byDaemon() != 1 {
		t.Errorf("calls: %q", s.calls())
	}
	if err := s.Undo(t.Context(), s.port(1)); err != nil {
		t.Fatal(err)
	}
	if got := s.ports(); !slices.Equal(got, []string{"p2"}) {
		t.Errorf("ports: %q", got)
	}
	if got := s.plainly("get", "Logical_Switch_Port", "p2", "external_ids"); got != "{owner=test}" {
		t.Errorf("marks: %s", got)
	}

	t.Run("what it refuses is tried plainly, and that is the outcome", func(t *testing.T) {
		s.plainly("lsp-add", "ls", "p3") // somebody was faster
		s.apply(3)
		if got := s.plainly("lsp-get-addresses", "p3"); got != "02:00:00:00:00:03 10.0.0.3" {
			t.Errorf("addresses: %s", got)
		}
		s.plainly("lsp-del", "p3")
		if err := s.Undo(t.Context(), s.port(3)); err != nil {
			t.Errorf("removing what is gone: %v", err)
		}
		taken := s.port(4)
		taken.Steps[0].Ops[1] = ovn.SwitchPortAddresses("p4", "02:00:00:00:00:04 10.0.0.2")
		if err := s.Apply(t.Context(), taken); !executor.IsDuplicateAddress(err) {
			t.Errorf("an address that is taken: %v", err)
		}
		if got := s.ports(); !slices.Equal(got, []string{"p2"}) {
			t.Errorf("ports: %q", got)
		}
	})

	t.Run("many at once", func(t *testing.T) {
		before := len(s.calls())
		var all sync.WaitGroup
		for n := 10; n < 74; n++ {
			all.Go(func() {
				if err := s.Apply(t.Context(), s.port(n)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if calls := len(s.calls()) - before; calls > 40 {
			t.Errorf("64 ports took %d invocations", calls)
		}
		if got := len(s.ports()); got != 65 {
			t.Errorf("%d ports", got)
		}
	})
}

func TestADaemonThatEndsIsReplaced(t *testing.T) {
	s := serve(t)
	s.apply(1)
	first := s.pid()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.apply(2)
	s.apply(3)
	if second := s.pid(); second == first {
		t.Error("no other one was started")
	}
	if got := len(s.ports()); got != 3 {
		t.Errorf("%d ports", got)
	}
}

func TestADaemonOfAPluginThatWasKilledIsEnded(t *testing.T) {
	s := serve(t)
	s.apply(1)
	pid := s.pid()
	next := executor.New(zaptest.NewLogger(t))
	next.Run = s.Run
	next.Sweep()
	for range 500 {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); len(line) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it runs on")
}

// A daemon waits for a database that it cannot reach. Nobody should, and what it was asked for it must not do later.
func TestADaemonWhoseDatabaseIsSilent(t *testing.T) {
	s := serve(t)
	s.apply(1)
	pid := s.pid()
	stopped := pidOf(t, s.nb)
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	err := s.Apply(ctx, s.port(2))
	cancel()
	if !executor.IsUnreachable(err) {
		t.Errorf("the outcome: %v", err)
	}
	if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); len(line) > 0 {
		t.Error("the daemon still waits")
	}
	if err := syscall.Kill(stopped, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.apply(2)
	s.apply(3)
	if got := len(s.ports()); got != 3 {
		t.Errorf("%d ports", got)
	}
}

// pidOf is the process of a test's database server.
func pidOf(t *testing.T, address string) int {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && slices.Contains(strings.Split(string(text), "\x00"), "--remote=p"+address) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("nobody serves %s", address)
	return 0
}

// A daemon whose database does not answer waits for it in the background, where nobody else would end it.
func TestADaemonThatDoesNotComeUpIsEnded(t *testing.T) {
	s := serve(t)
	s.nb = "unix:" + filepath.Join(t.TempDir(), "nobody")
	if err := s.Apply(t.Context(), s.port(1)); !executor.IsUnreachable(err) {
		t.Fatalf("a database that is not there: %v", err)
	}
	pid := s.pid()
	s.close()
	for range 500 {
		// One that has ended and that nobody has waited for yet is a zombie, whose command line is empty.
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(text) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d runs on", pid)
}

// ovn-nbctl does not see that two ports of one transaction have one address.
func TestOneAddressIsNotGivenTwiceAtOnce(t *testing.T) {
	s := serve(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	var given []int
	all.Go(func() { s.apply(200) }) // which the others wait for
	for len(s.calls()) == 2 {       // "init" and "ls-add"
		time.Sleep(100 * time.Microsecond)
	}
	for n := range 10 {
		p, address := ovn.SwitchPort(fmt.Sprint("p", n)), fmt.Sprintf("02:00:00:00:00:%02x 10.0.0.9", n+1)
		one := plan.New(plan.Step{Target: ovn.Northbound(s.nb), Ops: []plan.Op{ovn.SwitchPortAdd("ls", p), ovn.SwitchPortAddresses(p, address)}})
		all.Go(func() {
			err := s.Apply(t.Context(), one)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				given = append(given, n)
			case !executor.IsDuplicateAddress(err):
				t.Errorf("port %d: %v", n, err)
			}
		})
	}
	all.Wait()
	if ports := s.ports(); len(given) != 1 || len(ports) != 2 {
		t.Errorf("the address was given to %v, ports: %q", given, ports)
	}
}
