package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// recorder is a database that takes a second for each commit, and refuses "bad".
type recorder struct {
	mu    sync.Mutex
	calls []string
}

func (r *recorder) commit(ctx context.Context, ops []plan.Op) error {
	r.mu.Lock()
	r.calls = append(r.calls, strings.Join(words(ops), " "))
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return &CommandError{Argv: []string{"ovn-nbctl"}, Stopped: true, Err: context.Cause(ctx)}
	case <-time.After(time.Second):
	}
	if slices.ContainsFunc(ops, func(op plan.Op) bool { return op.Do[0] == "bad" }) {
		return &CommandError{Argv: []string{"ovn-nbctl"}, Stderr: "bad is refused", Err: errors.New("exit status 1")}
	}
	return nil
}

func op(name string) []plan.Op { return []plan.Op{{Do: []string{name}}} }

func TestChainsThatWaitGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit}
		outcome := map[string]error{}
		var mu sync.Mutex
		var all sync.WaitGroup
		send := func(name string) {
			all.Go(func() {
				err := g.do(t.Context(), op(name))
				mu.Lock()
				defer mu.Unlock()
				outcome[name] = err
			})
			synctest.Wait()
		}
		for _, name := range []string{"first", "a", "bad", "b"} {
			send(name)
		}
		all.Wait()
		want := []string{"first", "a -- bad -- b", "a", "bad -- b", "bad", "b"}
		if !slices.Equal(r.calls, want) {
			t.Errorf("commits: %q, want %q", r.calls, want)
		}
		for name, err := range outcome {
			if (err != nil) != (name == "bad") {
				t.Errorf("%s: %v", name, err)
			}
		}
		send("later")
		all.Wait()
		if last := r.calls[len(r.calls)-1]; last != "later" {
			t.Errorf("the last commit is %q", last)
		}
	})
}

func TestChainsOfManyAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit}
		var all sync.WaitGroup
		for i := range groupLimit + 2 {
			all.Go(func() {
				if err := g.do(t.Context(), op(fmt.Sprint("c", i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if len(r.calls) != 3 || strings.Count(r.calls[1], "--") != groupLimit-1 {
			t.Errorf("%d commits", len(r.calls))
		}
	})
}

// Whoever gave up must not find made, later, what it has begun to take back.
func TestAChainThatIsGivenUpIsNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit}
		go func() { _ = g.do(t.Context(), op("first")) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := g.do(short, op("given-up")); !IsUnreachable(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its outcome: %v", err)
		}
		if err := g.do(t.Context(), op("last")); err != nil {
			t.Error(err)
		}
		if want := []string{"first", "last"}; !slices.Equal(r.calls, want) {
			t.Errorf("commits: %q, want %q", r.calls, want)
		}
	})
}

// A commit whose outcome is unknown is nobody's to try again.
func TestAGroupThatIsStoppedIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit}
		go func() { _ = g.do(t.Context(), op("first")) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			all.Go(func() {
				if err := g.do(short, op(name)); !IsUnreachable(err) {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		synctest.Wait()
		if want := []string{"first", "a -- b"}; !slices.Equal(r.calls, want) {
			t.Errorf("commits: %q, want %q", r.calls, want)
		}
	})
}

// While those before it are tried by themselves, the time of one may end.
func TestAChainOfAGroupThatWasRefusedIsNotTriedWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit}
		go func() { _ = g.do(t.Context(), op("first")) }()
		synctest.Wait()
		go func() { _ = g.do(t.Context(), op("bad")) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err := g.do(short, op("late"))
		var failed *CommandError
		if !errors.As(err, &failed) || !failed.Stopped || !slices.Equal(failed.Argv, []string{"ovn-nbctl", "late"}) {
			t.Errorf("its outcome: %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := []string{"first", "bad -- late", "bad"}; !slices.Equal(r.calls, want) {
			t.Errorf("commits: %q, want %q", r.calls, want)
		}
	})
}

func TestChainsThatClaimTheSameGoOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		g := group{program: "ovn-nbctl", commit: r.commit, claims: func(ops []plan.Op) []string { return ops[0].Do }}
		var all sync.WaitGroup
		for _, name := range []string{"first", "a", "b", "a", "c"} {
			all.Go(func() {
				if err := g.do(t.Context(), op(name)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if want := []string{"first", "a -- b", "a -- c"}; !slices.Equal(r.calls, want) {
			t.Errorf("commits: %q, want %q", r.calls, want)
		}
	})
}
