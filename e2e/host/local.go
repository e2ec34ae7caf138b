//go:build linux

package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// localHost is a host made of namespaces.
type localHost struct {
	Options Options
	Number  int    // its address on the underlay is 10.99.0.Number
	Dir     string // its folder on the machine
	Cluster string
	Holder  *holder
	// PluginHash is that of the plugin in the host's Docker.
	PluginHash string
	// underlay is the holder that has the bridge; nil for hosts without a link.
	underlay *holder
}

var _ Host = (*localHost)(nil)

func (h *localHost) Name() string    { return h.Options.Name }
func (h *localHost) Address() string { return "10.99.0." + strconv.Itoa(h.Number) }

func (h *localHost) Run(ctx context.Context, argv ...string) (string, error) {
	return h.RunInput(ctx, nil, argv...)
}

func (h *localHost) RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	if h.Holder == nil {
		return "", fmt.Errorf("running %q on %s: the host is powered off", argv, h.Name())
	}
	return h.Holder.run(ctx, whole, h.Name(), stdin, argv)
}

func (h *localHost) Docker(ctx context.Context, args ...string) (string, error) {
	return h.Run(ctx, append([]string{"docker"}, args...)...)
}

// open opens a file of the running host. Symbolic links are followed as the host sees them: /var/run taken through
// /proc/PID/root by an ordinary open would lead to the machine's own /run.
func (h *localHost) open(remote string, flags uint64, mode os.FileMode) (*os.File, error) {
	root, err := os.Open(fmt.Sprintf("/proc/%d/root", h.Holder.Pid))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: uint64(mode.Perm()), Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(int(root.Fd()), remote, &how)
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: remote, Err: err}
	}
	return os.NewFile(uintptr(fd), remote), nil
}

