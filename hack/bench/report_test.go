package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rows = []row{
	{Part: "a", Name: "fast enough", Unit: "x", Value: 1.0, Bar: 1.1, Goal: 0.75},
	{Part: "a", Name: "too slow", Unit: "ms", Value: 120, Bar: 100, Goal: 20},
	{Part: "b", Name: "a rate", Unit: "x", Value: 5, Bar: 2, Goal: 4, More: true},
	{Part: "b", Name: "by the way", Unit: "ms", Value: 3.14159},
}

func TestShow(t *testing.T) {
	var b strings.Builder
	if err := show(&b, rows); err != nil {
		t.Fatal(err)
	}
	var got []string // however wide the columns are
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"measured bar goal", "A", "fast enough 1 x 1.10 0.75 met", "too slow 120 ms 100 20 MISSED", "B", "a rate 5 x 2 4 goal", "by the way 3.14 ms"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.json")
	old := []row{
		{Part: "a", Name: "fast enough", Unit: "x", Value: 0.7},      // 1.43 times worse now
		{Part: "a", Name: "too slow", Unit: "ms", Value: 1},          // no ratio
		{Part: "b", Name: "a rate", Unit: "x", Value: 6, More: true}, // 1.2 times
	}
	if err := write(path, document{Taken: time.Now(), Rows: old}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := compare(&b, rows, path); err != nil {
		t.Fatal(err)
	}
	want := "WORSE: a, fast enough: 1, and 0.70 in " + path + "\n2 ratios compared with " + path + "\n"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[time.Duration][]time.Duration{2: {3, 1, 2}, 4: {9, 1, 3, 5}} {
		if got := medianTime(of); got != want {
			t.Errorf("the median of %v is %v", of, got)
		}
	}
}

// The page has the figures that are committed; UPDATE_README=1 writes them there.
func TestThePageHasTheFigures(t *testing.T) {
	const folder, begin, end = "../../docs/", "<!-- figures -->\n", "<!-- end of figures -->"
	text, err := os.ReadFile(folder + "performance.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Short {
		t.Error("the committed figures are of the short form")
	}
	page, err := os.ReadFile(folder + "performance.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	table, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("the page has no %q and %q", begin, end)
	}
	if want := "\n" + markdown(d.Rows) + "\n"; table != want {
		if os.Getenv("UPDATE_README") == "" {
			t.Fatalf("the page's table is not that of performance.json; run: UPDATE_README=1 go test ./hack/bench\n%s", want)
		}
		if err := os.WriteFile(folder+"performance.md", []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
