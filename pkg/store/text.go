package store

import (
	"fmt"
	"path/filepath"
	"regexp"
)

var textForm = regexp.MustCompile(`^tls/(ca|cert|key)\.pem$`)

// WriteText writes a file for programs that take nothing but files, "tls/key.pem", and
// returns its path. As with views, records are the truth.
func (s *Store) WriteText(rel string, text []byte) (string, error) {
	if !textForm.MatchString(rel) {
		return "", fmt.Errorf("writing %q: want tls/ca.pem, tls/cert.pem or tls/key.pem", rel)
	}
	path := filepath.Join(s.dir, filepath.FromSlash(rel))
	return path, s.change(path, func() error {
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		return writeFile(path, text)
	})
}
