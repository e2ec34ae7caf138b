package plan

import "strings"

// String prints the plan as a shell script that does the same: what the debug
// log shows and what golden files hold. It ends with a line break unless the
// plan is empty.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String())
	}
	return b.String()
}

// String prints the step in shell syntax.
func (s Step) String() string {
	var b strings.Builder
	head := join(append([]string{s.Target.Program}, s.Target.Args...))
	switch s.Target.Form {
	case Chain:
		b.WriteString(head)
		for i, op := range s.Ops {
			b.WriteString(" \\\n  ")
			if i > 0 {
				b.WriteString("-- ")
			}
			b.WriteString(join(op.Do))
		}
		b.WriteString("\n")
	case Batch:
		b.WriteString(head + " <<'EOF'\n")
		for _, op := range s.Ops {
			b.WriteString(strings.Join(op.Do, " ") + "\n")
		}
		b.WriteString("EOF\n")
	case Each:
		for _, op := range s.Ops {
			b.WriteString(head + " " + lines(join(op.Do)) + "\n")
		}
	}
	return b.String()
}

// lines gives each operation of a transaction in JSON a line of its own, which
// means the same.
func lines(text string) string {
	return strings.NewReplacer(`",{`, "\",\n  {", "},{", "},\n  {").Replace(text)
}

func join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote returns the word as a POSIX shell reads it back.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
