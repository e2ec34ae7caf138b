//go:build linux

package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// restoreLimit is for a host that goes on from a saved state, which takes some seconds.
const restoreLimit = 45 * time.Second

// qemuHost is a virtual machine.
type qemuHost struct {
	guest
	Number  int    // its address on the underlay is 10.99.0.Number
	Dir     string // its folder on the machine
	Cluster string
	Image   string // folder that hack/vm-image.sh made
	Accel   string
	Layer   string // the folder in the cache whose disk and state the host began with; empty for the image itself
	Port    int    // of 127.0.0.1, that leads to its ssh
	Machine *process
	Session *process // the ssh that all commands go through
}

var (
	_ Host     = (*qemuHost)(nil)
	_ Rebooter = (*qemuHost)(nil)
)

func newQemuHost(o Options, h qemuHost) *qemuHost {
	h.guest = guest{Options: o, way: &h}
	return &h
}

func (h *qemuHost) Address() string { return "10.99.0." + strconv.Itoa(h.Number) }

func (h *qemuHost) emulated() bool { return h.Accel != "kvm" }

// mark is an argument of every process that belongs to the host.
func (h *qemuHost) mark() string { return markOf(h.Cluster) + h.Name() }

// markOf begins the marks of a cluster's hosts. As with cgroups, the folder's hash keeps two checkouts apart.
func markOf(cluster string) string { return "ocn-e2e." + hash(stateDir())[:6] + "." + cluster + "." }

func (h *qemuHost) disk() string { return filepath.Join(h.Dir, "disk.qcow2") }

func (h *qemuHost) mac() string { return fmt.Sprintf("02:99:00:00:00:%02x", h.Number) }

// newDisk makes the host's disk, on which it keeps what differs from the one it begins with.
func (h *qemuHost) newDisk(ctx context.Context) error {
	base := filepath.Join(h.Image, "disk.qcow2")
	if h.Layer != "" {
		base = filepath.Join(h.Layer, "disk.qcow2")
	}
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2",
		"-b", optionValue(base), "-F", "qcow2", h.disk()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making the disk of host %s: %w: %s", h.Name(), err, out)
	}
	return nil
}

// powerOn starts QEMU. With a state, the host goes on from it instead of booting.
func (h *qemuHost) powerOn(state *os.File, mon *os.File) error {
	var err error
	if h.Port, err = freePort(); err != nil {
		return err
	}
	m := machine{
		Mark: h.mark(), Image: h.Image, Disk: h.disk(), Console: filepath.Join(h.Dir, "console.log"), Accel: h.Accel,
		MAC: h.mac(), Underlay: underlayOf(markOf(h.Cluster)), Port: h.Port,
	}
	log, err := os.Create(filepath.Join(h.Dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(qemuProgram)
	cmd.Stdout, cmd.Stderr = log, log
	add := func(f *os.File) int {
		if f == nil {
			return 0
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		return 2 + len(cmd.ExtraFiles)
	}
	m.State, m.Monitor = add(state), add(mon)
	cmd.Args = append(cmd.Args, m.args()...)
	if h.Machine, err = spawn(cmd); err != nil {
		return fmt.Errorf("powering on host %s: %w", h.Name(), err)
	}
	return h.record()
}

// begin starts the host for the first time: from the state of its layer in seconds, or, when that fails, by a boot.
func (h *qemuHost) begin(ctx context.Context) error {
	if err := h.restore(ctx, nil); err != nil {
		fmt.Fprintf(os.Stderr, "%v; booting it instead\n", err)
		if err := h.cut(); err != nil {
			return err
		}
		if err := h.newDisk(ctx); err != nil {
			return err
		}
		if err := h.powerOn(nil, nil); err != nil {
			return err
		}
		if err := h.up(ctx); err != nil {
			return err
		}
	}
	if err := h.identify(ctx); err != nil {
		return err
	}
	if h.emulated() && h.Options.Docker && h.Options.Images {
		if err := h.warmUp(ctx); err != nil {
			return err
		}
	}
	return h.setUp(ctx)
}

// restore starts the host from the state of its layer.
func (h *qemuHost) restore(ctx context.Context, mon *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	state, err := os.Open(filepath.Join(h.Layer, "state"))
	if err != nil {
		return fmt.Errorf("restoring host %s: %w", h.Name(), err)
	}
	defer state.Close()
	if err := h.newDisk(ctx); err != nil {
		return err
	}
	if err := h.powerOn(state, mon); err != nil {
		return err
	}
	if err := h.connect(ctx); err != nil {
		return fmt.Errorf("restoring host %s: %w", h.Name(), err)
	}
	return nil
}

// identify makes a host of its own of one that began as a copy.
func (h *qemuHost) identify(ctx context.Context) error {
	now := float64(time.Now().UnixMilli()) / 1000
	_, err := h.Run(ctx, "testhost-identity", h.Name(), h.Address(), h.mac(), randomID(), uuid.NewString(), strconv.FormatFloat(now, 'f', 3, 64))
	return err
}

// up waits until the host has started what it starts at boot, and says so when some of it failed.
func (h *qemuHost) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if err := h.connect(ctx); err != nil {
		console, _ := os.ReadFile(filepath.Join(h.Dir, "console.log"))
		return fmt.Errorf("%w; the end of its console: %s", err, tail(string(console), 5))
	}
	return h.started(ctx, anyUnit)
}

// cut takes away what of the host runs on the machine.
func (h *qemuHost) cut() error {
	if h.Machine != nil {
		if err := h.Machine.kill(); err != nil {
			return fmt.Errorf("powering off host %s: %w", h.Name(), err)
		}
	}
	h.Machine = nil
	return h.disconnect()
}

// record writes what a later process needs to take over the host.
func (h *qemuHost) record() error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.Dir, "host.json"), text, 0o644)
}
