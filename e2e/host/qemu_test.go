//go:build linux

package host

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	tests := [][]string{
		{"true"},
		{"printf", "%s", "two words"},
		{"", "after an empty one"},
		{"it's", `a "quoted" $HOME \ back`, "`id`", "*"},
		{"line\nbreak", "tab\there", "'", "''", "-n"},
		{"{{.State.Running}} {{.Name}}", "a;b", "a&&b", "#c", "~"},
	}
	for _, argv := range tests {
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+quote(argv)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, argv) {
			t.Errorf("quote(%q): the shell reads %q", argv, got)
		}
	}
}

func TestLayerKeys(t *testing.T) {
	base := layerKeys{Suite: usualSuite, Image: "bookworm-1", QEMU: "7.2", Accel: "tcg", Images: "sha256:a sha256:b", Plugin: "p1"}
	dirs := func(k layerKeys) []string {
		var all []string
		for _, l := range k.layers() {
			all = append(all, l.dir)
		}
		return all
	}
	want := dirs(base)
	if len(want) != 3 {
		t.Fatalf("layers of %+v: %q", base, want)
	}
	tests := []struct {
		name   string
		change func(k *layerKeys)
		same   int // so many from the lowest up are the same
	}{
		{"nothing", func(*layerKeys) {}, 3},
		{"the plugin", func(k *layerKeys) { k.Plugin = "p2" }, 2},
		{"the images", func(k *layerKeys) { k.Images = "sha256:c sha256:b" }, 1},
		{"no images", func(k *layerKeys) { k.Images = "" }, 1},
		{"the image of the host", func(k *layerKeys) { k.Image = "bookworm-2" }, 0},
		{"QEMU", func(k *layerKeys) { k.QEMU = "8.0" }, 0},
		{"the accelerator", func(k *layerKeys) { k.Accel = "kvm" }, 0},
	}
	for _, tt := range tests {
		k := base
		tt.change(&k)
		for i, dir := range dirs(k) {
			if (dir == want[i]) != (i < tt.same) {
				t.Errorf("%s changed: layer %d is %q, was %q", tt.name, i, dir, want[i])
			}
		}
	}
}

func TestContentsOf(t *testing.T) {
	t.Setenv("E2E_SUITE", "bookworm,trixie")
	spec := Spec{Hosts: []Options{{Name: "h1"}, Fresh("h2"), {Name: "h3", Docker: true}}}.withSuites()
	for i, want := range []contents{{"bookworm", true, true}, {"trixie", true, true}, {Suite: "bookworm"}} {
		if got := contentsOf(spec, spec.Hosts[i]); got != want {
			t.Errorf("contents of %s: %+v, want %+v", spec.Hosts[i].Name, got, want)
		}
	}
}

func TestMachineArguments(t *testing.T) {
	m := machine{Mark: "m", Image: "/i", Disk: "/a,b/disk", Accel: "tcg", Underlay: underlayOf("c1"), Port: 22}
	plain := strings.Join(m.args(), " ")
	if !strings.Contains(plain, "file=/a,,b/disk,") {
		t.Errorf("a comma in a path ends it: %s", plain)
	}
	if strings.Contains(plain, "-incoming") || strings.Contains(plain, "-mon ") {
		t.Errorf("file descriptors that there are not: %s", plain)
	}
	m.State, m.Monitor = 3, 4
	if all := strings.Join(m.args(), " "); !strings.HasPrefix(all, plain) || !strings.Contains(all, "-incoming fd:3") {
		t.Errorf("a restored host has other devices than the saved one: %s", all)
	}
	if underlayOf("c1") == underlayOf("c2") {
		t.Error("two clusters have one underlay")
	}
}
