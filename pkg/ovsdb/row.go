package ovsdb

import "encoding/json"

// Row is one row of an answer: column name to JSON value. A column that is
// missing or of another type reads as the zero value, because databases of
// other versions lack columns.
type Row map[string]json.RawMessage

// String returns a string column; an optional one that is not set reads "".
func (r Row) String(column string) string {
	var s string
	if json.Unmarshal(r[column], &s) != nil {
		return ""
	}
	return s
}

// Map returns a map column of strings; never nil.
func (r Row) Map(column string) map[string]string {
	m := map[string]string{}
	var pairs [][2]string
	if unpack(r[column], "map", &pairs) {
		for _, p := range pairs {
			m[p[0]] = p[1]
		}
	}
	return m
}

// Strings returns a column of one string, or of a set of them.
func (r Row) Strings(column string) []string {
	if s := r.String(column); s != "" {
		return []string{s}
	}
	var set []string
	unpack(r[column], "set", &set)
	return set
}

// UUIDs returns a column of one row reference, or of a set of them.
func (r Row) UUIDs(column string) []string {
	var id string
	if unpack(r[column], "uuid", &id) {
		return []string{id}
	}
	var set []json.RawMessage
	if !unpack(r[column], "set", &set) {
		return nil
	}
	var ids []string
	for _, m := range set {
		if unpack(m, "uuid", &id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Value returns the column as it came, to be sent back in a Wait.
func (r Row) Value(column string) any { return r[column] }

// unpack reads a tagged pair such as ["uuid", X] into v.
func unpack(raw json.RawMessage, tag string, v any) bool {
	var pair []json.RawMessage
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 {
		return false
	}
	var t string
	return json.Unmarshal(pair[0], &t) == nil && t == tag && json.Unmarshal(pair[1], v) == nil
}
