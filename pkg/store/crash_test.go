package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rerun prepares this test binary to run one of the roles below in a process of its own.
func rerun(t testing.TB, role, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "STORE_TEST_ROLE="+role, "STORE_TEST_DIR="+dir)
	return cmd
}

func TestMain(m *testing.M) {
	roles := map[string]func(string) error{
		"open": openRole, "write": writeRole, "full": fullRole, "readonly": readOnlyRole, "unreadable": unreadableRole,
		"crash": crashRole,
	}
	role, ok := roles[os.Getenv("STORE_TEST_ROLE")]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv("STORE_TEST_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func openRole(dir string) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	return s.Close()
}

// generation n of a record has n tags, each naming n and of varying size, so a mixture of two generations shows.
func generation(n int) thing {
	text := strconv.Itoa(n)
	tags := make([]string, 1+n%50)
	for i := range tags {
		tags[i] = text + strings.Repeat("x", n%100)
	}
	return thing{Name: text, Tags: tags}
}

func isGeneration(v thing) (int, bool) {
	n, err := strconv.Atoi(v.Name)
	return n, err == nil && fmt.Sprint(generation(n)) == fmt.Sprint(v)
}

// writeRole changes four records for ever, and prints each change once it was acknowledged.
func writeRole(dir string) error {
	s, err := Open(dir, Options{Mode: Strict})
	if err != nil {
		return err
	}
	c, err := NewCollection[thing](s, "networks")
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range 4 {
		go func() {
			id := fmt.Sprintf("id%d", i)
			n := 0
			if old, ok := c.Get(id); ok {
				n, _ = isGeneration(old.Data)
			}
			for {
				n++
				if err := c.Put(id, Record[thing]{Phase: Ready, Data: generation(n)}); err != nil {
					failed <- err
					return
				}
				// One write(2) to a pipe: lines do not mix, and nothing waits in a buffer for the kill.
				fmt.Fprintf(os.Stdout, "%s %d\n", id, n)
			}
		}()
	}
	return <-failed
}

// Killed at any moment, the process leaves each record whole, and none older than what was acknowledged.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	acknowledged := map[string]int{}
	var swept int
	for range rounds {
		cmd := rerun(t, "write", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var once sync.Once
		for lines.Scan() {
			id, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("the writer said %q", lines.Text())
			}
			acknowledged[id] = n
			// From the first line on, so that each round writes something.
			once.Do(func() {
				time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			})
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the writer ended by itself: %v, %s", err, stderr.String())
		}

		s := open(t, dir, Options{Mode: Strict})
		c := things(t, s)
		swept += len(s.Report().Swept)
		for id, n := range acknowledged {
			r, ok := c.Get(id)
			if got, whole := isGeneration(r.Data); !ok || !whole || got < n {
				t.Fatalf("%s: generation %d was acknowledged, found %d (there: %v, whole: %v)", id, n, got, ok, whole)
			}
		}
		closeStore(t, s)
		if left, _ := filepath.Glob(filepath.Join(dir, "networks", ".*")); len(left) > 0 {
			t.Fatalf("left behind: %q", left)
		}
	}
	t.Logf("%d kills, %d unfinished files swept, last generations %v", rounds, swept, acknowledged)
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	c := things(t, s)
	var work sync.WaitGroup
	var puts atomic.Int64
	for i := range 16 {
		work.Go(func() {
			for n := range 20 {
				id := fmt.Sprintf("id%d", (i+n)%5)
				if err := c.Put(id, Record[thing]{Phase: Ready, Data: generation(n)}); err != nil {
					t.Error(err)
				}
				puts.Add(1)
				if r, ok := c.Get(id); ok {
					if _, whole := isGeneration(r.Data); !whole {
						t.Errorf("%s is mixed: %+v", id, r.Data)
					}
				}
				for id, r := range c.List() {
					if _, whole := isGeneration(r.Data); !whole {
						t.Errorf("%s is mixed: %+v", id, r.Data)
					}
				}
				if n%7 == 6 {
					if err := c.Delete(id); err != nil {
						t.Error(err)
					}
				}
				if err := s.WriteView("ovn/port-bindings.json", c.List()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	before := c.List()
	closeStore(t, s)
	after := things(t, open(t, dir, Options{Mode: Strict})).List()
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("memory had %v\ndisk has   %v", before, after)
	}
}

// A put must not wait for another record's put.
func TestRecordsDoNotWaitForEachOther(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	c := things(t, s)
	release := s.keys.Wait(c.path("slow"))
	slow := make(chan error, 1)
	go func() { slow <- c.Put("slow", Record[thing]{Phase: Ready}) }()
	put(t, c, "fast", Record[thing]{Phase: Ready})
	if _, ok := c.Get("slow"); ok {
		t.Error("the locked record was written")
	}
	release()
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func BenchmarkPut(b *testing.B) {
	c := things(b, open(b, b.TempDir(), Options{}))
	r := Record[thing]{Phase: Ready, Data: generation(20)}
	for b.Loop() {
		put(b, c, "abc", r)
	}
}

func BenchmarkPutParallel(b *testing.B) {
	c := things(b, open(b, b.TempDir(), Options{}))
	r := Record[thing]{Phase: Ready, Data: generation(20)}
	var next atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		id := fmt.Sprintf("id%d", next.Add(1))
		for pb.Next() {
			put(b, c, id, r)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	c := things(b, open(b, b.TempDir(), Options{}))
	put(b, c, "abc", Record[thing]{Phase: Ready, Data: generation(20)})
	for b.Loop() {
		c.Get("abc")
	}
}
