package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

type instance struct {
	UUID uuid.UUID `json:"uuid"`
}

// loadInstance reads instance.json, or makes it. A damaged one is handled as the mode says, except that skip keeps
// a good one; see the package comment.
func (s *Store) loadInstance() error {
	path := filepath.Join(s.dir, "instance"+extension)
	id, err := readInstance(path)
	switch {
	case err == nil:
		s.instance = id.String()
		return nil
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, ErrInvalid) && s.opts.Mode != Strict:
		// The file must give way to the new one, so it is kept even without Options.Backup: rows in OVN may still carry the
		// old UUID.
		backup, asideErr := setAside(path)
		if asideErr != nil {
			return asideErr
		}
		s.drop(Dropped{Path: path, Backup: backup, Reason: err.Error()})
	default:
		return fmt.Errorf("reading %q: %w; restore the file, or remove it: the records tell of the identity too", path, err)
	}
	return s.newInstance(path)
}

func readInstance(path string) (uuid.UUID, error) {
	text, err := readFile(path)
	if err != nil {
		return uuid.Nil, err
	}
	e, err := decode("instance", text)
	if err != nil {
		return uuid.Nil, err
	}
	var v instance
	if err := json.Unmarshal(e.Data, &v); err != nil || v.UUID == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%w: it holds no UUID", ErrInvalid)
	}
	return v.UUID, nil
}

func (s *Store) newInstance(path string) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("making the instance's UUID: %w", err)
	}
	s.report.NewInstance = true
	return s.putInstance(path, id)
}

func (s *Store) putInstance(path string, id uuid.UUID) error {
	data, err := json.Marshal(instance{id})
	if err != nil {
		return fmt.Errorf("encoding %q: %w", path, err)
	}
	now := time.Now().UTC()
	text, err := envelope{ID: "instance", Schema: newest(), Created: now, Updated: now, Data: data}.encode()
	if err != nil {
		return fmt.Errorf("encoding %q: %w", path, err)
	}
	if err := writeFile(path, text); err != nil {
		return err
	}
	s.instance = id.String()
	return nil
}
