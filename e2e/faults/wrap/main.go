// Command wrap stands before the programs that the plugin runs, under their names, and has one invocation of them go
// wrong: the plugin is killed before or after it, or it fails before or after it has done its work, or, for a batch
// of ip(8), in the middle. So the plugin under test is the one that users have, with nothing in it for tests.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Fault is what the control file says.
type Fault struct {
	What string // which invocations, by what describe returns
	At   int    // which of them, counted from 1
	Mode string // kill-before, kill-after, fail, fail-after, or cut-N: a batch that fails at its line N
}

const folder = "/var/tmp/faults"

func main() {
	name := filepath.Base(os.Args[0])
	program := filepath.Join(folder, "real", name)
	var f Fault
	text, err := os.ReadFile(filepath.Join(folder, "control"))
	// The long watches begin when they like, and would make the count another one each time.
	if err != nil || json.Unmarshal(text, &f) != nil || slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "monitor") }) {
		become(program)
	}
	what := describe(name)
	n, err := count(what)
	if err != nil {
		fail(err)
	}
	if what != f.What || n != f.At {
		become(program)
	}
	if err := os.WriteFile(filepath.Join(folder, "fired"), []byte(strings.Join(os.Args, " ")), 0o600); err != nil {
		fail(err)
	}
	switch f.Mode {
	case "kill-before":
		kill()
	case "kill-after":
		_ = run(program, os.Stdin) // its outcome is nobody's business any more
		kill()
	case "fail-after":
		if err := run(program, os.Stdin); err != nil {
			fail(err)
		}
		fail(errors.New("a fault, after it was done"))
	case "fail":
		fail(errors.New("a fault, before anything was done"))
	default:
		line, err := strconv.Atoi(strings.TrimPrefix(f.Mode, "cut-"))
		if err != nil {
			fail(fmt.Errorf("mode %q: %w", f.Mode, err))
		}
		cut(program, line)
	}
}

var (
	words   = regexp.MustCompile(`^-{0,2}[a-z][a-z_-]*$`)
	clauses = regexp.MustCompile(`"(?:op|table)":"(\w+)"`)
)

// describe says what an invocation is for in words that are the same each time, whoever it is done for. Reads are told from
// what may change something: it makes no difference to a read whether it is cut off before or after.
func describe(name string) string {
	all := strings.Join(os.Args[1:], " ")
	what := []string{name}
	if name == "ovsdb-client" {
		changes := false
		for _, clause := range clauses.FindAllStringSubmatch(all, -1) {
			what = append(what, clause[1])
			changes = changes || slices.Contains([]string{"insert", "update", "mutate", "delete"}, clause[1])
		}
		if !changes {
			what = append(what, read)
		}
		return strings.Join(what, " ")
	}
	for _, arg := range os.Args[1:] {
		if words.MatchString(arg) {
			what = append(what, arg)
		}
	}
	if name == "ip" && strings.Contains(all, "-json") {
		what = append(what, read)
	}
	return strings.Join(what, " ")
}

// read ends the description of what only reads.
const read = ":read"

// become replaces this process by the program.
func become(program string) {
	fail(syscall.Exec(program, os.Args, os.Environ()))
}

func run(program string, stdin io.Reader) error {
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// cut has a batch fail at one of its lines, as the program itself would.
func cut(program string, line int) {
	all, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(err)
	}
	lines := strings.SplitAfter(string(all), "\n")
	at := min(line-1, len(lines))
	broken := strings.Join(slices.Insert(slices.Clone(lines), at, "link set dev no-such-link up\n"), "")
	if err := run(program, bytes.NewReader([]byte(broken))); err != nil {
		os.Exit(1)
	}
	os.Exit(0) // a removal, which goes on
}

// kill ends the plugin, and this program as part of it.
func kill() {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if err != nil {
		fail(err)
	}
	if !strings.HasPrefix(string(comm), "ovs-container-n") {
		fail(fmt.Errorf("the parent is %q, not the plugin", comm))
	}
	if err := syscall.Kill(os.Getppid(), syscall.SIGKILL); err != nil {
		fail(err)
	}
	os.Exit(1)
}

// count counts the invocations of this description, and writes this one down. They may run side by side.
func count(what string) (int, error) {
	f, err := os.OpenFile(filepath.Join(folder, "count"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	before := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line != what })
	_, err = fmt.Fprintln(f, what)
	return len(before) + 1, err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
