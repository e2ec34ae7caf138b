package ovsdb

// Row is one row of an answer: column name to JSON value, as encoding/json reads
// it. A column that is missing or of another type reads as the zero value, because
// databases of other versions lack columns.
type Row map[string]any

// String returns a string column; an optional one that is not set reads "".
func (r Row) String(column string) string {
	s, _ := r[column].(string)
	return s
}

// Int returns a column with one number; 0 when it has none.
func (r Row) Int(column string) int {
	n, _ := r[column].(float64)
	return int(n)
}

// Map returns a map column of strings; never nil.
func (r Row) Map(column string) map[string]string {
	m := map[string]string{}
	for _, pair := range tagged(r[column], "map") {
		if p, ok := pair.([]any); ok && len(p) == 2 {
			k, isText := p[0].(string)
			v, areTexts := p[1].(string)
			if isText && areTexts {
				m[k] = v
			}
		}
	}
	return m
}

// Strings returns a column of one string, or of a set of them.
func (r Row) Strings(column string) []string {
	if s := r.String(column); s != "" {
		return []string{s}
	}
	var all []string
	for _, v := range tagged(r[column], "set") {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// UUIDs returns a column of one row reference, or of a set of them.
func (r Row) UUIDs(column string) []string {
	if id, ok := uuid(r[column]); ok {
		return []string{id}
	}
	var ids []string
	for _, v := range tagged(r[column], "set") {
		if id, ok := uuid(v); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// Value returns the column as it came, to be sent back in a Wait.
func (r Row) Value(column string) any { return r[column] }

// tagged returns X of a pair such as ["set", X].
func tagged(value any, tag string) []any {
	pair, ok := value.([]any)
	if !ok || len(pair) != 2 || pair[0] != tag {
		return nil
	}
	all, _ := pair[1].([]any)
	return all
}

func uuid(value any) (string, bool) {
	pair, ok := value.([]any)
	if !ok || len(pair) != 2 || pair[0] != "uuid" {
		return "", false
	}
	id, ok := pair[1].(string)
	return id, ok
}
