//go:build linux

package host

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupName is the name of a host's cgroup in every hierarchy. The folder's hash keeps two checkouts on one machine from
// taking one another's hosts for left-overs.
func cgroupName(cluster, host string) string {
	return "ocn-e2e." + hash(stateDir())[:6] + "." + cluster + "." + host
}

// hierarchy is a mounted cgroup hierarchy of the machine.
type hierarchy struct {
	Point   string // mount point
	Options string // mount options that name it, "cpu,cpuacct" or "none,name=systemd"; empty for version 2
}

func (h hierarchy) v2() bool { return h.Options == "" }

// cgroups is the place of one host in the hierarchies of the machine. A host needs it besides its cgroup namespace: the
// namespace changes only the view, and dockerd derives the cgroups of containers from the one that it runs in.
type cgroups struct {
	Name        string
	Hierarchies []hierarchy
	// Pure says that the host sees version 2 only.
	Pure bool
}

// findHierarchies reads the hierarchies from mountinfo (proc_pid_mountinfo(5)).
func findHierarchies() ([]hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []hierarchy
	for scan := bufio.NewScanner(f); scan.Scan(); {
		before, after, ok := strings.Cut(scan.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			found = append(found, hierarchy{Point: fields[4]})
		case "cgroup":
			var names []string
			for _, o := range strings.Split(tail[2], ",") {
				switch {
				case strings.HasPrefix(o, "name="):
					names = append(names, "none", o)
				case o != "rw" && o != "ro" && !strings.Contains(o, "="):
					names = append(names, o)
				}
			}
			found = append(found, hierarchy{Point: fields[4], Options: strings.Join(names, ",")})
		}
	}
	return found, nil
}

// newCgroups makes the cgroups of a host.
func newCgroups(cluster, host string) (*cgroups, error) {
	all, err := findHierarchies()
	if err != nil {
		return nil, fmt.Errorf("reading cgroup hierarchies: %w", err)
	}
	c := &cgroups{Name: cgroupName(cluster, host), Pure: true}
	for _, h := range all {
		if h.v2() || os.Getenv("E2E_CGROUP") != "v2" {
			c.Hierarchies = append(c.Hierarchies, h)
			c.Pure = c.Pure && h.v2()
		}
	}
	if len(c.Hierarchies) == 0 {
		return nil, errors.New("making cgroups: no hierarchy is mounted on this machine")
	}
	for _, h := range c.Hierarchies {
		dir := filepath.Join(h.Point, c.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making cgroup: %w", err)
		}
		if strings.Contains(h.Options, "cpuset") {
			// a version 1 cpuset takes no process before it has both
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				value, err := os.ReadFile(filepath.Join(h.Point, file))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, file), value, 0o644)
				}
				if err != nil {
					return nil, fmt.Errorf("making cgroup: %w", err)
				}
			}
		}
		if c.Pure {
			if err := os.MkdirAll(filepath.Join(dir, "init"), 0o755); err != nil {
				return nil, fmt.Errorf("making cgroup: %w", err)
			}
			delegate(h.Point)
		}
	}
	return c, nil
}

// delegate hands all controllers of a version 2 cgroup on to its children. One that cannot be handed on (it is used by a
// version 1 hierarchy, or not for children) is left out: Docker runs without it.
func delegate(dir string) {
	list, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for _, name := range strings.Fields(string(list)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644)
	}
}

// joinThread moves the calling thread, and so what it forks, into the version 1 cgroups. There, unlike in version 2, threads
// are free to move.
func (c *cgroups) joinThread() error {
	tid := []byte(strconv.Itoa(unix.Gettid()))
	for _, h := range c.Hierarchies {
		if h.v2() {
			continue
		}
		if err := os.WriteFile(filepath.Join(h.Point, c.Name, "tasks"), tid, 0o644); err != nil {
			return fmt.Errorf("joining cgroup: %w", err)
		}
	}
	return nil
}

// open2 opens the version 2 cgroup for clone3's CLONE_INTO_CGROUP; ok is false when there is none. root is for the holder:
// its namespace's root has to be the cgroup above the one that processes live in, since version 2 keeps processes out of
// inner cgroups.
func (c *cgroups) open2(root bool) (dir *os.File, ok bool, err error) {
	for _, h := range c.Hierarchies {
		if !h.v2() {
			continue
		}
		path := filepath.Join(h.Point, c.Name)
		if c.Pure && !root {
			path = filepath.Join(path, "init")
		}
		dir, err := os.Open(path)
		return dir, err == nil, err
	}
	return nil, false, nil
}

// remove takes the cgroups away. The kernel empties them some time after the last process has gone, so it is tried for a while.
func (c *cgroups) remove() error {
	var last error
	for range 200 {
		last = nil
		for _, h := range c.Hierarchies {
			if err := removeTree(filepath.Join(h.Point, c.Name)); err != nil {
				last = err
			}
		}
		if last == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("removing cgroups of %s: %w", c.Name, last)
}

// removeTree removes a cgroup and those below it. Its files cannot be removed and go with it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}

// cgroupsOf lists the cgroups of a cluster's hosts on this machine, and the processes in them.
func cgroupsOf(cluster string) (dirs []string, processes []int) {
	all, err := findHierarchies()
	if err != nil {
		return nil, nil
	}
	seen := map[int]bool{}
	for _, h := range all {
		roots, _ := filepath.Glob(filepath.Join(h.Point, cgroupName(cluster, "*")))
		dirs = append(dirs, roots...)
		for _, root := range roots {
			_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
				if err != nil || filepath.Base(path) != "cgroup.procs" {
					return nil //nolint:nilerr // cgroups come and go while one looks
				}
				text, _ := os.ReadFile(path)
				for _, field := range strings.Fields(string(text)) {
					if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() && !seen[pid] {
						seen[pid] = true
						processes = append(processes, pid)
					}
				}
				return nil
			})
		}
	}
	return dirs, processes
}
