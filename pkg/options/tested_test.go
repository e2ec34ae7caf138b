package options

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each option has a row in the README, a value that is refused by a test here, and an end-to-end test that uses it.
func TestEveryOptionIsTested(t *testing.T) {
	root := filepath.Join("..", "..")
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme, refused := read(filepath.Join(root, "README.md")), read("network_test.go")
	if _, table, ok := strings.Cut(refused, "func TestRefusedValues("); ok {
		refused, _, _ = strings.Cut(table, "\n}\n")
	} else {
		t.Fatal("no test of refused values")
	}
	var e2e strings.Builder
	if err := filepath.WalkDir(filepath.Join(root, "e2e"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "badinput") {
			e2e.WriteString(read(path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, o := range networkOptions {
		for where, found := range map[string]bool{
			"row in the README":           strings.Contains(readme, "\n| `"+o.name+"` |"),
			"value that a test refuses":   strings.Contains(refused, `{"`+o.name+`", "`),
			"end-to-end test that has it": strings.Contains(e2e.String(), o.name+"="),
		} {
			if !found {
				t.Errorf("%s has no %s", o.name, where)
			}
		}
	}
	for _, name := range []string{floatingIP, mirror} {
		if !strings.Contains(readme, name+"=") || !strings.Contains(e2e.String(), name+"=") {
			t.Errorf("driver option %s has no line in the README, or no end-to-end test", name)
		}
	}
}
