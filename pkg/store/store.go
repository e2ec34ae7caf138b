package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
)

// Mode says what to do with invalid files.
type Mode string

// The recovery modes; the package comment describes them.
const (
	Strict  Mode = "strict"
	Lenient Mode = "lenient"
	Skip    Mode = "skip"
)

var (
	// ErrLocked means that another process uses the directory.
	ErrLocked = errors.New("in use by another process")

	// ErrClosed means that Close was called before.
	ErrClosed = errors.New("the store is closed")

	// ErrInvalid is behind every complaint about the content of a state file.
	ErrInvalid = errors.New("invalid state file")
)

// Options of Open.
type Options struct {
	// Backup keeps invalid files, renamed to *.backup, in lenient mode, and the
	// records of the last starts in backups/, as archives.
	Backup bool

	// Mode is Lenient when empty.
	Mode Mode
}

// folders exist in every data directory from the start, so that an administrator finds the documented layout.
var folders = append(slices.Clone(recordFolders), "ipam", "ovn")

// recordFolders are those that hold records, not views.
var recordFolders = []string{"networks", "endpoints"}

// Store is an open, locked data directory. Its methods may be called concurrently.
type Store struct {
	dir      string
	opts     Options
	lock     *flock.Flock
	instance string
	keys     keylock.Locks

	// life is held for reading during each change and for writing by Close, so that no write follows the unlock.
	life   sync.RWMutex
	closed bool

	mu     sync.Mutex
	report Report
	opened map[string]bool
}

// Open takes the directory for this process, makes what is missing in it, and removes what a crash in the middle
// of a write left. The error wraps ErrLocked when another process has the directory.
func Open(dir string, opts Options) (*Store, error) {
	switch opts.Mode {
	case "":
		opts.Mode = Lenient
	case Strict, Lenient, Skip:
	default:
		return nil, fmt.Errorf("opening the store %q: recovery mode %q is not known: want %q, %q or %q", dir, opts.Mode, Strict, Lenient, Skip)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store %q: %w", dir, err)
	}
	// In the plugin /data is a link into its persistent mount, which is empty at first.
	if target, err := os.Readlink(dir); err == nil && filepath.IsAbs(target) {
		dir = target
	}
	for _, folder := range append([]string{""}, folders...) {
		if err := makeDir(filepath.Join(dir, folder)); err != nil {
			return nil, fmt.Errorf("opening the store %q: %w", dir, err)
		}
	}
	s := &Store{
		dir: dir, opts: opts,
		lock:   flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600)),
		opened: map[string]bool{},
	}
	switch ok, err := s.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("locking the store %q: %w%s", dir, err, remedy(err))
	case !ok:
		return nil, fmt.Errorf("locking the store %q: %w; stop it or choose another directory with PLUGIN_DATA_DIR", dir, ErrLocked)
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare runs under the lock, before any collection is read.
func (s *Store) prepare() error {
	dirs, err := s.directories()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		swept, err := sweep(dir)
		if err != nil {
			return err
		}
		s.report.Swept = append(s.report.Swept, swept...)
	}
	if s.opts.Backup {
		// Without a backup the state itself is as good as before.
		if err := s.backUp(recordFolders); err != nil {
			s.report.Problems = append(s.report.Problems, err.Error())
		}
	}
	if s.opts.Mode == Skip {
		// The first directory is the root, whose instance.json stays.
		for _, dir := range dirs[1:] {
			if err := s.skip(dir); err != nil {
				return err
			}
		}
	}
	return s.loadInstance()
}

// directories gives the root and every folder below it that can be a collection, those of later versions included. Others
// (lost+found) are not ours.
func (s *Store) directories() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the store %q: %w%s", s.dir, err, remedy(err))
	}
	list := []string{s.dir}
	for _, e := range entries {
		if e.IsDir() && e.Name() != backupFolder && nameForm.MatchString(e.Name()) {
			list = append(list, filepath.Join(s.dir, e.Name()))
		}
	}
	return list, nil
}

func (s *Store) skip(dir string) error {
	files, err := stateFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		backup, err := setAside(path)
		if err != nil {
			return err
		}
		s.drop(Dropped{Path: path, Backup: backup, Reason: "recovery mode is skip"})
	}
	return nil
}

// Dir is the absolute path of the data directory.
func (s *Store) Dir() string { return s.dir }

// Instance is the UUID that was made together with the data directory. It tells the rows of this plugin instance from
// those of another one on the same host.
func (s *Store) Instance() string { return s.instance }

// AdoptInstance replaces the instance by the one that the records tell of: its
// file alone was lost, and rows in OVN carry it.
func (s *Store) AdoptInstance(id string) error {
	known, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("reading the instance %q of the records: %w", id, err)
	}
	return s.putInstance(filepath.Join(s.dir, "instance"+extension), known)
}

// Close gives the directory free. Changes that run are awaited, later ones fail with ErrClosed; reading goes on.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	s.closed = true
	// The lock file stays: removing it would let two processes lock two different files of that name.
	if err := s.lock.Unlock(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("unlocking the store %q: %w", s.dir, err)
	}
	return nil
}

// claim marks a collection as open; it is false when it was before.
func (s *Store) claim(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := !s.opened[name]
	s.opened[name] = true
	return free
}

// settle ends what claim began: a collection that could not be opened may be tried again.
func (s *Store) settle(name string, records int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.opened, name)
		return
	}
	if s.report.Loaded == nil {
		s.report.Loaded = map[string]int{}
	}
	s.report.Loaded[name] = records
}

// change runs one write. Writes of the same path exclude each other; others run beside it, so that one slow fsync
// delays nobody else.
func (s *Store) change(path string, write func() error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return fmt.Errorf("changing %q: %w", path, ErrClosed)
	}
	defer s.keys.Wait(path)()
	return write()
}
