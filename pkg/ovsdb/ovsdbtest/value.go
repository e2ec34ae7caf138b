package ovsdbtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Values in memory: string, number or bool; ref; set; map[string]string.
type (
	ref string
	set []any
)

// decodeRow reads the columns of a row.
func decodeRow(v any, names map[string]string) row {
	r := row{}
	for c, value := range plain(v).(map[string]any) {
		r[c] = decode(value, names)
	}
	return r
}

// plain gives a value the types that reading JSON gives.
func plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var p any
	if err := json.Unmarshal(text, &p); err != nil {
		panic(err)
	}
	return p
}

func list(v any) []any {
	l, _ := plain(v).([]any)
	return l
}

// decode reads a value in the JSON of RFC 7047, 5.1.
func decode(v any, names map[string]string) any {
	parts, tagged := plain(v).([]any)
	if !tagged {
		return plain(v)
	}
	switch parts[0] {
	case "uuid":
		return ref(parts[1].(string))
	case "named-uuid":
		return ref(names[parts[1].(string)])
	case "map":
		m := map[string]string{}
		for _, p := range parts[1].([]any) {
			pair := p.([]any)
			m[pair[0].(string)] = pair[1].(string)
		}
		return m
	case "set":
		s := set{}
		for _, e := range parts[1].([]any) {
			s = append(s, decode(e, names))
		}
		return s
	}
	panic(fmt.Sprintf("value %v has no known tag", v))
}

// encode is the inverse of decode: the value as encoding/json reads it from an
// answer. A set of one is its element, as the server writes it.
func encode(v any) any {
	switch v := v.(type) {
	case ref:
		return []any{"uuid", string(v)}
	case map[string]string:
		pairs := []any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, []any{k, v[k]})
		}
		return []any{"map", pairs}
	case set:
		if len(v) == 1 {
			return encode(v[0])
		}
		all := []any{}
		for _, e := range v {
			all = append(all, encode(e))
		}
		return []any{"set", all}
	}
	return v
}

// elements are those of a set, of which one alone is written without the tag.
func elements(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case set:
		return v
	}
	return []any{v}
}

func same(a, b any) bool {
	if x, ok := a.(map[string]string); ok || a == nil {
		if y, ok := b.(map[string]string); ok {
			return maps.Equal(x, y)
		}
	}
	x, y := elements(a), elements(b)
	return len(x) == len(y) && includes(a, b)
}

func includes(have, want any) bool {
	if w, ok := want.(map[string]string); ok {
		h, _ := have.(map[string]string)
		for k, v := range w {
			if got, there := h[k]; !there || got != v {
				return false
			}
		}
		return true
	}
	for _, e := range elements(want) {
		if !slices.ContainsFunc(elements(have), func(x any) bool { return reflect.DeepEqual(x, e) }) {
			return false
		}
	}
	return true
}

func mutate(have any, mutator string, by any) any {
	if pairs, ok := by.(map[string]string); ok {
		m := map[string]string{}
		if h, ok := have.(map[string]string); ok {
			maps.Copy(m, h)
		}
		for k, v := range pairs {
			if _, there := m[k]; mutator == "insert" && !there {
				m[k] = v
			} else if mutator == "delete" && there && m[k] == v {
				delete(m, k)
			}
		}
		return m
	}
	if h, ok := have.(map[string]string); ok { // keys of a map
		m := maps.Clone(h)
		for _, k := range elements(by) {
			delete(m, k.(string))
		}
		return m
	}
	s := set{}
	for _, e := range elements(have) {
		if mutator == "insert" || !includes(by, e) {
			s = append(s, e)
		}
	}
	if mutator == "insert" {
		for _, e := range elements(by) {
			if !includes(s, e) {
				s = append(s, e)
			}
		}
	}
	return s
}
