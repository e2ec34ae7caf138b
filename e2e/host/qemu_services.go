package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Units that a Docker daemon and an Open vSwitch consist of in the image. Without its socket Docker stays away when it is
// stopped; otherwise the next command of the client would start it.
var (
	dockerUnits = []string{"docker.socket", "docker.service", "containerd.service"}
	ovsUnits    = []string{"openvswitch-switch.service", "ovs-vswitchd.service", "ovsdb-server.service"}
)

// PowerOff kills QEMU, which is all that the host's hardware consists of.
func (h *qemuHost) PowerOff(context.Context) error {
	if err := h.cut(); err != nil {
		return err
	}
	return h.record()
}

func (h *qemuHost) Boot(ctx context.Context) error {
	if h.Machine.alive() {
		return fmt.Errorf("booting host %s: it is running", h.Name())
	}
	if err := h.powerOn(nil, nil); err != nil {
		return err
	}
	if err := h.up(ctx); err != nil {
		return fmt.Errorf("booting host %s: %w", h.Name(), err)
	}
	return h.answers(ctx)
}

// Reboot asks the host's systemd for it, which stops everything in order.
func (h *qemuHost) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	const file = "/proc/sys/kernel/random/boot_id"
	before, err := h.Run(ctx, "cat", file)
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "systemctl", "reboot"); err != nil {
		return fmt.Errorf("rebooting host %s: %w", h.Name(), err)
	}
	err = await(ctx, "the reboot of host "+h.Name(), func() error {
		if err := h.connect(ctx); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		now, err := h.Run(short, "cat", file)
		if err == nil && now == before {
			time.Sleep(200 * time.Millisecond) // still on its way down
			err = errors.New("it has not gone down yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := h.started(ctx); err != nil {
		return fmt.Errorf("rebooting host %s: %w", h.Name(), err)
	}
	return errors.Join(h.answers(ctx), h.record())
}

// answers proves that what the options say is running answers.
func (h *qemuHost) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if h.Options.OVS {
		if _, err := h.Run(ctx, "ovs-vsctl", "--timeout=20", "show"); err != nil {
			return err
		}
	}
	if h.Options.Docker {
		return h.dockerAnswers(ctx)
	}
	return nil
}

func (h *qemuHost) dockerAnswers(ctx context.Context) error {
	err := await(ctx, "Docker on "+h.Name(), func() error {
		_, err := h.Docker(ctx, "version")
		return err
	})
	if err != nil {
		log, _ := h.Run(ctx, "tail", "-n", "5", dockerLog)
		err = fmt.Errorf("%w; the end of %s: %s", err, dockerLog, strings.TrimSpace(log))
	}
	return err
}

// service runs systemctl for units.
func (h *qemuHost) service(ctx context.Context, units []string, verb ...string) error {
	_, err := h.Run(ctx, append(append([]string{"systemctl"}, verb...), units...)...)
	return err
}

func (h *qemuHost) StartDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	// systemd refuses to start a unit often in a short time, which specs do
	if err := h.service(ctx, dockerUnits, "reset-failed"); err != nil {
		return err
	}
	if err := h.service(ctx, dockerUnits, "start"); err != nil {
		return err
	}
	return h.dockerAnswers(ctx)
}

func (h *qemuHost) StopDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	return h.service(ctx, dockerUnits[:2], "stop")
}

// KillDocker kills the daemon alone, and keeps systemd from starting it again at once.
func (h *qemuHost) KillDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if err := h.service(ctx, dockerUnits[1:2], "kill", "--signal=KILL", "--kill-who=main"); err != nil {
		return err
	}
	return h.service(ctx, dockerUnits[:2], "stop")
}

func (h *qemuHost) RestartDocker(ctx context.Context) error {
	return errors.Join(h.StopDocker(ctx), h.StartDocker(ctx))
}

func (h *qemuHost) StartOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	if err := h.service(ctx, ovsUnits, "reset-failed"); err != nil {
		return err
	}
	return h.service(ctx, ovsUnits, "start")
}

func (h *qemuHost) StopOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	return h.service(ctx, ovsUnits, "stop")
}
