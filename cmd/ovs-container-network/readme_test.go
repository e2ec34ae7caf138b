package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/config"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
)

// The tables of the README are those of the code. UPDATE_README=1 writes them
// anew instead of comparing.
func TestReadmeTables(t *testing.T) {
	const readme = "../../README.md"
	for name, table := range map[string]string{"options": options.MarkdownTable(), "environment": config.MarkdownTable()} {
		begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
		text, err := os.ReadFile(readme)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, opened := strings.Cut(string(text), begin)
		have, after, closed := strings.Cut(rest, end)
		want := "\n" + table + "\n"
		switch {
		case !opened || !closed:
			t.Errorf("README.md lacks the lines %q and %q around the table", strings.TrimSpace(begin), end)
		case have == want:
		case os.Getenv("UPDATE_README") == "":
			t.Errorf("the table %q of README.md is not the generated one, run: UPDATE_README=1 go test ./cmd/...\ngot:\n%s\nwant:\n%s", name, have, want)
		default:
			if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
