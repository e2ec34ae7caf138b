package ovsdb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Databases by their schema names.
const (
	Local      = "Open_vSwitch"
	Northbound = "OVN_Northbound"
	Southbound = "OVN_Southbound"
)

// Quote returns s as a string atom in double quotes, which the ctl programs
// read back whatever it holds; a bare word would end at a comma or a space
// (ovs-vsctl(8), "Database Values").
func Quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// Column returns the word that sets one key of a map column: column:key="value".
func Column(column, key, value string) string {
	return column + ":" + key + "=" + Quote(value)
}

// Columns returns a Column word for every key, in the order of the keys.
func Columns(column string, m map[string]string) []string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, Column(column, k, m[k]))
	}
	return words
}

// Operation is one operation of a transaction, in the JSON of RFC 7047 5.2.
type Operation map[string]any

// Condition selects rows: column, function ("==", "includes", …), value.
type Condition [3]any

// Is is the condition that a column has just this value.
func Is(column string, value any) Condition { return Condition{column, "==", value} }

// IsNot is the condition that a column has another value.
func IsNot(column string, value any) Condition { return Condition{column, "!=", value} }

// Includes is the condition that a map column has all these pairs.
func Includes(column string, pairs map[string]string) Condition {
	return Condition{column, "includes", Map(pairs)}
}

// Map is a map of strings as a value.
func Map(m map[string]string) any {
	pairs := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, [2]string{k, m[k]})
	}
	return []any{"map", pairs}
}

// Select reads the columns of the rows that meet all conditions.
func Select(table string, where []Condition, columns ...string) Operation {
	return Operation{"op": "select", "table": table, "where": conditions(where), "columns": columns}
}

// Insert inserts a row.
func Insert(table string, row map[string]any) Operation {
	return Operation{"op": "insert", "table": table, "row": row}
}

// InsertAs inserts a row that other operations of the transaction can refer to
// by Named.
func InsertAs(name, table string, row map[string]any) Operation {
	o := Insert(table, row)
	o["uuid-name"] = name
	return o
}

// Named is the reference to a row that InsertAs inserts.
func Named(name string) any { return []any{"named-uuid", name} }

// Ref is the reference to a row that is there.
func Ref(uuid string) any { return []any{"uuid", uuid} }

// Set is a set of strings or references as a value.
func Set[T any](values ...T) any {
	if values == nil {
		values = []T{}
	}
	return []any{"set", values}
}

// This is the condition of being the row with this UUID.
func This(uuid string) Condition { return Is("_uuid", Ref(uuid)) }

// Update sets columns of one row.
func Update(table, uuid string, row map[string]any) Operation {
	return Operation{"op": "update", "table": table, "where": []Condition{This(uuid)}, "row": row}
}

// Mutation changes a part of a set or map column: column, mutator ("insert",
// "delete"), value.
type Mutation [3]any

// Add puts values into a set, or pairs into a map that lacks their keys.
func Add(column string, values any) Mutation { return Mutation{column, "insert", values} }

// Remove takes values out of a set, or keys out of a map.
func Remove(column string, values any) Mutation { return Mutation{column, "delete", values} }

// Mutate changes one row, given by Ref or Named, in the order of the mutations.
func Mutate(table string, row any, changes ...Mutation) Operation {
	return Operation{"op": "mutate", "table": table, "where": []Condition{Is("_uuid", row)}, "mutations": changes}
}

// Delete deletes the rows that meet all conditions.
func Delete(table string, where ...Condition) Operation {
	return Operation{"op": "delete", "table": table, "where": conditions(where)}
}

// Wait makes the transaction wait, inside the server, until the rows that meet
// the conditions have just these values, for at most timeout milliseconds.
func Wait(timeout int, table string, where []Condition, rows ...map[string]any) Operation {
	columns := []string{"_uuid"} // of no row, any column will do
	for _, r := range rows {
		columns = slices.Sorted(maps.Keys(r))
	}
	if rows == nil {
		rows = []map[string]any{}
	}
	return Operation{"op": "wait", "timeout": timeout, "table": table, "where": conditions(where), "columns": columns, "until": "==", "rows": rows}
}

// WaitOther is Wait until the rows have other values than these.
func WaitOther(timeout int, table string, where []Condition, row map[string]any) Operation {
	o := Wait(timeout, table, where, row)
	o["until"] = "!="
	return o
}

func conditions(where []Condition) []Condition {
	if where == nil {
		return []Condition{}
	}
	return where
}

// Transaction is a list of operations for one database of one server.
type Transaction struct {
	Server     string // "unix:/path" or "tcp:host:port"
	Database   string
	Operations []Operation
}

// Step returns the ovsdb-client(1) invocation that runs the transaction.
func (t Transaction) Step() plan.Step {
	params := []any{t.Database}
	for _, o := range t.Operations {
		params = append(params, o)
	}
	text, err := json.Marshal(params)
	if err != nil { // only values that no caller can pass, such as a channel
		panic(fmt.Sprintf("encoding transaction %v: %v", t.Operations, err))
	}
	return plan.Step{
		Target: plan.Target{Program: "ovsdb-client", Args: []string{"transact", t.Server}, Form: plan.Each},
		Ops:    []plan.Op{{Do: []string{string(text)}}},
	}
}

// Result is what the server answered to one operation.
type Result struct {
	Rows    []Row  `json:"rows"`
	Count   int    `json:"count"`
	Error   string `json:"error"`
	Details string `json:"details"`
}

// ErrTimedOut is the error of a Wait that did not come true in time.
var ErrTimedOut = errors.New("timed out")

// ParseReply reads what ovsdb-client printed: a result an operation. The
// program exits with 0 though an operation failed, so the error is taken from
// the text; after the failed one no operation has a result.
func ParseReply(out []byte) ([]Result, error) {
	var results []Result
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, fmt.Errorf("reading the database's answer %q: %w", out, err)
	}
	for _, r := range results {
		switch r.Error {
		case "":
		case ErrTimedOut.Error():
			return nil, fmt.Errorf("waiting for the database: %w", ErrTimedOut)
		default:
			return nil, fmt.Errorf("database refused the transaction: %s: %s", r.Error, r.Details)
		}
	}
	return results, nil
}
