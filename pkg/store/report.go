package store

import (
	"fmt"
	"maps"
	"slices"
)

// Report tells what was found on disk. Nothing in this package logs: the caller does, once, from the report.
type Report struct {
	// Loaded counts the records per collection.
	Loaded map[string]int

	// Dropped are the files that were not used.
	Dropped []Dropped

	// Swept are temporary files of interrupted writes, now removed. They were never acknowledged.
	Swept []string

	// Problems are what could not be done and does not matter to the records, such as a backup on a full disk.
	Problems []string

	// NewInstance is true when instance.json was made by this start.
	NewInstance bool
}

// Dropped is one file that was not used.
type Dropped struct {
	Path   string
	Reason string

	// Backup is the file's new path; empty means that it was left where it is.
	Backup string
}

// String is one line for the log.
func (d Dropped) String() string {
	if d.Backup == "" {
		return fmt.Sprintf("%s: %s; left in place", d.Path, d.Reason)
	}
	return fmt.Sprintf("%s: %s; moved to %s", d.Path, d.Reason, d.Backup)
}

// Report gives what was found so far; it is complete when all collections are open.
func (s *Store) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.Loaded, r.Dropped, r.Swept = maps.Clone(r.Loaded), slices.Clone(r.Dropped), slices.Clone(r.Swept)
	r.Problems = slices.Clone(r.Problems)
	return r
}

func (s *Store) drop(d Dropped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Dropped = append(s.report.Dropped, d)
}
