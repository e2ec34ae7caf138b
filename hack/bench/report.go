package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one figure. Bar and goal are 0 where there is none.
type row struct {
	Part  string  `json:"part"`
	Name  string  `json:"name"`
	Unit  string  `json:"unit"` // "x" for a ratio
	Value float64 `json:"value"`
	Bar   float64 `json:"bar,omitempty"`
	Goal  float64 `json:"goal,omitempty"`
	More  bool    `json:"more,omitempty"` // more is better
}

func (r row) met(limit float64) bool {
	if r.More {
		return r.Value >= limit
	}
	return r.Value <= limit
}

// worse is how many times worse the figure is than another one.
func (r row) worse(than row) float64 {
	if r.Value == 0 || than.Value == 0 {
		return 1
	}
	if r.More {
		return than.Value / r.Value
	}
	return r.Value / than.Value
}

func (r row) verdict() string {
	switch {
	case r.Bar == 0:
		return ""
	case !r.met(r.Bar):
		return "MISSED"
	case r.Goal != 0 && r.met(r.Goal):
		return "goal"
	default:
		return "met"
	}
}

// document is what is written as JSON.
type document struct {
	Taken time.Time `json:"taken"`
	Short bool      `json:"short"`
	Rows  []row     `json:"rows"`
}

func show(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tmeasured\tbar\tgoal\t\t ")
	part := ""
	for _, r := range rows {
		if r.Part != part {
			part = r.Part
			fmt.Fprintf(t, "%s\t\t\t\t\t \n", strings.ToUpper(part))
		}
		limit := func(l float64) string {
			if l == 0 {
				return ""
			}
			return number(l)
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\t \n", r.Name, number(r.Value), r.Unit, limit(r.Bar), limit(r.Goal), r.verdict())
	}
	return t.Flush()
}

// markdown is the table of what has a bar.
func markdown(rows []row) string {
	var b strings.Builder
	b.WriteString("| what | measured | bar | goal |\n|---|---|---|---|\n")
	for _, r := range rows {
		if r.Bar == 0 {
			continue
		}
		value := number(r.Value)
		if r.Unit != "x" {
			value += " " + r.Unit
		}
		if !r.met(r.Bar) {
			value += ", missed"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Name, value, number(r.Bar), number(r.Goal))
	}
	return b.String()
}

// number has three digits that say something.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// notable is how many times worse a ratio has to be to be shown: half of that is a shared machine's noise.
const notable = 1.3

// compare says which ratios are worse than in an older document. It is for eyes, and fails nothing.
func compare(w io.Writer, rows []row, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var old document
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	before := map[string]row{}
	for _, r := range old.Rows {
		before[r.Part+"\n"+r.Name] = r
	}
	compared := 0
	for _, r := range rows {
		b, ok := before[r.Part+"\n"+r.Name]
		if !ok || r.Unit != "x" {
			continue
		}
		compared++
		if times := r.worse(b); times > notable {
			fmt.Fprintf(w, "WORSE: %s, %s: %s, and %s in %s\n", r.Part, r.Name, number(r.Value), number(b.Value), path)
		}
	}
	fmt.Fprintf(w, "%d ratios compared with %s\n", compared, path)
	return nil
}

func write(path string, d document) error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // figures, for everybody
}

// median returns the middle one; of an even number, the mean of the two in the middle.
func median[T cmp.Ordered](all []T, mean func(a, b T) T) T {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return mean(sorted[n/2-1], sorted[n/2])
}

func medianTime(all []time.Duration) time.Duration {
	return median(all, func(a, b time.Duration) time.Duration { return (a + b) / 2 })
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ratio is a quotient of two times.
func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
