package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// bootLimit is for a whole boot in emulation on a machine that is busy; half a minute is usual.
	bootLimit = 4 * time.Minute
	// serviceLimit is for starting or stopping a daemon.
	serviceLimit = 2 * time.Minute
)

// Units that a Docker daemon and an Open vSwitch consist of in the image. Without its socket Docker stays away when it is
// stopped; otherwise the next command of the client would start it.
var (
	dockerUnits = []string{"docker.socket", "docker.service", "containerd.service"}
	ovsUnits    = []string{"openvswitch-switch.service", "ovs-vswitchd.service", "ovsdb-server.service"}
)

// guest is what virtual machines are alike in, whoever runs them: a Debian with systemd, reached over ssh.
type guest struct {
	Options Options
	way     way // not recorded: whoever reads a record sets it
}

// way is how commands get into a guest.
type way interface {
	// command is an ssh client that runs a command in the host, as root.
	command(ctx context.Context, argv []string) *exec.Cmd
	// connect returns when commands get in, over a new connection.
	connect(ctx context.Context) error
	// powered tells whether the host is switched on.
	powered() bool
}

func (g *guest) Name() string { return g.Options.Name }

func randomID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, see crypto/rand
	return hex.EncodeToString(id)
}

// setUp brings the host to the state that its options describe. The image starts everything, so some of it is stopped.
func (g *guest) setUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	var unwanted []string
	if !g.Options.Docker {
		unwanted = append(unwanted, dockerUnits...)
	}
	if !g.Options.OVS {
		unwanted = append(unwanted, ovsUnits...)
	}
	if len(unwanted) > 0 {
		if _, err := g.Run(ctx, append([]string{"systemctl", "disable", "--quiet", "--now"}, unwanted...)...); err != nil {
			return err
		}
	}
	if g.Options.Bridge {
		if _, err := g.Run(ctx, "ovs-vsctl", "add-br", "br-int"); err != nil {
			return err
		}
	}
	if g.Options.Plugin && g.Options.OVS {
		if _, err := g.Docker(ctx, "plugin", "enable", PluginName); err != nil {
			return err
		}
	}
	return nil
}

// started waits until the host has started what it starts at boot, and says so when some of it failed. A unit's failure counts
// when matters says so.
func (g *guest) started(ctx context.Context, matters func(unit string) bool) error {
	return await(ctx, "the boot of host "+g.Name(), func() error {
		out, err := g.Run(ctx, "systemctl", "is-system-running", "--wait")
		switch strings.TrimSpace(out) {
		case "running":
			return nil
		case "degraded":
			failed, err := g.Run(ctx, "systemctl", "list-units", "--plain", "--no-legend", "--state=failed")
			if err != nil {
				return err
			}
			units := slices.DeleteFunc(strings.Split(strings.TrimSpace(failed), "\n"), func(line string) bool {
				unit, _, _ := strings.Cut(line, " ")
				return !matters(unit)
			})
			if len(units) == 0 {
				return nil
			}
			return &endedError{fmt.Errorf("units failed: %s", strings.Join(units, "; "))}
		}
		return fmt.Errorf("it is %q: %w", strings.TrimSpace(out), err)
	})
}

func anyUnit(string) bool { return true }

// reboot asks the host's systemd for it, which stops everything in order, and returns when another kernel answers.
func (g *guest) reboot(ctx context.Context) error {
	const file = "/proc/sys/kernel/random/boot_id"
	before, err := g.Run(ctx, "cat", file)
	if err != nil {
		return err
	}
	if _, err := g.Run(ctx, "systemctl", "reboot"); err != nil {
		return fmt.Errorf("rebooting host %s: %w", g.Name(), err)
	}
	return await(ctx, "the reboot of host "+g.Name(), func() error {
		if err := g.way.connect(ctx); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		now, err := g.Run(short, "cat", file)
		if err == nil && now == before {
			time.Sleep(200 * time.Millisecond) // still on its way down
			err = errors.New("it has not gone down yet")
		}
		return err
	})
}

// answers proves that what the options say is running answers.
func (g *guest) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if g.Options.OVS {
		if _, err := g.Run(ctx, "ovs-vsctl", "--timeout=20", "show"); err != nil {
			return err
		}
	}
	if g.Options.Docker {
		return g.dockerAnswers(ctx)
	}
	return nil
}

func (g *guest) dockerAnswers(ctx context.Context) error {
	err := await(ctx, "Docker on "+g.Name(), func() error {
		_, err := g.Docker(ctx, "version")
		return err
	})
	if err != nil {
		log, _ := g.Run(ctx, "tail", "-n", "5", dockerLog)
		err = fmt.Errorf("%w; the end of %s: %s", err, dockerLog, strings.TrimSpace(log))
	}
	return err
}

// service runs systemctl for units.
func (g *guest) service(ctx context.Context, units []string, verb ...string) error {
	_, err := g.Run(ctx, append(append([]string{"systemctl"}, verb...), units...)...)
	return err
}

func (g *guest) StartDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	// systemd refuses to start a unit often in a short time, which specs do
	if err := g.service(ctx, dockerUnits, "reset-failed"); err != nil {
		return err
	}
	if err := g.service(ctx, dockerUnits, "start"); err != nil {
		return err
	}
	return g.dockerAnswers(ctx)
}

func (g *guest) StopDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	return g.service(ctx, dockerUnits[:2], "stop")
}

// KillDocker kills the daemon alone, and keeps systemd from starting it again at once.
func (g *guest) KillDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if err := g.service(ctx, dockerUnits[1:2], "kill", "--signal=KILL", "--kill-who=main"); err != nil {
		return err
	}
	return g.service(ctx, dockerUnits[:2], "stop")
}

func (g *guest) RestartDocker(ctx context.Context) error {
	return errors.Join(g.StopDocker(ctx), g.StartDocker(ctx))
}

func (g *guest) StartOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if err := g.service(ctx, ovsUnits, "reset-failed"); err != nil {
		return err
	}
	return g.service(ctx, ovsUnits, "start")
}

func (g *guest) StopOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	return g.service(ctx, ovsUnits, "stop")
}

// warmUp runs OVN central once, so that what it takes to run containers is in the memory that may be saved, and, in an
// emulated host, that its programs are translated. Otherwise the first network could take longer than Docker waits for a plugin.
func (g *guest) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	const name = "warm-up"
	if _, err := g.Docker(ctx, "run", "-d", "--name", name, ImageCentral); err != nil {
		return err
	}
	err := await(ctx, "OVN central on "+g.Name(), func() error {
		_, err := g.Docker(ctx, "exec", name, "ovn-nbctl", "show")
		return err
	})
	_, rerr := g.Docker(ctx, "rm", "-f", "-v", name)
	return errors.Join(err, rerr)
}
