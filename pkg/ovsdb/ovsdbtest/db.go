// Package ovsdbtest has a database in memory for tests that are about what
// happens between transactions. It knows no schema: a column holds what was
// put into it. The contract tests of package executor run the same plans on a
// real ovsdb-server.
package ovsdbtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// DB is one database. The zero value is not ready for use; see New.
type DB struct {
	mu     sync.Mutex
	next   int
	tables map[string]map[string]row // table -> UUID -> row
	strong map[string][]string       // table -> "table.column" that keep its rows
}

type row map[string]any

// New returns an empty database. The rows of a table named in strong live as
// long as one of the columns, "Table.column", refers to them.
func New(strong map[string][]string) *DB {
	return &DB{tables: map[string]map[string]row{}, strong: strong}
}

// Northbound returns a database with the references of OVN's (ovn-nb(5)).
func Northbound() *DB {
	d := New(map[string][]string{
		"Logical_Switch_Port":         {"Logical_Switch.ports"},
		"Logical_Router_Port":         {"Logical_Router.ports"},
		"Logical_Router_Static_Route": {"Logical_Router.static_routes"},
		"ACL":                         {"Logical_Switch.acls"},
		"NAT":                         {"Logical_Router.nat"},
		"Logical_Router_Policy":       {"Logical_Router.policies"},
		"Gateway_Chassis":             {"Logical_Router_Port.gateway_chassis"},
	})
	d.Insert("NB_Global", map[string]any{})
	return d
}

// Insert inserts a row and returns its UUID.
func (d *DB) Insert(table string, columns map[string]any) string {
	results, err := d.run(ovsdb.Transaction{Operations: []ovsdb.Operation{ovsdb.Insert(table, columns)}})
	if err != nil {
		panic(err)
	}
	return results[0].uuid
}

// answer is the result of one operation.
type answer struct {
	uuid string
	rows []row
}

// Transact runs a transaction, as the executor does. One that fails changes
// nothing.
func (d *DB) Transact(t ovsdb.Transaction) ([]ovsdb.Result, error) {
	answers, err := d.run(t)
	if err != nil {
		return nil, err
	}
	var results []ovsdb.Result
	for _, a := range answers {
		var r ovsdb.Result
		for _, have := range a.rows {
			shown := ovsdb.Row{}
			for c, v := range have {
				shown[c] = encode(v)
			}
			r.Rows = append(r.Rows, shown)
		}
		results = append(results, r)
	}
	return results, nil
}

// Run is Transact for a transaction that asks nothing.
func (d *DB) Run(t ovsdb.Transaction) error {
	_, err := d.run(t)
	return err
}

func (d *DB) run(t ovsdb.Transaction) ([]answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, names := d.copyTables(), map[string]string{}
	var answers []answer
	for _, o := range t.Operations {
		a, err := d.operation(o, names)
		if err != nil {
			d.tables = before
			return nil, err
		}
		answers = append(answers, a)
	}
	d.collect()
	if err := d.unique(); err != nil {
		d.tables = before
		return nil, err
	}
	return answers, nil
}

// Script runs a transaction in the JSON that is given to ovsdb-client.
func (d *DB) Script(text string) error {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(text), &parts); err != nil || len(parts) == 0 {
		return fmt.Errorf("reading transaction %q: %w", text, err)
	}
	var t ovsdb.Transaction
	for _, p := range parts[1:] {
		o := ovsdb.Operation{}
		if err := json.Unmarshal(p, &o); err != nil {
			return fmt.Errorf("reading operation %q: %w", p, err)
		}
		t.Operations = append(t.Operations, o)
	}
	return d.Run(t)
}

