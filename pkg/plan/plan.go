package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Form is how a program takes the commands of a step.
type Form int

const (
	// Chain puts all commands in one argument list, separated by "--". The
	// OVSDB programs run such a list as one transaction (ovs-vsctl(8),
	// ovn-nbctl(8)).
	Chain Form = iota
	// Batch writes one command a line to standard input, as ip(8) takes them
	// with "-batch -". It stops at the first command that fails and takes
	// nothing back.
	Batch
	// Each runs the program once for every command.
	Each
)

// Target is the program of a step, with the arguments that come before its
// commands.
type Target struct {
	Program string
	Args    []string
	Form    Form
}

// Op is one command, and the command that takes it back. Undo is empty when
// the command made nothing that was not there before, or when what it made
// belongs to others too.
type Op struct {
	Do, Undo []string
}

// Step is one invocation of a program: its commands run together.
type Step struct {
	Target Target
	Ops    []Op
	// Removal marks the steps of a reversed plan. What they remove may be
	// gone already, and that is success.
	Removal bool
	// Beside says that the step may run at the same time as the one before it:
	// it needs nothing of that one. Taken back are all steps one after the other.
	Beside bool
}

// Plan is a list of steps, run in order.
type Plan struct {
	Steps []Step
}

// New returns a plan of the steps that have commands.
func New(steps ...Step) Plan {
	var p Plan
	for _, s := range steps {
		if len(s.Ops) > 0 {
			p.Steps = append(p.Steps, s)
		}
	}
	return p
}

// Empty reports whether there is nothing to run.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Reverse returns the plan that takes p back: the steps and their commands in
// reverse order, each command exchanged with its inverse. Commands without an
// inverse are left out.
func (p Plan) Reverse() Plan {
	var r Plan
	for _, s := range slices.Backward(p.Steps) {
		back := Step{Target: s.Target, Removal: !s.Removal}
		for _, op := range slices.Backward(s.Ops) {
			if len(op.Undo) > 0 {
				back.Ops = append(back.Ops, Op{Do: op.Undo, Undo: op.Do})
			}
		}
		if len(back.Ops) > 0 {
			r.Steps = append(r.Steps, back)
		}
	}
	return r
}

// Validate refuses words that a program would take for something else than
// one argument of one command: a "--" would begin a new command of a chain, a
// line break or a space a new command or argument of a batch. Names are
// checked where they enter the program; this is the second lock on that door.
func (p Plan) Validate() error {
	for _, s := range p.Steps {
		for _, op := range s.Ops {
			for _, words := range [][]string{op.Do, op.Undo} {
				for _, w := range words {
					if err := s.Target.Form.check(w); err != nil {
						return fmt.Errorf("checking command %q of %s: %w", words, s.Target.Program, err)
					}
				}
			}
		}
	}
	return nil
}

func (f Form) check(word string) error {
	switch {
	case word == "--":
		return fmt.Errorf("word %q would begin another command", word)
	case strings.ContainsFunc(word, unicode.IsControl):
		return fmt.Errorf("word %q has a control character", word)
	case f == Batch && (word == "" || strings.ContainsAny(word, " '\"\\#")):
		return fmt.Errorf("word %q cannot stand in a batch", word)
	}
	return nil
}
