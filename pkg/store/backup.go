package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	backupFolder = "backups"
	// backupsKept is how many starts back an administrator can look.
	backupsKept = 5
	// backupTime is the name of a backup; names sort by time.
	backupTime = "20060102T150405.000000000Z"
)

// backUp keeps all records as they are at this start, in backups/TIME. The
// files are linked, not copied: a record is never changed in place, so a link
// is an exact copy and costs no space. Collections of records only; views can
// be made again.
func (s *Store) backUp(collections []string) error {
	target := filepath.Join(s.dir, backupFolder, time.Now().UTC().Format(backupTime))
	for _, collection := range collections {
		files, err := stateFiles(filepath.Join(s.dir, collection))
		if errors.Is(err, fs.ErrNotExist) || len(files) == 0 {
			continue
		}
		if err != nil {
			return err
		}
		if err := makeDir(filepath.Join(target, collection)); err != nil {
			return err
		}
		for _, path := range files {
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
				continue // a folder in place of a file: there is nothing to keep
			}
			// Not *.json: nobody should take it for state that is in use.
			if err := os.Link(path, filepath.Join(target, collection, filepath.Base(path)+".backup")); err != nil {
				return fmt.Errorf("backing up %q: %w%s", path, err, remedy(err))
			}
		}
	}
	return s.forgetBackups()
}

// forgetBackups removes all but the newest.
func (s *Store) forgetBackups() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, backupFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the backups: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := time.Parse(backupTime, e.Name()); err == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names[:max(0, len(names)-backupsKept)] {
		if err := os.RemoveAll(filepath.Join(s.dir, backupFolder, name)); err != nil {
			return fmt.Errorf("removing an old backup: %w", err)
		}
	}
	return nil
}
