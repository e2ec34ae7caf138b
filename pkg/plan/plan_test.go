package plan_test

import (
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

var (
	chain = plan.Target{Program: "ovn-nbctl", Args: []string{"--db=tcp:192.0.2.5:6641"}, Form: plan.Chain}
	batch = plan.Target{Program: "ip", Args: []string{"-batch", "-"}, Form: plan.Batch}
	each  = plan.Target{Program: "ethtool", Form: plan.Each}
)

func op(do, undo string) plan.Op {
	return plan.Op{Do: strings.Fields(do), Undo: strings.Fields(undo)}
}

func sample() plan.Plan {
	return plan.New(
		plan.Step{Target: batch, Ops: []plan.Op{op("link add a type veth peer name b", "link del a"), op("link set a up", "")}},
		plan.Step{Target: each},
		plan.Step{Target: chain, Ops: []plan.Op{op("lsp-add s p", "--if-exists lsp-del p"), op("set Logical_Switch s x=y", "remove Logical_Switch s x")}},
	)
}

func TestReverse(t *testing.T) {
	back := sample().Reverse()
	want := "ovn-nbctl --db=tcp:192.0.2.5:6641 \\\n  remove Logical_Switch s x \\\n  -- --if-exists lsp-del p\nip -batch - <<'EOF'\nlink del a\nEOF\n"
	if got := back.String(); got != want {
		t.Errorf("reversed plan:\n%s\nwant:\n%s", got, want)
	}
	for _, s := range back.Steps {
		if !s.Removal {
			t.Errorf("step %q of a reversed plan is not marked as a removal", s)
		}
	}
}

// Reversing twice brings back all that had an inverse: nothing else was lost.
func TestReverseTwice(t *testing.T) {
	p := plan.New(plan.Step{Target: chain, Ops: []plan.Op{op("a", "b"), op("c", "d")}})
	if got := p.Reverse().Reverse(); !reflect.DeepEqual(got, p) {
		t.Errorf("got %v, want %v", got, p)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		target plan.Target
		word   string
		ok     bool
	}{
		{chain, "ls-my-network", true},
		{chain, `external_ids:k="a b"`, true},
		{chain, "--", false},
		{chain, "a\nb", false},
		{chain, "a\x00b", false},
		{batch, "ocn0123", true},
		{batch, "a b", false},
		{batch, "", false},
		{batch, `a"`, false},
		{batch, "a#b", false},
		{each, "a\tb", false},
	} {
		for _, o := range []plan.Op{{Do: []string{c.word}}, {Do: []string{"x"}, Undo: []string{c.word}}} {
			err := plan.New(plan.Step{Target: c.target, Ops: []plan.Op{o}}).Validate()
			if (err == nil) != c.ok {
				t.Errorf("%s %q: error %v, want ok=%v", c.target.Program, c.word, err, c.ok)
			}
		}
	}
}

// What the debug log prints must mean the same to a shell as to exec(3).
func FuzzQuote(f *testing.F) {
	sh, err := exec.LookPath("sh")
	switch {
	case err != nil && os.Getenv("CI") != "":
		f.Fatal(err)
	case err != nil:
		f.Skip("no POSIX shell here")
	}
	for _, w := range []string{"plain", "", "a b", "it's", `"q"`, "$HOME", "`id`", "a\\b", "*", "-n", "é"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		p := plan.New(plan.Step{Target: plan.Target{Program: "printf", Args: []string{"%s"}, Form: plan.Chain}, Ops: []plan.Op{{Do: []string{word}}}})
		if p.Validate() != nil || strings.HasPrefix(word, "-") {
			t.Skip("not a word of a plan")
		}
		out, err := exec.Command(sh, "-c", p.String()).Output()
		if err != nil || string(out) != word {
			t.Errorf("the shell read %q from %q (%v)", out, p.String(), err)
		}
	})
}
