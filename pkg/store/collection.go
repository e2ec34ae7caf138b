package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Phase tells how far the object behind a record is. A crash leaves pending and deleting records, which recovery takes
// back.
type Phase string

// The phases of a record.
const (
	Pending  Phase = "pending"
	Ready    Phase = "ready"
	Deleting Phase = "deleting"
)

// Record is one stored object.
type Record[T any] struct {
	// Schema is the layout of Data. Put fills in SchemaVersion when it is 0.
	Schema int
	Phase  Phase

	// Created and Updated are in UTC. Put sets Updated always, and Created when it is zero.
	Created, Updated time.Time

	Data T
}

var (
	idForm   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$`)
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// Collection is the records of one folder. Its methods may be called concurrently.
type Collection[T any] struct {
	store *Store
	name  string
	dir   string

	// mu is held for map accesses only, never during a write to disk.
	mu      sync.RWMutex
	records map[string]stored[T]
}

// stored keeps the JSON of Data beside its decoded form: Get decodes it anew, so that what a caller does to its copy
// cannot change what others read.
type stored[T any] struct {
	record Record[T]
	data   json.RawMessage
}

// NewCollection loads the folder of that name, making it when missing. T must survive encoding/json: unexported fields
// are lost. Opening the same collection twice is an error, as each would miss the changes of the other.
func NewCollection[T any](s *Store, name string) (*Collection[T], error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("opening the collection %q: not a usable name", name)
	}
	if !s.claim(name) {
		return nil, fmt.Errorf("opening the collection %q: it is open already", name)
	}
	c := &Collection[T]{store: s, name: name, dir: filepath.Join(s.dir, name), records: map[string]stored[T]{}}
	err := makeDir(c.dir)
	if err == nil {
		err = c.load()
	}
	s.settle(name, len(c.records), err)
	if err != nil {
		return nil, fmt.Errorf("opening the collection %q: %w", name, err)
	}
	return c, nil
}

func (c *Collection[T]) load() error {
	files, err := stateFiles(c.dir)
	if err != nil {
		return err
	}
	var bad []error
	for _, path := range files {
		id := strings.TrimSuffix(filepath.Base(path), extension)
		r, err := c.read(id, path)
		if err == nil {
			c.records[id] = r
			continue
		}
		if c.store.opts.Mode == Strict {
			bad = append(bad, fmt.Errorf("%s: %w", path, err))
			continue
		}
		d := Dropped{Path: path, Reason: err.Error()}
		if c.store.opts.Backup && errors.Is(err, ErrInvalid) {
			if d.Backup, err = setAside(path); err != nil {
				d.Reason += "; " + err.Error()
			}
		}
		c.store.drop(d)
	}
	if len(bad) > 0 {
		return fmt.Errorf("recovery mode is strict; restore or remove these files, or set PLUGIN_RECOVERY_MODE=lenient: %w", errors.Join(bad...))
	}
	return nil
}

func (c *Collection[T]) read(id, path string) (stored[T], error) {
	if !idForm.MatchString(id) {
		return stored[T]{}, fmt.Errorf("%w: %q is not an id", ErrInvalid, id)
	}
	text, err := readFile(path)
	if err != nil {
		return stored[T]{}, err
	}
	e, err := decode(c.name+"/"+id, text)
	if err != nil {
		return stored[T]{}, err
	}
	if err := migrate(&e, c.name); err != nil {
		return stored[T]{}, err
	}
	if !e.Phase.valid() {
		return stored[T]{}, fmt.Errorf("%w: phase %q does not exist", ErrInvalid, e.Phase)
	}
	r := stored[T]{record: Record[T]{Schema: e.Schema, Phase: e.Phase, Created: e.Created, Updated: e.Updated}, data: e.Data}
	if err := json.Unmarshal(e.Data, &r.record.Data); err != nil {
		return stored[T]{}, fmt.Errorf("%w: %s", ErrInvalid, err.Error())
	}
	return r, nil
}

func (p Phase) valid() bool { return p == Pending || p == Ready || p == Deleting }

// Put stores a record, new or changed, and returns when it is durable. After an error the record in memory is the old
// one; what is on disk is the old or the new one as a whole, and calling Put or Delete again settles it.
//
// Put keeps a copy of r.Data: the caller may go on changing its own.
func (c *Collection[T]) Put(id string, r Record[T]) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("storing %q in %q: not a usable id", id, c.name)
	}
	if !r.Phase.valid() {
		return fmt.Errorf("storing %q in %q: phase %q does not exist", id, c.name, r.Phase)
	}
	if r.Schema == 0 {
		r.Schema = newest()
	}
	if r.Schema < 0 || r.Schema > newest() {
		return fmt.Errorf("storing %q in %q: schema %d is unknown, the newest is %d", id, c.name, r.Schema, newest())
	}
	path := c.path(id)
	return c.store.change(path, func() error {
		r.Updated = time.Now().UTC()
		if r.Created.IsZero() {
			r.Created = r.Updated
			if old, ok := c.get(id); ok {
				r.Created = old.record.Created
			}
		}
		// UTC and a time without monotonic clock are what will be read back after a restart.
		r.Created, r.Updated = r.Created.Round(0).UTC(), r.Updated.Round(0)

		kept, text, err := c.encode(id, r)
		if err != nil {
			return fmt.Errorf("encoding %q: %w", path, err)
		}
		if err := writeFile(path, text); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.records[id] = kept
		return nil
	})
}

// encode gives the record as it will be after a restart, and its file. Decoding here finds a T that does not survive
// JSON now, when there is somebody to tell, not at the next start.
func (c *Collection[T]) encode(id string, r Record[T]) (stored[T], []byte, error) {
	data, err := json.Marshal(r.Data)
	if err != nil {
		return stored[T]{}, nil, err
	}
	kept := stored[T]{record: r, data: data}
	var fresh T
	if err := json.Unmarshal(data, &fresh); err != nil {
		return stored[T]{}, nil, err
	}
	kept.record.Data = fresh
	text, err := envelope{
		ID: c.name + "/" + id, Schema: r.Schema, Phase: r.Phase, Created: r.Created, Updated: r.Updated, Data: data,
	}.encode()
	return kept, text, err
}

// Get gives a deep copy of a record, the caller's to change and to Put back.
func (c *Collection[T]) Get(id string) (Record[T], bool) {
	s, ok := c.get(id)
	if !ok {
		return Record[T]{}, false
	}
	r := s.record
	var fresh T
	if err := json.Unmarshal(s.data, &fresh); err == nil {
		// It cannot fail: the same bytes were decoded when the record was put or loaded.
		r.Data = fresh
	}
	return r, true
}

func (c *Collection[T]) get(id string) (stored[T], bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.records[id]
	return s, ok
}

// Delete removes a record and returns when that is durable. A record that is not there is no error, and a full disk is
// no hindrance. After an error the record is still in memory.
func (c *Collection[T]) Delete(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("deleting %q from %q: not a usable id", id, c.name)
	}
	path := c.path(id)
	return c.store.change(path, func() error {
		if err := removeFile(path); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.records, id)
		return nil
	})
}

// List gives all records by id, as of one moment. The map is the caller's own, but slices, maps and pointers inside
// Data are shared with the store and with other callers: read them, and Get the record that is to be changed. That makes
// a scan over thousands of endpoints cheap.
func (c *Collection[T]) List() map[string]Record[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := make(map[string]Record[T], len(c.records))
	for id, s := range c.records {
		list[id] = s.record
	}
	return list
}

// Len is the number of records.
func (c *Collection[T]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.records)
}

func (c *Collection[T]) path(id string) string { return filepath.Join(c.dir, id+extension) }
