package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// limaHost is an instance of Lima.
type limaHost struct {
	guest
	Instance string
	Dir      string // folder of what a later process needs to take it over
	Address4 string // on the network of Lima that all its instances share
	Made     string // what it was made of
	Alias    string // its name in the configuration of ssh that Lima writes
	Config   string // that configuration's file
	On       bool
}

var (
	_ Host     = (*limaHost)(nil)
	_ Rebooter = (*limaHost)(nil)
)

func newLimaHost(o Options, h limaHost) *limaHost {
	h.guest = guest{Options: o, way: &h}
	return &h
}

func (h *limaHost) Address() string { return h.Address4 }

// emulated: Lima takes KVM where it is there. On a Mac it has the system's own virtualization.
func (h *limaHost) emulated() bool {
	return runtime.GOOS == "linux" && unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) != nil
}

func (h *limaHost) powered() bool { return h.On }

// environment is what commands get in hosts of all providers; sudo keeps little of a user's.
var environment = []string{
	"HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb", "COMPOSE_API_VERSION=auto",
}

func (h *limaHost) command(ctx context.Context, argv []string) *exec.Cmd {
	root := slices.Concat([]string{"sudo", "-n", "--", "env", "--"}, environment, argv)
	return h.ssh(ctx, nil, "exec "+quote(root))
}

// ssh is an ssh client with Lima's configuration, which has all commands share one connection.
func (h *limaHost) ssh(ctx context.Context, options []string, command ...string) *exec.Cmd {
	args := []string{
		"-F", h.Config, "-T", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5",
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6",
	}
	return exec.CommandContext(ctx, "ssh", slices.Concat(args, options, []string{h.Alias}, command)...)
}

// connect has no pipe to the client: one that begins the shared connection goes on in the background, and keeps it open.
func (h *limaHost) connect(ctx context.Context) error {
	return await(ctx, "ssh to host "+h.Name(), func() error {
		instance{Hostname: h.Alias, SSHConfigFile: h.Config}.disconnect(ctx)
		if err := h.ssh(ctx, nil, "exec true").Run(); err != nil {
			return fmt.Errorf("it does not answer: %w", err)
		}
		return nil
	})
}

// begin starts the host for the first time.
func (h *limaHost) begin(ctx context.Context) error {
	if err := h.start(ctx); err != nil {
		return err
	}
	var err error
	if h.Address4, err = h.readAddress(ctx); err != nil {
		return err
	}
	if err := h.identify(ctx); err != nil {
		return err
	}
	if h.Options.Docker && h.Options.Images {
		if err := bringImages(ctx, h, h.Options.Suite); err != nil {
			return err
		}
		if h.emulated() {
			if err := h.warmUp(ctx); err != nil {
				return err
			}
		}
	}
	if h.Options.Docker && h.Options.Plugin {
		if err := bringPlugin(ctx, h, h.Options.Suite); err != nil {
			return err
		}
	}
	return h.setUp(ctx)
}

// start has Lima start the instance, which returns when its boot scripts have run.
func (h *limaHost) start(ctx context.Context) error {
	if _, err := limactl(ctx, "start", "--timeout="+startLimit.String(), h.Instance); err != nil {
		return err
	}
	i, err := instanceOf(ctx, h.Instance)
	if err != nil {
		return err
	}
	h.On, h.Alias, h.Config = true, i.Hostname, i.SSHConfigFile
	return h.up(ctx)
}

// up waits for the units. A cloud image has many that tests have no business with, and not all of them work everywhere.
func (h *limaHost) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	return h.started(ctx, func(unit string) bool { return slices.Contains(slices.Concat(dockerUnits, ovsUnits), unit) })
}

// readAddress asks for the address that packets to anywhere else leave with: the instance has one link only.
func (h *limaHost) readAddress(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, "ip", "-json", "-4", "route", "get", "192.0.2.1")
	if err != nil {
		return "", err
	}
	return parseSource(out)
}

func parseSource(text string) (string, error) {
	var routes []struct{ Prefsrc string }
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return "", fmt.Errorf("reading a route: %w", err)
	}
	if len(routes) != 1 || routes[0].Prefsrc == "" {
		return "", fmt.Errorf("reading a route: it has no source address: %q", text)
	}
	return routes[0].Prefsrc, nil
}

// identify makes a host of its own of one that began as a copy.
func (h *limaHost) identify(ctx context.Context) error {
	const script = `set -eu
name=$1 address=$2 machine=$3 system=$4
hostname "$name"
echo "$name" >/etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts
echo "$machine" >/etc/machine-id
echo "$system" >/etc/openvswitch/system-id.conf
ovs-vsctl --no-wait set Open_vSwitch . "external_ids:system-id=$system" "external_ids:hostname=$name"
sync
`
	_, err := h.RunInput(ctx, strings.NewReader(script), "sh", "-s", "--", h.Name(), h.Address4, randomID(), uuid.NewString())
	return err
}

// PowerOff has Lima kill the machine's process, and waits for its end: it has the disk open.
func (h *limaHost) PowerOff(ctx context.Context) error {
	i, err := instanceOf(ctx, h.Instance)
	if err != nil {
		return err
	}
	i.disconnect(ctx)
	if _, err := limactl(ctx, "stop", "--force", h.Instance); err != nil {
		return fmt.Errorf("powering off host %s: %w", h.Name(), err)
	}
	h.On = false
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = await(short, "the power to be off", func() error {
		for _, pid := range []int{i.DriverPID, i.HostAgentPID} {
			if pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return fmt.Errorf("process %d of host %s is still there", pid, h.Name())
			}
		}
		return nil
	})
	return errors.Join(err, h.record())
}

func (h *limaHost) Boot(ctx context.Context) error {
	if h.On {
		return fmt.Errorf("booting host %s: it is running", h.Name())
	}
	if err := h.start(ctx); err != nil {
		return fmt.Errorf("booting host %s: %w", h.Name(), err)
	}
	return errors.Join(h.back(ctx), h.record())
}

func (h *limaHost) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if err := h.reboot(ctx); err != nil {
		return err
	}
	if err := h.up(ctx); err != nil {
		return fmt.Errorf("rebooting host %s: %w", h.Name(), err)
	}
	return h.back(ctx)
}

// back proves that the host is the one that it was before it was off.
func (h *limaHost) back(ctx context.Context) error {
	now, err := h.readAddress(ctx)
	if err != nil {
		return err
	}
	if now != h.Address4 {
		return fmt.Errorf("host %s had address %s, and Lima's network user-v2 has given it %s", h.Name(), h.Address4, now)
	}
	return h.answers(ctx)
}

// record writes what a later process needs to take over the host.
func (h *limaHost) record() error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.Dir, h.Name()+".json"), text, 0o644)
}
