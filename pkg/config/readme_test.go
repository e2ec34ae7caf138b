package config

import (
	"os"
	"strings"
	"testing"
)

const (
	readme   = "../../README.md"
	begin    = "<!-- environment:begin -->\n"
	end      = "<!-- environment:end -->"
	howToFix = "UPDATE_README=1 go test ./pkg/config"
)

// UPDATE_README=1 rewrites the table between the markers instead of comparing it.
func TestReadmeHoldsTheTable(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md lacks the lines %s and %s; put them around the table of environment variables", strings.TrimSpace(begin), end)
	}
	want := "\n" + MarkdownTable() + "\n"
	if table == want {
		return
	}
	if os.Getenv("UPDATE_README") == "" {
		t.Fatalf("the table in README.md is not the generated one; run: %s\ngot:\n%s\nwant:\n%s", howToFix, table, want)
	}
	if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
