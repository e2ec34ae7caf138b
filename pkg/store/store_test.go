package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

type thing struct {
	Name string            `json:"name"`
	Tags []string          `json:"tags,omitempty"`
	Keys map[string]string `json:"keys,omitempty"`
}

func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func things(t testing.TB, s *Store) *Collection[thing] {
	t.Helper()
	c, err := NewCollection[thing](s, "networks")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t testing.TB, c *Collection[thing], id string, r Record[thing]) {
	t.Helper()
	if err := c.Put(id, r); err != nil {
		t.Fatal(err)
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s := open(t, dir, Options{})
	for _, name := range []string{"networks", "endpoints", "ipam", "ovn"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want a directory with mode 0700", name, info, err)
		}
	}
	put(t, things(t, s), "abc", Record[thing]{Phase: Ready})
	for _, name := range []string{"instance.json", "networks/abc.json", "lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a file with mode 0600", name, info, err)
		}
	}
}

func TestRecordsSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	c := things(t, s)
	want := thing{Name: "<web> & \u2028 ünï", Tags: []string{"a", "b"}, Keys: map[string]string{"k": "v"}}
	put(t, c, "abc", Record[thing]{Phase: Pending, Data: want})
	first, _ := c.Get("abc")
	put(t, c, "abc", Record[thing]{Phase: Ready, Data: want})
	put(t, c, "gone", Record[thing]{Phase: Deleting})
	if err := c.Delete("gone"); err != nil {
		t.Fatal(err)
	}
	before, _ := c.Get("abc")
	if !before.Created.Equal(first.Created) || before.Updated.Before(first.Updated) {
		t.Errorf("created %v then %v, updated %v then %v", first.Created, before.Created, first.Updated, before.Updated)
	}
	if before.Schema != SchemaVersion || before.Phase != Ready || !reflect.DeepEqual(before.Data, want) {
		t.Errorf("got %+v", before)
	}
	closeStore(t, s)

	again := open(t, dir, Options{Mode: Strict})
	if again.Instance() != s.Instance() || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(s.Instance()) {
		t.Errorf("instance was %q, is %q", s.Instance(), again.Instance())
	}
	c = things(t, again)
	if after, ok := c.Get("abc"); !ok || !reflect.DeepEqual(after, before) {
		t.Errorf("was %+v\nis  %+v", before, after)
	}
	if c.Len() != 1 {
		t.Errorf("there are %d records, want 1", c.Len())
	}
	report := again.Report()
	if report.Loaded["networks"] != 1 || len(report.Dropped) != 0 || report.NewInstance || !s.Report().NewInstance {
		t.Errorf("report is %+v", report)
	}
}

func TestCallersCannotChangeWhatIsStored(t *testing.T) {
	c := things(t, open(t, t.TempDir(), Options{}))
	mine := thing{Tags: []string{"a"}, Keys: map[string]string{"k": "v"}}
	put(t, c, "abc", Record[thing]{Phase: Ready, Data: mine})
	mine.Tags[0], mine.Keys["k"] = "changed", "changed"

	got, _ := c.Get("abc")
	got.Data.Tags[0], got.Data.Keys["k"] = "changed", "changed"

	got, _ = c.Get("abc")
	if got.Data.Tags[0] != "a" || got.Data.Keys["k"] != "v" {
		t.Errorf("the stored record is now %+v", got.Data)
	}
	delete(c.List(), "abc")
	if c.Len() != 1 {
		t.Error("deleting from a list deleted the record")
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	c := things(t, s)
	for _, id := range []string{"", ".", "..", ".a", "a/b", "../a", "a b", "-a", "a\x00", strings.Repeat("a", 129)} {
		if c.Put(id, Record[thing]{Phase: Ready}) == nil || c.Delete(id) == nil {
			t.Errorf("the id %q was taken", id)
		}
	}
	if c.Put("a", Record[thing]{}) == nil || c.Put("a", Record[thing]{Phase: "done"}) == nil {
		t.Error("a record without a valid phase was stored")
	}
	if c.Put("a", Record[thing]{Phase: Ready, Schema: SchemaVersion + 1}) == nil {
		t.Error("a record of an unknown schema was stored")
	}
	for _, rel := range []string{"", "networks/a.json", "ipam/../a.json", "ipam/a", "/ipam/a.json", "ovn/.a.json"} {
		if s.WriteView(rel, 1) == nil || s.RemoveView(rel) == nil {
			t.Errorf("the view %q was taken", rel)
		}
	}
	if err := s.WriteView("ovn/a.json", func() {}); err == nil {
		t.Error("a function was stored")
	}
	if _, err := NewCollection[thing](s, "networks"); err == nil {
		t.Error("a collection was opened twice")
	}
	for _, name := range []string{"", "../x", "Networks"} {
		if _, err := NewCollection[thing](s, name); err == nil {
			t.Errorf("the collection %q was opened", name)
		}
	}
	if _, err := Open(t.TempDir(), Options{Mode: "relaxed"}); err == nil {
		t.Error("an unknown mode was taken")
	}
}

// A type that JSON writes but cannot read back must fail when it is put, not at the next start.
func TestDataThatDoesNotSurviveIsRefused(t *testing.T) {
	c, err := NewCollection[oneWay](open(t, t.TempDir(), Options{}), "networks")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put("a", Record[oneWay]{Phase: Ready}); err == nil {
		t.Error("stored")
	}
	if c.Len() != 0 {
		t.Error("the record is in memory")
	}
}

type oneWay struct{}

func (oneWay) MarshalJSON() ([]byte, error)  { return []byte(`"x"`), nil }
func (*oneWay) UnmarshalJSON(b []byte) error { return errors.New("unreadable " + string(b)) }

func TestViews(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	rel := "ipam/abc-pool.json"
	if err := s.WriteView(rel, map[string]int{"used": 2}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, rel))
	if err != nil {
		t.Fatal(err)
	}
	e, err := decode("ipam/abc-pool", text)
	if err != nil || string(regexp.MustCompile(`\s`).ReplaceAll(e.Data, nil)) != `{"used":2}` {
		t.Errorf("the view holds %s, %v", e.Data, err)
	}
	for range 2 {
		if err := s.RemoveView(rel); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, rel)); !os.IsNotExist(err) {
		t.Errorf("the view is still there: %v", err)
	}
}

