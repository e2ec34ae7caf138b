package options

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkNames refuses every unknown key at once, so that a user with two typing mistakes learns of both.
func checkNames(opts map[string]string) error {
	known := names()
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		if slices.Contains(known, key) {
			continue
		}
		text := "unknown option " + quote(key)
		if near := nearest(key, known); near != "" {
			text += fmt.Sprintf(": did you mean %q?", near)
		}
		wrong = append(wrong, text)
	}
	if len(wrong) == 0 {
		return nil
	}
	message := strings.Join(wrong, "; ")
	if !strings.Contains(message, "did you mean") {
		message += ": the options are " + strings.Join(known, ", ")
	}
	return errors.New(message)
}

func names() []string {
	var list []string
	for _, o := range networkOptions {
		list = append(list, o.name)
	}
	for _, o := range networkOptions {
		if o.alias != "" {
			list = append(list, o.alias)
		}
	}
	return list
}

// nearest gives the known name that key most likely stands for, or "" when none is near. Case, '-' for '_', a
// missing or wrong prefix ("switch", "ovs.switch") and a longer or shorter word ("vlan_id", "tenant") are the usual
// mistakes and cost little or nothing.
func nearest(key string, known []string) string {
	if len(key) > 2*maxQuoted {
		return ""
	}
	plain := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, least := "", max(2, len(lastPart(plain))/3)+1
	for _, name := range known {
		d := min(distance(plain, name), distance(lastPart(plain), lastPart(name)))
		if half := lastPart(plain); len(half) > 3 && (strings.HasPrefix(half, lastPart(name)) || strings.HasPrefix(lastPart(name), half)) {
			d = min(d, 1)
		}
		if short := 2*d >= max(len(lastPart(plain)), len(lastPart(name))); d < least && (!short || d == 0) {
			best, least = name, d
		}
	}
	return best
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance is the number of single-character insertions, deletions and substitutions, and swaps of neighbours, between a
// and b (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
