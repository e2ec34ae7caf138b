package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// damages are ways in which the good file of the record "bad" can be wrong. Each gives the new content.
var damages = map[string]func(t *testing.T, good string) string{
	"empty":         func(*testing.T, string) string { return "" },
	"cut":           func(_ *testing.T, good string) string { return good[:len(good)/2] },
	"null":          func(*testing.T, string) string { return "null" },
	"list":          func(*testing.T, string) string { return "[]" },
	"zeros":         func(_ *testing.T, good string) string { return strings.Repeat("\x00", len(good)) },
	"twice":         func(_ *testing.T, good string) string { return good + good },
	"changed":       func(_ *testing.T, good string) string { return strings.Replace(good, "precious", "Precious", 1) },
	"phase changed": func(_ *testing.T, good string) string { return strings.Replace(good, `"ready"`, `"pending"`, 1) },
	"no checksum":   func(_ *testing.T, good string) string { return strings.Replace(good, `"checksum"`, `"check"`, 1) },
	"no data": func(t *testing.T, _ string) string {
		return seal(t, envelope{ID: "networks/bad", Schema: 1, Phase: Ready}, "data")
	},
	"other type": func(t *testing.T, _ string) string { return sealData(t, `[1]`) },
	"unknown phase": func(t *testing.T, _ string) string {
		return seal(t, envelope{ID: "networks/bad", Schema: 1, Phase: "x"}, "")
	},
	"newer schema": func(t *testing.T, _ string) string {
		return seal(t, envelope{ID: "networks/bad", Schema: 2, Phase: Ready}, "")
	},
	"schema zero": func(t *testing.T, _ string) string { return seal(t, envelope{ID: "networks/bad", Phase: Ready}, "") },
	"another record's": func(t *testing.T, _ string) string {
		return seal(t, envelope{ID: "networks/good", Schema: 1, Phase: Ready}, "")
	},
	"another's instead": func(t *testing.T, _ string) string {
		return seal(t, envelope{ID: "endpoints/bad", Schema: 1, Phase: Ready}, "")
	},
}

// seal gives a file with a right checksum, without the field of that name.
func seal(t *testing.T, e envelope, without string) string {
	t.Helper()
	if e.Data == nil {
		e.Data = json.RawMessage(`{}`)
	}
	text, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	if without == "" {
		return string(text)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, without)
	sum, err := checksum(fields)
	if err != nil {
		t.Fatal(err)
	}
	fields["checksum"] = json.RawMessage(`"` + sum + `"`)
	text, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sealData(t *testing.T, data string) string {
	return seal(t, envelope{ID: "networks/bad", Schema: 1, Phase: Ready, Data: json.RawMessage(data)}, "")
}

// damaged makes a data directory with one good and one damaged record.
func damaged(t *testing.T, damage func(*testing.T, string) string) (dir, bad string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, Options{})
	c := things(t, s)
	put(t, c, "good", Record[thing]{Phase: Ready})
	put(t, c, "bad", Record[thing]{Phase: Ready, Data: thing{Name: "precious"}})
	closeStore(t, s)
	bad = filepath.Join(dir, "networks", "bad.json")
	writeText(t, bad, damage(t, readText(t, bad)))
	return dir, bad
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDamageInEachMode(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir, bad := damaged(t, damage)
			content := readText(t, bad)

			strict := open(t, dir, Options{Mode: Strict, Backup: true})
			_, err := NewCollection[thing](strict, "networks")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "PLUGIN_RECOVERY_MODE") {
				t.Fatalf("strict: error is %v", err)
			}
			if readText(t, bad) != content {
				t.Error("strict changed the file")
			}
			closeStore(t, strict)

			lenient := open(t, dir, Options{Mode: Lenient})
			c := things(t, lenient)
			dropped := lenient.Report().Dropped
			if c.Len() != 1 || len(dropped) != 1 || dropped[0].Path != bad || dropped[0].Backup != "" || readText(t, bad) != content {
				t.Errorf("lenient without backup: %d records, dropped %v", c.Len(), dropped)
			}
			closeStore(t, lenient)

			lenient = open(t, dir, Options{Backup: true})
			c = things(t, lenient)
			dropped = lenient.Report().Dropped
			if c.Len() != 1 || len(dropped) != 1 || dropped[0].Backup != bad+".backup" || readText(t, bad+".backup") != content {
				t.Errorf("lenient with backup: %d records, dropped %v", c.Len(), dropped)
			}
			if _, ok := c.Get("good"); !ok {
				t.Error("the good record is not there")
			}
			put(t, c, "bad", Record[thing]{Phase: Ready})
			closeStore(t, lenient)

			healed := open(t, dir, Options{Mode: Strict})
			if c := things(t, healed); c.Len() != 2 {
				t.Errorf("afterwards there are %d records", c.Len())
			}
		})
	}
}

