//go:build linux

package host

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// initName is the program name under which the test binary runs itself as the first process of a host.
const initName = "ocn-e2e-host"

// initConfig tells the first process what to make. It comes on file descriptor 3.
type initConfig struct {
	Hostname string
	// Root is the tree that becomes the host's root, read-only.
	Root string
	// Dir is the host's own folder: Dir/root is where the tree is mounted first, Dir/fs holds what the host may change.
	Dir     string
	Cgroups cgroups
}

// own are the folders of the root that belong to the host and survive its power-off.
var own = []string{"etc", "var", "root", "home", "opt", "srv", "mnt", "usr/local", "tmp"}

// init runs before anything of the test binary does: only here is the process still the one thread that namespaces and
// the final exec ask for.
func init() {
	if len(os.Args) == 0 || os.Args[0] != initName {
		// keeps the main goroutine, and only it, on the main thread: threads that enter a host are given up afterwards, and
		// /proc/self shows the main thread's view
		runtime.LockOSThread()
		return
	}
	err := hostInit()
	fmt.Fprintf(os.Stderr, "%s: %v\n", initName, err)
	os.Exit(1)
}

// hostInit turns this process, already in new namespaces, into the first process of a host. It returns only on failure.
func hostInit() error {
	var c initConfig
	pipe := os.NewFile(3, "config")
	if err := json.NewDecoder(bufio.NewReader(pipe)).Decode(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	pipe.Close()
	// here and not in clone: the new namespace's root is the cgroup that a process is in, and this one was put into its
	// version 2 cgroup by the same clone
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("making a cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := mountAll(c); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if err := os.WriteFile("/run/host-ready", nil, 0o644); err != nil {
		return err
	}
	err := unix.Exec("/usr/bin/tini", []string{"tini", "-s", "--", "sleep", "infinity"}, []string{"PATH=" + searchPath})
	return fmt.Errorf("running tini: %w", err)
}

// mounts collects the first error of a list of mounts.
type mounts struct{ err error }

func (m *mounts) do(source, target, fstype string, flags uintptr, data string) {
	if m.err != nil {
		return
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		m.err = fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
}

func (m *mounts) mkdir(dirs ...string) {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil && m.err == nil {
			m.err = err
		}
	}
}

func mountAll(c initConfig) error {
	root, m := filepath.Join(c.Dir, "root"), &mounts{}
	m.mkdir(root)
	// nothing made here may reach the machine, and the machine's mounts are let go of below
	m.do("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	m.do(c.Root, root, "", unix.MS_BIND, "")
	m.do("none", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	for _, dir := range own {
		m.do(filepath.Join(c.Dir, "fs", dir), filepath.Join(root, dir), "", unix.MS_BIND, "")
	}
	m.do("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.do("sysfs", root+"/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.do("run", root+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	m.mkdir(root+"/run/lock", root+"/run/netns", root+"/run/ovn")
	m.devices(root + "/dev")
	m.cgroups(c.Cgroups, root+"/sys/fs/cgroup")
	if m.err != nil {
		return m.err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the machine's mounts: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// as on a host with systemd; the propagated mount of a managed plugin needs it
	m.do("none", "/", "", unix.MS_REC|unix.MS_SHARED, "")
	return m.err
}

// devices makes a /dev with what Docker and OVS need, no disk among it.
func (m *mounts) devices(dev string) {
	m.do("dev", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755")
	m.mkdir(dev+"/pts", dev+"/shm", dev+"/mqueue", dev+"/net")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "net/tun"} {
		if _, err := os.Stat("/dev/" + name); errors.Is(err, os.ErrNotExist) {
			continue // OVS says itself that it misses net/tun
		}
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o666); err != nil && m.err == nil {
			m.err = err
		}
		m.do("/dev/"+name, filepath.Join(dev, name), "", unix.MS_BIND, "")
	}
	m.do("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	m.do("shm", dev+"/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	m.do("mqueue", dev+"/mqueue", "mqueue", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	for link, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, link)); err != nil && m.err == nil {
			m.err = err
		}
	}
}

// cgroups mounts the hierarchies as this process's cgroup namespace shows them.
func (m *mounts) cgroups(c cgroups, dir string) {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if c.Pure {
		m.do("cgroup2", dir, "cgroup2", flags, "")
		if m.err == nil {
			m.err = os.WriteFile(dir+"/init/cgroup.procs", []byte("0"), 0o644)
			delegate(dir)
		}
		return
	}
	m.do("cgroup", dir, "tmpfs", flags, "mode=755")
	hs := append([]hierarchy(nil), c.Hierarchies...)
	sort.Slice(hs, func(i, j int) bool { return hs[i].Point < hs[j].Point })
	for _, h := range hs {
		at := filepath.Join(dir, filepath.Base(h.Point))
		m.mkdir(at)
		if h.v2() {
			m.do("cgroup2", at, "cgroup2", flags, "")
			continue
		}
		m.do("cgroup", at, "cgroup", flags, h.Options)
		if names := strings.Split(h.Options, ","); len(names) > 1 && names[0] != "none" {
			for _, name := range names { // cpu -> cpu,cpuacct, as systemd does
				_ = os.Symlink(filepath.Base(at), filepath.Join(dir, name))
			}
		}
	}
}

// loopbackUp brings up lo: ioctl(SIOCSIFFLAGS), see netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // ends with this process's exec anyway
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bringing up lo: %w", err)
	}
	return nil
}