func TestClosedStore(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	c := things(t, s)
	put(t, c, "a", Record[thing]{Phase: Ready})
	closeStore(t, s)
	if err := c.Put("a", Record[thing]{Phase: Deleting}); !errors.Is(err, ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if err := c.Delete("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("delete: %v", err)
	}
	if r, ok := c.Get("a"); !ok || r.Phase != Ready {
		t.Errorf("get: %+v, %v", r, ok)
	}
}

func TestSecondOpenerIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("same process: %v", err)
	}
	out, err := rerun(t, "open", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), ErrLocked.Error()) {
		t.Errorf("other process: %v, %s", err, out)
	}
	closeStore(t, s)
	if out, err := rerun(t, "open", dir).CombinedOutput(); err != nil {
		t.Errorf("after close: %v, %s", err, out)
	}
}

// A process that the plugin started may live longer than the plugin, which must find its lock free after a crash.
func TestChildrenDoNotKeepTheLock(t *testing.T) {
	dir := t.TempDir()
	out, err := rerun(t, "crash", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(out))
	if err != nil {
		t.Fatalf("the child said %q", out)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the grandchild is gone already: %v", err)
	}
	open(t, dir, Options{})
}

// crashRole ends without closing the store and leaves a child behind.
func crashRole(dir string) error {
	if _, err := Open(dir, Options{}); err != nil {
		return err
	}
	child := exec.Command("sleep", "30")
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Print(child.Process.Pid)
	return nil
}

func TestUnfinishedFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, open(t, dir, Options{}))
	for _, name := range []string{".instance.json123", "networks/.abc.json4567", "ipam/.x-pool.json1"} {
		writeText(t, filepath.Join(dir, name), "half")
	}
	writeText(t, filepath.Join(dir, "networks", ".gitkeep"), "")
	writeText(t, filepath.Join(dir, "networks", "notes.txt"), "mine")
	s := open(t, dir, Options{Mode: Strict})
	things(t, s)
	if swept := s.Report().Swept; len(swept) != 3 {
		t.Errorf("swept %q, want three files", swept)
	}
	for _, path := range s.Report().Swept {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there", path)
		}
	}
	for _, name := range []string{".gitkeep", "notes.txt"} {
		if _, err := os.Stat(filepath.Join(dir, "networks", name)); err != nil {
			t.Errorf("a file that is not ours was taken away: %v", err)
		}
	}
}

func TestTimesAreUTC(t *testing.T) {
	c := things(t, open(t, t.TempDir(), Options{}))
	created := time.Now().Add(-time.Hour)
	put(t, c, "a", Record[thing]{Phase: Ready, Created: created})
	r, _ := c.Get("a")
	if !r.Created.Equal(created) || r.Created.Location() != time.UTC || r.Updated.Location() != time.UTC {
		t.Errorf("created %v (given %v), updated %v", r.Created, created, r.Updated)
	}
}

func writeText(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
