package firewall

import (
	"bufio"
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Backend is the kernel interface that the host's own tools write to, of which there
// are two that do not see each other's rules (xtables-nft(8)), for one family of
// addresses.
type Backend struct {
	Way  string // "nft" or "legacy"
	IPv6 bool
}

// The backends for IPv4.
var (
	NFT    = Backend{Way: "nft"}
	Legacy = Backend{Way: "legacy"}
)

// Six is the same interface for IPv6.
func (b Backend) Six() Backend { return Backend{Way: b.Way, IPv6: true} }

func (b Backend) tool(action string) string {
	family := "iptables-"
	if b.IPv6 {
		family = "ip6tables-"
	}
	return family + b.Way + action
}

// Save is the program that prints all rules.
func (b Backend) Save() string { return b.tool("-save") }

// restore is the invocation that takes what Save prints. It waits for the lock
// that the legacy backend's writers take turns with.
func (b Backend) restore() plan.Target {
	return plan.Target{Program: b.tool("-restore"), Args: []string{"--noflush", "--wait", "5"}, Form: plan.Batch}
}

// Chain is a chain of a table.
type Chain struct{ Table, Name string }

// Rules are the rules of each chain, in order, without the words that append them.
type Rules map[Chain][]string

// Parse reads what Save prints.
func Parse(save []byte) Rules {
	rules, table := Rules{}, ""
	lines := bufio.NewScanner(bytes.NewReader(save))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"):
			name, policy, _ := strings.Cut(line[1:], " ")
			rules[Chain{table, name}] = nil
			if policy, _, _ = strings.Cut(policy, " "); policy != "" && policy != "-" {
				rules[policyOf(Chain{table, name})] = []string{policy}
			}
		case strings.HasPrefix(line, "-A "):
			name, rule, _ := strings.Cut(line[3:], " ")
			at := Chain{table, name}
			rules[at] = append(rules[at], strings.TrimSpace(rule))
		}
	}
	return rules
}

// policyOf is where Rules have the policy of a built-in chain: no chain's name begins so.
func policyOf(c Chain) Chain { return Chain{c.Table, ":" + c.Name} }

// Policy returns what becomes of packets that no rule of a built-in chain decides on,
// such as "ACCEPT"; "" if it is not known.
func (r Rules) Policy(c Chain) string {
	if policy := r[policyOf(c)]; len(policy) > 0 {
		return policy[0]
	}
	return ""
}

// Has reports whether the chain is there.
func (r Rules) Has(c Chain) bool {
	_, there := r[c]
	return there
}

// Hook is a rule, of a chain of others, that leads to a chain of ours.
type Hook struct {
	From Chain
	Rule string // "-j NAME", maybe with a match
	// First has it stand before all other rules, else it is the last.
	First bool
}

// Desired is what the host should have: all the chains of this program that there
// should be, with their rules, and what leads there.
type Desired struct {
	Chains Rules
	Hooks  []Hook
}

// Plan returns what makes the tables so. Chains of that prefix are ours: those
// that are not wanted go, and with them the rules that lead there.
func (d Desired) Plan(b Backend, seen Rules, prefix string) plan.Plan {
	tables := map[string]bool{}
	for c := range d.Chains {
		tables[c.Table] = true
	}
	for c := range seen {
		tables[c.Table] = true
	}
	var p plan.Plan
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		if ops := d.table(table, seen, prefix); len(ops) > 0 {
			all := append([]plan.Op{line("*" + table)}, ops...)
			p.Steps = append(p.Steps, plan.Step{Target: b.restore(), Ops: append(all, line("COMMIT"))})
		}
	}
	return p
}

// Policy sets what becomes of packets that no rule of a built-in chain decides on.
func Policy(b Backend, c Chain, policy string) plan.Step {
	return plan.Step{Target: b.restore(), Ops: []plan.Op{line("*" + c.Table), line(":" + c.Name + " " + policy + " [0:0]"), line("COMMIT")}}
}

func line(text string) plan.Op { return plan.Op{Do: strings.Fields(text)} }

func (d Desired) table(table string, seen Rules, prefix string) []plan.Op {
	var declare, rules, unhook, hook, drop []plan.Op
	ours := func(name string) bool { return strings.HasPrefix(name, prefix) }
	for _, c := range sorted(d.Chains, table) {
		if seen.Has(c) && slices.Equal(seen[c], d.Chains[c]) {
			continue
		}
		declare = append(declare, line(":"+c.Name+" - [0:0]")) // and empties one that is there
		for _, r := range d.Chains[c] {
			rules = append(rules, line("-A "+c.Name+" "+r))
		}
	}
	there := Rules{}
	maps.Copy(there, seen)
	for _, h := range d.Hooks {
		if !seen.Has(h.From) { // a built-in chain of a table that nobody has used yet
			there[h.From] = nil
		}
	}
	for _, c := range sorted(there, table) {
		if ours(c.Name) {
			if _, wanted := d.Chains[c]; !wanted {
				declare = append(declare, line(":"+c.Name+" - [0:0]"))
				drop = append(drop, line("-X "+c.Name))
			}
			continue
		}
		wanted := d.hooks(c)
		have := slices.DeleteFunc(slices.Clone(seen[c]), func(r string) bool { return !ours(target(r)) })
		if slices.Equal(have, rulesOf(wanted)) && d.stands(wanted, seen[c]) {
			continue
		}
		for _, r := range have {
			unhook = append(unhook, line("-D "+c.Name+" "+r))
		}
		for _, h := range wanted {
			verb := "-A "
			if h.First {
				verb = "-I "
			}
			hook = append(hook, line(verb+c.Name+" "+h.Rule))
		}
	}
	return slices.Concat(declare, unhook, rules, hook, drop)
}

// hooks are those of a chain, in order.
func (d Desired) hooks(of Chain) []Hook {
	return slices.DeleteFunc(slices.Clone(d.Hooks), func(h Hook) bool { return h.From != of })
}

func rulesOf(hooks []Hook) []string {
	var all []string
	for _, h := range hooks {
		all = append(all, h.Rule)
	}
	return all
}

// stands reports whether those that must come first do.
func (d Desired) stands(hooks []Hook, rules []string) bool {
	for i, h := range hooks {
		if h.First && (i >= len(rules) || rules[i] != h.Rule) {
			return false
		}
	}
	return true
}

// target is the chain that a rule leads to.
func target(rule string) string {
	words := strings.Fields(rule)
	if n := len(words); n >= 2 && words[n-2] == "-j" {
		return words[n-1]
	}
	return ""
}

func sorted(r Rules, table string) []Chain {
	var all []Chain
	for c := range r {
		if c.Table == table {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	return all
}