func (h *localHost) readFile(remote string) (string, error) {
	f, err := h.open(remote, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

func (h *localHost) Start(_ context.Context, logPath string, argv ...string) (func(), error) {
	log, err := h.open(logPath, unix.O_CREAT|unix.O_APPEND|unix.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening log %q on %s: %w", logPath, h.Name(), err)
	}
	defer log.Close()
	cmd := &exec.Cmd{Args: argv, Stdout: log, Stderr: log, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "LC_ALL=C"}
	if err := h.Holder.start(whole, cmd); err != nil {
		return nil, fmt.Errorf("starting %q on %s: %w", argv, h.Name(), err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	return func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}, nil
}

func (h *localHost) CopyIn(ctx context.Context, local, remote string) error {
	// /var belongs to the host and is no symbolic link, so the machine may write there; the host itself moves it on
	staged, err := os.MkdirTemp(filepath.Join(h.Dir, "fs", "var"), "copy-in-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staged) //nolint:errcheck // goes with the host's folder anyway
	if err := copyTree(ctx, local, filepath.Join(staged, "it")); err != nil {
		return err
	}
	if _, err := h.Run(ctx, "mkdir", "-p", filepath.Dir(remote)); err != nil {
		return err
	}
	_, err = h.Run(ctx, "mv", "-T", filepath.Join("/var", filepath.Base(staged), "it"), remote)
	return err
}

func (h *localHost) WriteFile(ctx context.Context, remote string, content []byte, mode os.FileMode) error {
	if _, err := h.Run(ctx, "mkdir", "-p", filepath.Dir(remote)); err != nil {
		return err
	}
	f, err := h.open(remote, unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("writing %q on %s: %w", remote, h.Name(), err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// copyTree copies with everything that Docker keeps in a file system (extended attributes, devices, hard links). The
// target must not be there.
func copyTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", "--", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying %s: %w: %s", from, err, out)
	}
	return nil
}

// prepare makes the folders that belong to the host.
func (h *localHost) prepare(ctx context.Context) error {
	tree, err := rootTree(h.Options.Suite)
	if err != nil {
		return err
	}
	fs := filepath.Join(h.Dir, "fs")
	for _, dir := range own {
		if err := os.MkdirAll(filepath.Join(fs, filepath.Dir(dir)), 0o755); err != nil {
			return err
		}
		if err := copyTree(ctx, filepath.Join(tree, dir), filepath.Join(fs, dir)); err != nil {
			return err
		}
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, see crypto/rand
	files := map[string]string{
		"etc/hostname":   h.Name() + "\n",
		"etc/machine-id": hex.EncodeToString(id) + "\n",
		"etc/hosts":      "127.0.0.1 localhost\n" + h.Address() + " " + h.Name() + "\n",
		// refuses at once, so that a lookup of a name outside fails quickly
		"etc/resolv.conf": "nameserver " + underlayAddress + "\n",
	}
	for name, text := range files {
		_ = os.Remove(filepath.Join(fs, name)) // may be a symbolic link
		if err := os.WriteFile(filepath.Join(fs, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (h *localHost) Boot(ctx context.Context) error {
	if h.Holder != nil && h.Holder.alive() {
		return fmt.Errorf("booting host %s: it is running", h.Name())
	}
	if err := h.powerOn(ctx); err != nil {
		return err
	}
	if h.Options.OVS {
		if err := h.StartOVS(ctx); err != nil {
			return err
		}
	}
	if h.Options.Tunnels {
		if err := h.tunnels(ctx); err != nil {
			return err
		}
	}
	if h.Options.Docker {
		return h.StartDocker(ctx)
	}
	return nil
}

// tunnels moves the host's address to a bridge of Open vSwitch that the link to the underlay is a port of. The kernel must
// take nothing from that link itself: it would answer beside Open vSwitch.
func (h *localHost) tunnels(ctx context.Context) error {
	for _, argv := range [][]string{
		{
			"ovs-vsctl", "--may-exist", "add-br", UnderlayBridge, "--", "set", "Bridge", UnderlayBridge, "datapath_type=netdev", `other_config:hwaddr="` + h.mac() + `"`,
			"--", "--may-exist", "add-port", UnderlayBridge, "eth0",
		},
		{"sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=8", "net.ipv6.conf.eth0.disable_ipv6=1"},
		{"iptables", "-t", "raw", "-A", "PREROUTING", "-i", "eth0", "-j", "DROP"},
		{"ip", "address", "flush", "dev", "eth0"},
		{"ip", "address", "replace", h.Address() + "/24", "dev", UnderlayBridge},
		{"ip", "link", "set", "dev", UnderlayBridge, "up"},
		// Without them the userspace datapath's packets have no checksum.
		{"ethtool", "-K", UnderlayBridge, "tx", "off"},
		{"ip", "route", "replace", "default", "via", underlayAddress},
	} {
		if _, err := h.Run(ctx, argv...); err != nil {
			return fmt.Errorf("giving the underlay of %s to Open vSwitch: %w", h.Name(), err)
		}
	}
	return nil
}

// powerOn makes the namespaces and the link to the underlay.
func (h *localHost) powerOn(ctx context.Context) error {
	tree, err := rootTree(h.Options.Suite)
	if err != nil {
		return err
	}
	set, err := newCgroups(h.Cluster, h.Name())
	if err != nil {
		return err
	}
	c := initConfig{Hostname: h.Name(), Root: tree, Dir: h.Dir}
	if h.Holder, err = startHolder(ctx, c, set); err != nil {
		return errors.Join(err, set.remove())
	}
	if err := h.record(); err != nil {
		return err
	}
	if h.underlay == nil {
		return nil
	}
	return h.link(ctx)
}

func (h *localHost) PowerOff(ctx context.Context) error {
	if h.Holder == nil {
		return nil
	}
	if err := h.Holder.kill(); err != nil {
		return fmt.Errorf("powering off host %s: %w", h.Name(), err)
	}
	if h.underlay != nil {
		// the kernel takes its time with the namespace of a dead host, which answers pings until then
		_, err := h.underlay.run(ctx, network, "underlay", nil, []string{"ip", "link", "delete", h.linkName()})
		if err != nil && !strings.Contains(err.Error(), "Cannot find device") {
			return fmt.Errorf("powering off host %s: %w", h.Name(), err)
		}
		_, _ = h.underlay.run(ctx, network, "underlay", nil, []string{"ip", "link", "delete", h.wireName()}) // most have none
	}
	h.Holder = nil
	return h.record()
}

// record writes what a later process needs to take over the host, or to take it away.
func (h *localHost) record() error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.Dir, "host.json"), text, 0o644)
}

// linkName is the name of the host's end in the underlay.
func (h *localHost) linkName() string { return "to-" + strconv.Itoa(h.Number) }

// wireName is the name of the host's end of the wire.
func (h *localHost) wireName() string { return "wire-" + strconv.Itoa(h.Number) }

// mac is fixed: after a power-off the neighbours still know it.
func (h *localHost) mac() string { return fmt.Sprintf("02:99:00:00:00:%02x", h.Number) }

// link joins the host to the underlay as eth0. The machine's ip is used: it can name the other end's namespace by a pid.
func (h *localHost) link(ctx context.Context) error {
	batch := strings.Join([]string{
		"link add " + h.linkName() + " type veth peer name eth0 address " + h.mac() + " netns " + strconv.Itoa(h.Holder.Pid),
		"link set " + h.linkName() + " master " + underlayBridge + " up",
	}, "\n")
	if h.Options.Wire {
		batch += "\n" + strings.Join([]string{
			"link add " + h.wireName() + " type veth peer name " + WireLink + " netns " + strconv.Itoa(h.Holder.Pid),
			"link set " + h.wireName() + " master " + wireBridge + " up",
		}, "\n")
	}
	_, err := h.underlay.run(ctx, network, "underlay", strings.NewReader(batch), []string{"ip", "-batch", "-"})
	if err != nil {
		return fmt.Errorf("linking host %s to the underlay: %w", h.Name(), err)
	}
	batch = strings.Join([]string{
		"address add " + h.Address() + "/24 dev eth0", "link set eth0 up", "route add default via " + underlayAddress,
	}, "\n")
	_, err = h.RunInput(ctx, strings.NewReader(batch), "ip", "-batch", "-")
	return err
}

// rootTree is the tree that hack/testhost-image.sh made.
func rootTree(suite string) (string, error) {
	dir, err := made("testhost", "testhost-image.sh", suite)
	return filepath.Join(dir, "rootfs"), err
}

// localMissing lists what the provider "local" lacks for a cluster.
func localMissing(spec Spec) string {
	if os.Geteuid() != 0 {
		return "test hosts are made of namespaces, which needs root: run the tests with sudo"
	}
	var missing []string
	for _, tool := range []string{"ip", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" is not installed")
		}
	}
	for _, suite := range suites() {
		if _, err := rootTree(suite); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return strings.Join(append(missing, contentsMissing(spec)...), "; ")
}
