package ovsdbtest

import (
	"maps"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Names returns the names in a table, sorted.
func (d *DB) Names(table string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, r := range d.tables[table] {
		name, _ := r["name"].(string)
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// UUID returns that of the row of this name; "" when there is none.
func (d *DB) UUID(table, name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(d.tables[table])) {
		if d.tables[table][id]["name"] == name {
			return id
		}
	}
	return ""
}

// Row returns the columns of the row of this name; nil when there is none.
func (d *DB) Row(table, name string) ovsdb.Row {
	id := d.UUID(table, name)
	if id == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	shown := ovsdb.Row{"_uuid": encode(ref(id))}
	for c, v := range d.tables[table][id] {
		shown[c] = encode(v)
	}
	return shown
}

// Set sets a column of the row of this name, in the JSON of RFC 7047.
func (d *DB) Set(table, name, column string, value any) {
	d.must(ovsdb.Update(table, d.UUID(table, name), map[string]any{column: value}))
}

// Delete deletes the row of this name, also one that a set refers to.
func (d *DB) Delete(table, name string) {
	id := d.UUID(table, name)
	if id == "" {
		return
	}
	d.mu.Lock()
	for _, rows := range d.tables {
		for _, r := range rows {
			for c, v := range r {
				if s, ok := v.(set); ok && slices.Contains(s, any(ref(id))) {
					r[c] = slices.DeleteFunc(slices.Clone(s), func(e any) bool { return e == ref(id) })
				}
			}
		}
	}
	delete(d.tables[table], id)
	d.collect()
	d.mu.Unlock()
}

// Clear deletes all rows of the tables.
func (d *DB) Clear(tables ...string) {
	for _, t := range tables {
		for _, name := range d.Names(t) {
			d.Delete(t, name)
		}
	}
}

func (d *DB) must(ops ...ovsdb.Operation) {
	if err := d.Run(ovsdb.Transaction{Operations: ops}); err != nil {
		panic(err)
	}
}

// AddPort makes a port on a switch, as "ovn-nbctl --may-exist lsp-add" does. It
// reports whether there is such a switch.
func (d *DB) AddPort(onSwitch, name string) bool {
	s := d.UUID("Logical_Switch", onSwitch)
	if s == "" {
		return false
	}
	if d.UUID("Logical_Switch_Port", name) == "" {
		d.must(
			ovsdb.InsertAs("p", "Logical_Switch_Port", map[string]any{"name": name}),
			ovsdb.Mutate("Logical_Switch", ovsdb.Ref(s), ovsdb.Add("ports", ovsdb.Set(ovsdb.Named("p")))),
		)
	}
	return true
}

// Of returns the names of the rows that a set of a row refers to.
func (d *DB) Of(table, name, column, what string) []string {
	row := d.Row(table, name)
	var all []string
	for _, other := range d.Names(what) {
		if slices.Contains(row.UUIDs(column), d.UUID(what, other)) {
			all = append(all, other)
		}
	}
	return all
}