// Dump is all that is in the database but UUIDs, a line a row, sorted.
// References are shown by the name of what they refer to.
func (d *DB) Dump() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[string]string{}
	for _, rows := range d.tables {
		for id, r := range rows {
			if name, ok := r["name"].(string); ok {
				names[id] = name
			} else if prefix, ok := r["ip_prefix"].(string); ok {
				names[id] = fmt.Sprint(prefix, " via ", r["nexthop"])
			}
		}
	}
	var lines []string
	for table, rows := range d.tables {
		for _, r := range rows {
			var cells []string
			for _, c := range slices.Sorted(maps.Keys(r)) {
				if text := show(r[c], names); text != "" {
					cells = append(cells, c+"="+text)
				}
			}
			lines = append(lines, table+" "+strings.Join(cells, " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func show(v any, names map[string]string) string {
	switch v := v.(type) {
	case string:
		if name, ok := names[v]; ok {
			return name
		}
		return v
	case set:
		var parts []string
		for _, e := range v {
			parts = append(parts, show(e, names))
		}
		slices.Sort(parts)
		if len(parts) == 0 {
			return ""
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case ref:
		return names[string(v)]
	case map[string]string:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+"="+v[k])
		}
		if len(parts) == 0 {
			return ""
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func (d *DB) copyTables() map[string]map[string]row {
	all := map[string]map[string]row{}
	for t, rows := range d.tables {
		all[t] = map[string]row{}
		for id, r := range rows {
			all[t][id] = maps.Clone(r) // values are replaced, never changed
		}
	}
	return all
}

func (d *DB) operation(o ovsdb.Operation, names map[string]string) (answer, error) {
	table, _ := o["table"].(string)
	if d.tables[table] == nil {
		d.tables[table] = map[string]row{}
	}
	found := d.find(table, o["where"], names)
	switch o["op"] {
	case "insert":
		d.next++
		id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", d.next)
		if name, ok := o["uuid-name"].(string); ok {
			names[name] = id
		}
		d.tables[table][id] = decodeRow(o["row"], names)
		return answer{uuid: id}, nil
	case "select":
		var a answer
		for _, id := range found {
			r := maps.Clone(d.tables[table][id])
			r["_uuid"] = ref(id)
			for _, c := range list(o["columns"]) {
				if _, set := r[c.(string)]; !set {
					r[c.(string)] = none(c.(string))
				}
			}
			a.rows = append(a.rows, r)
		}
		return a, nil
	case "update":
		for _, id := range found {
			maps.Copy(d.tables[table][id], decodeRow(o["row"], names))
		}
	case "delete":
		for _, id := range found {
			delete(d.tables[table], id)
		}
	case "mutate":
		for _, id := range found {
			for _, m := range list(o["mutations"]) {
				parts := list(m)
				column := parts[0].(string)
				d.tables[table][id][column] = mutate(d.tables[table][id][column], parts[1].(string), decode(parts[2], names))
			}
		}
	case "wait":
		wanted := list(o["rows"])
		if len(found) != len(wanted) {
			return answer{}, fmt.Errorf("waiting for the database: %w", ovsdb.ErrTimedOut)
		}
		for i, id := range found {
			for column, v := range decodeRow(wanted[i], names) {
				if !same(d.tables[table][id][column], v) {
					return answer{}, fmt.Errorf("waiting for the database: %w", ovsdb.ErrTimedOut)
				}
			}
		}
	default:
		return answer{}, fmt.Errorf("operation %v is not known here", o["op"])
	}
	return answer{}, nil
}

// none is a column that nothing was put into.
func none(column string) any {
	if column == "external_ids" || column == "options" {
		return map[string]string{}
	}
	return set{}
}

// find returns the UUIDs of the rows that meet the conditions, in the order in
// which they were inserted.
func (d *DB) find(table string, where any, names map[string]string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(d.tables[table])) {
		meets := true
		for _, c := range list(where) {
			parts := list(c)
			column, want := parts[0].(string), decode(parts[2], names)
			have := d.tables[table][id][column]
			if column == "_uuid" {
				have = ref(id)
			}
			switch parts[1] {
			case "includes":
				meets = meets && includes(have, want)
			case "!=":
				meets = meets && !same(have, want)
			default:
				meets = meets && same(have, want)
			}
		}
		if meets {
			ids = append(ids, id)
		}
	}
	return ids
}

// collect removes the rows that nothing refers to any more.
func (d *DB) collect() {
	for again := true; again; {
		again = d.collectOnce()
	}
}

func (d *DB) collectOnce() (removed bool) {
	for table, by := range d.strong {
		kept := map[string]bool{}
		for _, where := range by {
			t, column, _ := strings.Cut(where, ".")
			for _, r := range d.tables[t] {
				for _, e := range elements(r[column]) {
					if id, ok := e.(ref); ok {
						kept[string(id)] = true
					}
				}
			}
		}
		before := len(d.tables[table])
		maps.DeleteFunc(d.tables[table], func(id string, _ row) bool { return !kept[id] })
		removed = removed || len(d.tables[table]) < before
	}
	return removed
}

// unique holds the names of ports to the indexes of the schema.
func (d *DB) unique() error {
	for _, table := range []string{"Logical_Switch_Port", "Logical_Router_Port"} {
		seen := map[string]bool{}
		for _, r := range d.tables[table] {
			name, _ := r["name"].(string)
			if seen[name] {
				return fmt.Errorf("database refused the transaction: constraint violation: two rows of %s are named %q", table, name)
			}
			seen[name] = true
		}
	}
	return nil
}
