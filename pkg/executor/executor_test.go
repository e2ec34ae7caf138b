package executor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// withoutWait is the plan for a database that has no ovs-vswitchd behind it.
func withoutWait(p plan.Plan) plan.Plan {
	for i, s := range p.Steps {
		if s.Target.Program == "ovs-vsctl" {
			p.Steps[i].Target.Args = append(slices.Clone(s.Target.Args), "--no-wait")
		}
	}
	return p
}

// fakes puts programs in the way of the real ones: scripts that note how they
// were called and do what the test says. This is how a fault is injected.
func fakes(t *testing.T, scripts map[string]string) (calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for name, body := range scripts {
		text := "#!/bin/sh\n" + `echo "` + name + ` $*" >>` + log + "\n" + body + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() []string {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func sample() plan.Plan {
	return plan.New(
		plan.Step{Target: link.Batch(), Ops: []plan.Op{link.VethAdd("ocn1", "oci1", "0a:00:00:00:00:01", 1500)}},
		plan.Step{Target: link.Ethtool(), Ops: []plan.Op{link.TxOff("oci1")}},
		plan.Step{Target: ovn.Northbound("tcp:192.0.2.5:6641"), Ops: []plan.Op{ovn.SwitchPortAdd("s", "p")}},
	)
}

func TestFailureAtEachStep(t *testing.T) {
	const fail = "echo refused >&2; exit 1"
	undoLink := "ip -force -batch -"
	for _, c := range []struct {
		fails  string
		undone bool
	}{{"ip", true}, {"ethtool", true}, {"ovn-nbctl", true}} {
		t.Run(c.fails, func(t *testing.T) {
			scripts := map[string]string{"ip": `case "$*" in *force*) exit 0;; esac; ` + body(c.fails == "ip", fail), "ethtool": body(c.fails == "ethtool", fail), "ovn-nbctl": body(c.fails == "ovn-nbctl", fail)}
			calls := fakes(t, scripts)
			err := executor.New(zaptest.NewLogger(t)).Apply(context.Background(), sample())
			if err == nil || !strings.Contains(err.Error(), "refused") {
				t.Fatalf("error %v", err)
			}
			got := calls()
			if slices.Contains(got, undoLink) != c.undone {
				t.Errorf("calls %q, want the link taken back: %v", got, c.undone)
			}
			// A transaction that was refused did nothing: nothing to take back.
			if n := len(slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "ovn-nbctl") })); c.fails == "ovn-nbctl" && n != 1 {
				t.Errorf("%d calls of ovn-nbctl, want 1", n)
			}
		})
	}
}

func body(fails bool, fail string) string {
	if fails {
		return fail
	}
	return "exit 0"
}

// A transaction that was cut off may have been committed, so it is taken back.
func TestStoppedTransactionIsTakenBack(t *testing.T) {
	calls := fakes(t, map[string]string{"ip": "exit 0", "ethtool": "exit 0", "ovn-nbctl": `case "$*" in *lsp-add*) exec sleep 20;; esac`})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err := executor.New(zaptest.NewLogger(t)).Apply(ctx, sample())
	if !errors.Is(err, context.DeadlineExceeded) || !executor.IsUnreachable(err) {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(calls(), "\n"); !strings.Contains(got, "lsp-del p") || !strings.Contains(got, "-force") {
		t.Errorf("not taken back:\n%s", got)
	}
}

func TestRemovalOfWhatIsGone(t *testing.T) {
	e := executor.New(zaptest.NewLogger(t))
	p := plan.New(sample().Steps[0])
	fakes(t, map[string]string{"ip": `echo 'Cannot find device "ocn1"' >&2; echo 'Command failed -:1' >&2; exit 1`})
	if err := e.Undo(context.Background(), p); err != nil {
		t.Errorf("what is gone is no failure: %v", err)
	}
	fakes(t, map[string]string{"ip": `echo 'RTNETLINK answers: Operation not permitted' >&2; exit 1`})
	if err := e.Undo(context.Background(), p); err == nil {
		t.Error("a failure was taken for success")
	}
}

// A program that could not run has not found that nothing is there.
func TestRemovalThatDidNotRun(t *testing.T) {
	fakes(t, map[string]string{"ip": "exit 127"})
	if err := executor.New(zaptest.NewLogger(t)).Undo(t.Context(), plan.New(sample().Steps[0])); err == nil {
		t.Error("a failure was taken for success")
	}
}

// What the first command of a batch refuses was there before, and stays.
func TestFirstCommandOfABatchFails(t *testing.T) {
	calls := fakes(t, map[string]string{"ip": `echo 'RTNETLINK answers: File exists' >&2; echo 'Command failed -:1' >&2; exit 1`})
	if err := executor.New(zaptest.NewLogger(t)).Apply(t.Context(), sample()); err == nil {
		t.Error("no error")
	}
	if got := calls(); len(got) != 1 {
		t.Errorf("calls %q, want the one that failed", got)
	}
}

func TestDatabaseErrorWithStatusZero(t *testing.T) {
	e := executor.New(zaptest.NewLogger(t))
	tx := ovsdb.Transaction{Server: "unix:/x", Database: "D", Operations: []ovsdb.Operation{ovsdb.Select("T", nil, "c")}}
	fakes(t, map[string]string{"ovsdb-client": `echo '[{"error":"timed out"}]'`})
	if err := e.Apply(context.Background(), plan.New(tx.Step())); !errors.Is(err, ovsdb.ErrTimedOut) {
		t.Errorf("error %v", err)
	}
	if _, err := e.Transact(context.Background(), tx); !errors.Is(err, ovsdb.ErrTimedOut) {
		t.Errorf("error %v", err)
	}
}

func TestUnknownProgramDoesNotRun(t *testing.T) {
	p := plan.New(plan.Step{Target: plan.Target{Program: "sh", Form: plan.Each}, Ops: []plan.Op{{Do: []string{"-c", "true"}}}})
	if err := executor.New(zaptest.NewLogger(t)).Apply(context.Background(), p); err == nil {
		t.Error("a shell ran")
	}
}

// The texts that mean "does not answer" are those of the real programs.
func TestUnreachableIsRecognised(t *testing.T) {
	e := executor.New(zaptest.NewLogger(t))
	for _, program := range []string{"ovsdb-client", "ovn-nbctl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "%s is not installed", program)
		}
	}
	const nobody = "tcp:127.0.0.1:1"
	if err := e.DatabaseReady(context.Background(), nobody, ovsdb.Northbound); !executor.IsUnreachable(err) {
		t.Errorf("ovsdb-client: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	p := plan.New(plan.Step{Target: ovn.Northbound(nobody), Ops: []plan.Op{ovn.SwitchPortAdd("s", "p")}})
	if err := e.Apply(ctx, p); !executor.IsUnreachable(err) {
		t.Errorf("ovn-nbctl: %v", err)
	}
	if err := e.DatabaseReady(context.Background(), "unix:/nowhere.sock", ovsdb.Local); !executor.IsUnreachable(err) {
		t.Errorf("no socket: %v", err)
	}
}
