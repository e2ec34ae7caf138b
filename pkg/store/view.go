package store

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var viewForm = regexp.MustCompile(`^((ipam|ovn)/[0-9A-Za-z][0-9A-Za-z._-]{0,159}|recovery)\.json$`)

// WriteView writes a view of the state for people and tools, such as "ipam/<network-id>-pool.json" or
// "ovn/port-bindings.json", with the same checksum and durability as a record. Views are never read back: the collections
// are the truth.
func (s *Store) WriteView(rel string, v any) error {
	if !viewForm.MatchString(rel) {
		return fmt.Errorf("writing the view %q: want ipam/NAME.json, ovn/NAME.json or recovery.json", rel)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the view %q: %w", rel, err)
	}
	path := filepath.Join(s.dir, filepath.FromSlash(rel))
	return s.change(path, func() error {
		// A view is made anew each time, so it has no other time of creation than that of its update.
		now := time.Now().UTC()
		text, err := envelope{ID: strings.TrimSuffix(rel, extension), Schema: newest(), Created: now, Updated: now, Data: data}.encode()
		if err != nil {
			return fmt.Errorf("encoding the view %q: %w", rel, err)
		}
		return writeFile(path, text)
	})
}

// RemoveView removes a view with the object that it shows. One that is not there is no error.
func (s *Store) RemoveView(rel string) error {
	if !viewForm.MatchString(rel) {
		return fmt.Errorf("removing the view %q: want ipam/NAME.json, ovn/NAME.json or recovery.json", rel)
	}
	path := filepath.Join(s.dir, filepath.FromSlash(rel))
	return s.change(path, func() error { return removeFile(path) })
}
