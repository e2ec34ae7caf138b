package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

var textForm = regexp.MustCompile(`^tls/[0-9a-f]{12}/(ca|cert|key)\.pem$`)

// WriteText writes a file for programs that take nothing but files, such as
// "tls/0123456789ab/key.pem". As with views, records are the truth.
func (s *Store) WriteText(rel string, text []byte) error {
	if !textForm.MatchString(rel) {
		return fmt.Errorf("writing %q: want tls/ID/ca.pem, cert.pem or key.pem", rel)
	}
	path := filepath.Join(s.dir, filepath.FromSlash(rel))
	return s.change(path, func() error {
		for _, dir := range []string{filepath.Dir(filepath.Dir(path)), filepath.Dir(path)} {
			if err := makeDir(dir); err != nil {
				return err
			}
		}
		return writeFile(path, text)
	})
}

// KeepTexts removes all that WriteText has written, and what a crash left of it, but for
// one folder of tls, "" for none.
func (s *Store) KeepTexts(id string) error {
	dir := filepath.Join(s.dir, "tls")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", dir, err)
	}
	return s.change(dir, func() error {
		var all []error
		for _, e := range entries {
			if e.Name() != id {
				all = append(all, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
		return errors.Join(all...)
	})
}
