package ovsdb

import (
	"encoding/json"
	"fmt"
)

// Changes are the kinds of change that a Watch tells of.
type Changes struct{ Insert, Delete, Modify bool }

// Watch is a table of a database whose changes are of interest.
type Watch struct {
	Server   string
	Database string
	Table    string
	Column   string
	Where    []Condition // of the rows; nil for all
	Changes  Changes
}

// Args are the arguments of the ovsdb-client(1) invocation that prints a line
// for each change, until the connection is lost.
func (w Watch) Args() []string {
	column := "!initial"
	for _, kind := range []struct {
		wanted bool
		word   string
	}{{w.Changes.Insert, "!insert"}, {w.Changes.Delete, "!delete"}, {w.Changes.Modify, "!modify"}} {
		if !kind.wanted {
			column += "," + kind.word
		}
	}
	where, err := json.Marshal(conditions(w.Where))
	if err != nil { // as in Transaction.Step
		panic(fmt.Sprintf("encoding conditions %v: %v", w.Where, err))
	}
	return []string{"--format=json", "monitor-cond", w.Server, w.Database, string(where), w.Table, column + "," + w.Column}
}
