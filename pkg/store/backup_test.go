package store

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each start keeps the records as it found them, and the oldest backups go.
func TestBackUp(t *testing.T) {
	dir := t.TempDir()
	for i := range backupsKept + 3 {
		s := open(t, dir, Options{Backup: true})
		put(t, things(t, s), "a", Record[thing]{Phase: Ready, Data: thing{Name: fmt.Sprint("version ", i)}})
		if problems := s.Report().Problems; len(problems) > 0 {
			t.Errorf("problems %q", problems)
		}
		closeStore(t, s)
	}
	for range 2 { // with nothing new to keep: the second finds what the first has kept
		closeStore(t, open(t, dir, Options{Backup: true}))
	}
	// A file that is overwritten in place is no business of its backups.
	if err := os.Truncate(filepath.Join(dir, "networks", "a.json"), 0); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "backups", "*"))
	if err != nil || len(kept) != backupsKept {
		t.Fatalf("kept %q (%v), want %d", kept, err, backupsKept)
	}
	for i, path := range kept {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r := tar.NewReader(f)
		header, err := r.Next()
		if err != nil || header.Name != "networks/a.json" {
			t.Errorf("%s begins with %v (%v)", path, header, err)
		}
		text, err := io.ReadAll(r)
		if want := fmt.Sprint("version ", i+3); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q (%v)", path, want, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoBackUp(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s := open(t, dir, Options{})
		put(t, things(t, s), "a", Record[thing]{Phase: Ready})
		closeStore(t, s)
	}
	if _, err := os.Stat(filepath.Join(dir, "backups")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there are backups: %v", err)
	}
}

// A backup that cannot be made is told, and keeps nothing from working.
func TestBackUpFails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Backup: true})
	put(t, things(t, s), "a", Record[thing]{Phase: Ready})
	closeStore(t, s)
	if err := os.WriteFile(filepath.Join(dir, "backups"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{Backup: true})
	if _, ok := things(t, s).Get("a"); !ok || len(s.Report().Problems) != 1 {
		t.Errorf("found %t, problems %q", ok, s.Report().Problems)
	}
}

// A folder in place of a record's file is set aside as a damaged file is, so
// that the record can be stored again.
func TestFolderInPlace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Backup: true})
	closeStore(t, s)
	path := filepath.Join(dir, "networks", "a.json")
	if err := os.MkdirAll(filepath.Join(path, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	strict, err := Open(dir, Options{Mode: Strict})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCollection[thing](strict, "networks"); !errors.Is(err, ErrInvalid) {
		t.Errorf("strict: %v", err)
	}
	closeStore(t, strict)
	s = open(t, dir, Options{Backup: true})
	c := things(t, s)
	if dropped := s.Report().Dropped; len(dropped) != 1 || dropped[0].Backup != path+".backup" {
		t.Errorf("dropped %v", dropped)
	}
	put(t, c, "a", Record[thing]{Phase: Ready})
}

// Records of an older schema are brought up to date when they are read; those
// that cannot be are invalid.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	c := things(t, s)
	put(t, c, "a", Record[thing]{Phase: Ready, Data: thing{Name: "old"}})
	put(t, c, "b", Record[thing]{Phase: Ready, Data: thing{Name: "broken"}})
	closeStore(t, s)

	migrations = append(migrations, func(collection string, data json.RawMessage) (json.RawMessage, error) {
		if strings.Contains(string(data), "broken") {
			return nil, errors.New("no such thing")
		}
		return json.RawMessage(strings.Replace(string(data), "old", "new of "+collection, 1)), nil
	})
	t.Cleanup(func() { migrations = migrations[:len(migrations)-1] })
	for range 2 { // read anew after it was put
		s = open(t, dir, Options{})
		c = things(t, s)
		r, _ := c.Get("a")
		if r.Data.Name != "new of networks" || r.Schema != newest() {
			t.Errorf("read %+v", r)
		}
		if dropped := s.Report().Dropped; len(dropped) != 1 || !strings.Contains(dropped[0].Reason, "no such thing") {
			t.Errorf("dropped %v", dropped)
		}
		put(t, c, "a", r)
		closeStore(t, s)
	}
}
