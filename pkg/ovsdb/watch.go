package ovsdb

import (
	"encoding/json"
	"fmt"
)

// Watch is a table of a database whose deletions, or other changes, are of
// interest.
type Watch struct {
	Server   string
	Database string
	Table    string
	Column   string      // that tells the rows apart, such as "name"
	Where    []Condition // of the rows; nil for all
	Modify   bool        // changes of the column too
}

// Args are the arguments of the ovsdb-client(1) invocation that prints a line
// for each change, until the connection is lost. Rows that are there or that
// come are printed too: a deletion tells of nothing but its row's UUID.
func (w Watch) Args() []string {
	column := w.Column
	if !w.Modify {
		column = "!modify," + column
	}
	where, err := json.Marshal(conditions(w.Where))
	if err != nil { // as in Transaction.Step
		panic(fmt.Sprintf("encoding conditions %v: %v", w.Where, err))
	}
	return []string{"--format=json", "monitor-cond", w.Server, w.Database, string(where), w.Table, column}
}

// Rows follows what is printed for a Watch; the zero value is ready for use.
type Rows struct {
	names map[string]string // UUID -> value of the column
}

// Changes reads a line, and returns the values of the column of those rows that
// were deleted or modified; "" stands for one that is not known, or not a string.
// Rows that are there, or that came, are no change.
func (r *Rows) Changes(line []byte) []string {
	var table struct {
		Data [][]any `json:"data"`
	}
	if json.Unmarshal(line, &table) != nil {
		return []string{""} // of another version: it may be anything
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	var changed []string
	for _, cells := range table.Data {
		if len(cells) < 3 {
			changed = append(changed, "")
			continue
		}
		row := Row{"uuid": cells[0], "action": cells[1], "value": cells[2]}
		id, name := row.String("uuid"), row.String("value")
		switch row.String("action") {
		case "initial", "insert":
			r.names[id] = name
		case "delete":
			changed = append(changed, r.names[id])
			delete(r.names, id)
		default: // "modify"; of servers without conditional monitors "old" and "new"
			changed = append(changed, r.names[id])
		}
	}
	return changed
}
