package host

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Host is one machine with a Docker Engine. Errors of the run methods are *CommandError where the command ran and failed.
type Host interface {
	// Name is the host's name, unique in its cluster.
	Name() string
	// Address is the host's IPv4 address on the underlay, without a prefix length.
	Address() string

	// Run runs a command in the host and returns its standard output. There is no shell.
	Run(ctx context.Context, argv ...string) (string, error)
	// RunInput is Run with standard input.
	RunInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error)
	// Docker runs the docker client in the host.
	Docker(ctx context.Context, args ...string) (string, error)
	// Start runs a command that goes on after the call; its output goes to the file logPath in the host. It ends with
	// stop (SIGTERM, then SIGKILL), or with the host.
	Start(ctx context.Context, logPath string, argv ...string) (stop func(), err error)
	// CopyIn copies a file or folder of the machine that runs the tests to the path in the host.
	CopyIn(ctx context.Context, local, remote string) error
	// WriteFile makes a file in the host, with the folders above it.
	WriteFile(ctx context.Context, remote string, content []byte, mode os.FileMode) error

	// PowerOff cuts the power: no process of the host gets a chance to do anything.
	PowerOff(ctx context.Context) error
	// Boot starts the host after PowerOff with the disks it had, and what its Options say is started.
	Boot(ctx context.Context) error

	// StartDocker starts the Docker daemon and returns when it answers.
	StartDocker(ctx context.Context) error
	// StopDocker ends the Docker daemon as an init system does.
	StopDocker(ctx context.Context) error
	// KillDocker kills the Docker daemon with SIGKILL; its containers run on.
	KillDocker(ctx context.Context) error
	// RestartDocker is StopDocker and StartDocker.
	RestartDocker(ctx context.Context) error

	// StartOVS starts the OVS database and switch daemons where they do not run. Bridges that the database holds come back.
	StartOVS(ctx context.Context) error
	// StopOVS ends both.
	StopOVS(ctx context.Context) error
}

// Rebooter is a host that can restart in order, as an administrator's `reboot` does, with systemd stopping and starting all
// that runs on it. Only hosts with a kernel of their own can.
type Rebooter interface {
	// Reboot returns when the host has started again.
	Reboot(ctx context.Context) error
}

// Cluster is a set of hosts on one underlay.
type Cluster interface {
	// Hosts are in the order of the Spec.
	Hosts() []Host
	// Down takes the cluster away, and everything that it left on the machine. With E2E_KEEP=1 it only lets go of it.
	Down(ctx context.Context) error
	// Leftovers names what is still there of the cluster after Down: processes, mounts, cgroups, files.
	Leftovers() []string
}

// Options say what is running on a host at first.
type Options struct {
	Name string
	// Suite is the Debian release that it runs. Up sets it by E2E_SUITE.
	Suite string
	// Docker starts the Docker daemon.
	Docker bool
	// OVS starts Open vSwitch with an empty database, as a fresh installation of openvswitch-switch does.
	OVS bool
	// Bridge makes br-int by hand with a plain `ovs-vsctl add-br`, as the quick start of the README says.
	Bridge bool
	// Images brings the project's images into the host's Docker.
	Images bool
	// Plugin brings the project's plugin into the host's Docker, and enables it once OVS runs.
	Plugin bool
	// Wire is a second link of the host, WireLink, without an address, to a wire that is no part of the underlay. Hosts with
	// a kernel of their own have none.
	Wire bool
	// Tunnels has Open vSwitch's userspace datapath own the link to the underlay, as it must to send tunnels there: the bridge
	// UnderlayBridge has the host's address then. A kernel's datapath sends them by itself, and there it means nothing.
	Tunnels bool
}

// UnderlayBridge is the bridge that Options.Tunnels is about.
const UnderlayBridge = "br-underlay"

// WireLink is the host's link that Options.Wire is about.
const WireLink = "wan0"

// Fresh is a host as a user has it after installing prerequisites and plugin: Docker and openvswitch-switch run, the
// plugin is enabled, the images are there; there is no bridge and no OVN.
func Fresh(name string) Options {
	return Options{Name: name, Docker: true, OVS: true, Images: true, Plugin: true}
}

// Spec describes a cluster. Name tells clusters of one machine apart and must be a word of lower-case letters and digits.
type Spec struct {
	Name  string
	Hosts []Options
}

// PluginName is the plugin's name in the hosts, tag included: Docker 20.10 to 29 do not find a driver without it.
const PluginName = "ovs-container-network:latest"

// Images are the images that Options.Images brings, by their names on the machine and in the hosts.
const (
	ImageCentral = "ovn-central:latest"
	ImageDemo    = "ovs-container-network-demo:latest"
)

// CommandError is a command that ran in a host and failed.
type CommandError struct {
	Host   string
	Argv   []string
	Stdout string
	Stderr string
	Err    error
}

func (e *CommandError) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = strings.TrimSpace(e.Stdout)
	}
	return fmt.Sprintf("running %q on %s: %v: %s", e.Argv, e.Host, e.Err, text)
}

// GomegaString keeps a failed expectation readable: the text says it all.
func (e *CommandError) GomegaString() string { return e.Error() }

func (e *CommandError) Unwrap() error { return e.Err }

// A provider makes hosts of one kind.
type provider struct {
	up      func(ctx context.Context, spec Spec) (Cluster, error)
	missing func(spec Spec) string
	// kernel tells that the hosts have one of their own.
	kernel bool
}

// chosen is the name of the provider that E2E_PROVIDER names.
func chosen() string { return cmp.Or(os.Getenv("E2E_PROVIDER"), "local") }

// Up makes the cluster, with the provider that E2E_PROVIDER names.
func Up(ctx context.Context, spec Spec) (Cluster, error) {
	p, known := providers()[chosen()]
	if !known {
		return nil, fmt.Errorf("choosing the provider of test hosts: E2E_PROVIDER=%q is not known on %s, use one of %q",
			chosen(), runtime.GOOS, slices.Sorted(maps.Keys(providers())))
	}
	if !clusterName.MatchString(spec.Name) {
		return nil, fmt.Errorf("naming cluster %q: use lower-case letters and digits", spec.Name)
	}
	return p.up(ctx, spec.withSuites())
}

var clusterName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// Missing tells why hosts cannot be made here, with the remedy, or is empty when they can.
func Missing(spec Spec) string {
	if p, known := providers()[chosen()]; known {
		return p.missing(spec)
	}
	return "" // Up says what is wrong
}

// NoKernel tells why hosts have no kernel of their own here, with the remedy, or is empty when they have: only such hosts are
// Rebooters, have a clock, and modules that they load.
func NoKernel() string {
	if providers()[chosen()].kernel {
		return ""
	}
	return "hosts of the provider \"" + chosen() + "\" share this machine's kernel: run make e2e-qemu or make e2e-lima"
}

// Emulated tells whether a host's processors are emulated: durations then say little, and a great number of anything takes
// long.
func Emulated(h Host) bool {
	e, is := h.(interface{ emulated() bool })
	return is && e.emulated()
}

func keep() bool { return os.Getenv("E2E_KEEP") == "1" }