func TestStrictNamesAllBadFiles(t *testing.T) {
	dir, first := damaged(t, damages["cut"])
	second := filepath.Join(dir, "networks", "other.json")
	writeText(t, second, "{}")
	third := filepath.Join(dir, "networks", "not an id.json")
	writeText(t, third, "{}")
	s := open(t, dir, Options{Mode: Strict})
	_, err := NewCollection[thing](s, "networks")
	for _, path := range []string{first, second, third} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v does not name %s", err, path)
		}
	}
	if _, err := NewCollection[thing](s, "networks"); err == nil || strings.Contains(err.Error(), "open already") {
		t.Errorf("the second try fails with %v", err)
	}
}

func TestSkipStartsFreshAndKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	put(t, things(t, s), "abc", Record[thing]{Phase: Ready, Data: thing{Name: "old"}})
	if err := s.WriteView("ipam/abc-pool.json", 1); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	path := filepath.Join(dir, "networks", "abc.json")
	content := readText(t, path)

	for i, backup := range []string{path + ".backup", path + ".2.backup", path + ".3.backup"} {
		skipped := open(t, dir, Options{Mode: Skip})
		c := things(t, skipped)
		if c.Len() != 0 || skipped.Instance() != s.Instance() {
			t.Errorf("start %d: %d records, instance %q, was %q", i, c.Len(), skipped.Instance(), s.Instance())
		}
		if i == 0 && (readText(t, backup) != content || len(skipped.Report().Dropped) != 2) {
			t.Errorf("the report is %v", skipped.Report().Dropped)
		}
		if _, err := os.Stat(backup); err != nil {
			t.Error(err)
		}
		put(t, c, "abc", Record[thing]{Phase: Ready})
		closeStore(t, skipped)
	}
}

func TestDamagedInstance(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	closeStore(t, s)
	path := filepath.Join(dir, "instance.json")
	writeText(t, path, strings.Replace(readText(t, path), s.Instance(), "00000000-0000-4000-8000-000000000000", 1))

	if _, err := Open(dir, Options{Mode: Strict}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("strict: %v", err)
	}
	again := open(t, dir, Options{})
	dropped := again.Report().Dropped
	if again.Instance() == s.Instance() || !again.Report().NewInstance || len(dropped) != 1 || dropped[0].Backup != path+".backup" {
		t.Errorf("lenient: instance %q, report %+v", again.Instance(), again.Report())
	}
}

// What cannot be read may be good: it must not be renamed, and strict must not start without it.
func TestUnreadableFileIsLeftAlone(t *testing.T) {
	dir, bad := damaged(t, damages["cut"])
	if err := os.Chmod(bad, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if err := unreadableRole(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	// Root reads everything, so a child becomes an ordinary user. It cannot pass through the test's own folder.
	open, err := os.MkdirTemp("", "store-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(open); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(open, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(open, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(open, "networks", "bad.json"), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := rerun(t, "unreadable", open).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

const nobody = 65534

func unreadableRole(dir string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	s, err := Open(dir, Options{Backup: true})
	if err != nil {
		return err
	}
	c, err := NewCollection[thing](s, "networks")
	if err != nil {
		return err
	}
	if dropped := s.Report().Dropped; c.Len() != 1 || len(dropped) != 1 || dropped[0].Backup != "" {
		return fmt.Errorf("lenient: %d records, dropped %v", c.Len(), dropped)
	}
	if _, err := os.Lstat(filepath.Join(dir, "networks", "bad.json")); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(dir, Options{Mode: Strict}); err != nil {
		return err
	}
	if _, err := NewCollection[thing](s, "networks"); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("strict: %v", err)
	}
	return s.Close()
}

// `jq . file > file` and the like change the layout, not the content.
func TestLayoutOfTheFileDoesNotMatter(t *testing.T) {
	dir, bad := damaged(t, func(t *testing.T, good string) string {
		var v map[string]json.RawMessage
		if err := json.Unmarshal([]byte(good), &v); err != nil {
			t.Fatal(err)
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		slices.Reverse(keys)
		var b strings.Builder
		for i, k := range keys {
			b.WriteString(map[bool]string{true: "{", false: " ,\t"}[i == 0] + `"` + k + `":` + string(v[k]))
		}
		return b.String() + "}"
	})
	s := open(t, dir, Options{Mode: Strict})
	if r, ok := things(t, s).Get("bad"); !ok || r.Data.Name != "precious" {
		t.Errorf("%s gives %+v", readText(t, bad), r)
	}
}

// FuzzStateFile feeds any bytes to the loader, which must neither panic nor accept what it would not write.
func FuzzStateFile(f *testing.F) {
	text, err := envelope{ID: "networks/a", Schema: 1, Phase: Ready, Data: json.RawMessage(`{"name":"<x>"}`)}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"checksum":"sha256:"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decode("networks/a", text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode("networks/a", again); err != nil || back.Phase != e.Phase {
			t.Fatalf("accepted %q, rewritten as %q, then %v", text, again, err)
		}
	})
}
