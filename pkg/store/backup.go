package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	backupFolder = "backups"
	// backupsKept is how many changed states back an administrator can look.
	backupsKept = 5
)

// backupForm is a backup's name: a number that counts up, for the clock may be
// wrong, and the time for people.
var backupForm = regexp.MustCompile(`^([0-9]{6,})-[0-9TZ]+\.tar$`)

// backUp keeps all records as they are at this start, in one archive: one
// write, and nothing that damages the records in place damages it too. A start
// that finds what the last backup has makes none, so that a plugin that is
// restarted over and over does not push the older ones out. Views can be made
// again and are left out.
func (s *Store) backUp(collections []string) error {
	folder := filepath.Join(s.dir, backupFolder)
	archive, err := s.archive(collections)
	if err != nil || archive == nil {
		return err
	}
	if err := makeDir(folder); err != nil {
		return err
	}
	if _, err := sweep(folder); err != nil {
		return err
	}
	names, number, err := backups(folder)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if last, err := os.ReadFile(filepath.Join(folder, names[len(names)-1])); err == nil && bytes.Equal(last, archive) {
			return nil
		}
	}
	name := fmt.Sprintf("%06d-%s.tar", number+1, time.Now().UTC().Format("20060102T150405Z"))
	if err := writeFile(filepath.Join(folder, name), archive); err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)+1-backupsKept)] {
		if err := removeFile(filepath.Join(folder, old)); err != nil {
			return err
		}
	}
	return nil
}

// archive is a tar(5) archive of the collections' files, nil when there are
// none. The same files give the same bytes.
func (s *Store) archive(collections []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	some := false
	for _, collection := range collections {
		files, err := stateFiles(filepath.Join(s.dir, collection))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			info, err := os.Lstat(path)
			if err != nil || !info.Mode().IsRegular() {
				continue // a folder in place of a file: there is nothing to keep
			}
			text, err := os.ReadFile(path)
			if err != nil {
				continue // it is reported when it is opened
			}
			header := tar.Header{
				Name: collection + "/" + filepath.Base(path), Mode: fileMode, Size: int64(len(text)), ModTime: info.ModTime().Truncate(time.Second),
			}
			if err := errors.Join(w.WriteHeader(&header), write(w, text)); err != nil {
				return nil, fmt.Errorf("archiving %q: %w", path, err)
			}
			some = true
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("archiving the records: %w", err)
	}
	if !some {
		return nil, nil
	}
	return out.Bytes(), nil
}

func write(w *tar.Writer, text []byte) error {
	_, err := w.Write(text)
	return err
}

// backups are the names of those in a folder, the newest last, and its number.
func backups(folder string) (names []string, newest int, _ error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the backups: %w", err)
	}
	for _, e := range entries { // sorted by name
		if m := backupForm.FindStringSubmatch(e.Name()); m != nil {
			number, err := strconv.Atoi(m[1])
			if err != nil {
				continue // not one of ours
			}
			names, newest = append(names, e.Name()), number
		}
	}
	return names, newest, nil
}
