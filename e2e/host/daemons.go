//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	dockerPid = "/var/run/docker.pid"
	ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"
	ovsDB     = "/etc/openvswitch/conf.db"
	ovsRun    = "/run/openvswitch"
)

func (h *localHost) StartDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := h.Start(ctx, dockerLog, "dockerd"); err != nil {
		return err
	}
	err := await(ctx, "Docker on "+h.Name(), func() error {
		_, err := h.Docker(ctx, "version")
		return err
	})
	if err != nil {
		text, _ := h.readFile(dockerLog)
		err = fmt.Errorf("%w; the end of %s: %s", err, dockerLog, tail(text, 5))
	}
	return err
}

func (h *localHost) StopDocker(ctx context.Context) error { return h.endDocker(ctx, "-TERM") }
func (h *localHost) KillDocker(ctx context.Context) error { return h.endDocker(ctx, "-KILL") }

func (h *localHost) RestartDocker(ctx context.Context) error {
	return errors.Join(h.StopDocker(ctx), h.StartDocker(ctx))
}

// endDocker signals the daemon and waits for its end. Containers are not waited for.
func (h *localHost) endDocker(ctx context.Context, signal string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return h.endByPidfile(ctx, dockerPid, signal)
}

// runs tells whether a daemon is alive by its pidfile.
func (h *localHost) runs(ctx context.Context, pidfile string) bool {
	pid, err := h.readFile(pidfile)
	if err != nil {
		return false
	}
	_, err = h.Run(ctx, "kill", "-0", strings.TrimSpace(pid))
	return err == nil
}

// endByPidfile ends a daemon of the host. The pid in the file is one of the host's namespace.
func (h *localHost) endByPidfile(ctx context.Context, pidfile, signal string) error {
	text, err := h.readFile(pidfile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid := strings.TrimSpace(text)
	if _, err := strconv.Atoi(pid); err != nil {
		return fmt.Errorf("reading %s on %s: %w", pidfile, h.Name(), err)
	}
	if _, err := h.Run(ctx, "kill", signal, pid); err != nil {
		if strings.Contains(err.Error(), "No such process") {
			return nil // the file is from a former life
		}
		return err
	}
	return await(ctx, "the end of process "+pid+" on "+h.Name(), func() error {
		if _, err := h.Run(ctx, "kill", "-0", pid); err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
}

// StartOVS does what the package's own service does on a fresh machine, ovs-ctl start --system-id=random, but for loading
// a kernel module: the host has no modules, and OVS finds by itself whether the kernel has its datapath.
func (h *localHost) StartOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	commands := [][]string{{"mkdir", "-p", ovsRun}}
	if _, err := os.Stat(filepath.Join(h.Dir, "fs", ovsDB)); errors.Is(err, os.ErrNotExist) {
		commands = append(commands, []string{"ovsdb-tool", "create", ovsDB, ovsSchema})
	}
	daemon := func(name string, argv ...string) {
		if h.runs(ctx, ovsRun+"/"+name+".pid") {
			return
		}
		commands = append(commands, append(argv,
			"--no-chdir", "--detach", "-vconsole:off", "-vsyslog:off", "-vfile:info",
			"--log-file=/var/log/openvswitch/"+name+".log", "--pidfile="+ovsRun+"/"+name+".pid"))
	}
	daemon("ovsdb-server", "ovsdb-server", ovsDB, "--remote=punix:"+ovsRun+"/db.sock",
		"--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
	id, err := h.systemID()
	if err != nil {
		return err
	}
	commands = append(commands, []string{
		"ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", ".",
		"external_ids:system-id=" + id, "external_ids:hostname=" + h.Name(), "external_ids:rundir=" + ovsRun,
	})
	daemon("ovs-vswitchd", "ovs-vswitchd", "unix:"+ovsRun+"/db.sock")
	for _, argv := range commands {
		if _, err := h.Run(ctx, argv...); err != nil {
			return fmt.Errorf("starting OVS: %w", err)
		}
	}
	return nil
}

// systemID keeps the chassis name over a power-off, in the file that ovs-ctl uses.
func (h *localHost) systemID() (string, error) {
	file := filepath.Join(h.Dir, "fs", "etc/openvswitch/system-id.conf")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if text, err = os.ReadFile("/proc/sys/kernel/random/uuid"); err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
	}
	return strings.TrimSpace(string(text)), err
}

func (h *localHost) StopOVS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return errors.Join(
		h.endByPidfile(ctx, ovsRun+"/ovs-vswitchd.pid", "-TERM"),
		h.endByPidfile(ctx, ovsRun+"/ovsdb-server.pid", "-TERM"))
}

// setUp brings the host to the state that its options describe, for the first time.
func (h *localHost) setUp(ctx context.Context) error {
	if h.Options.Bridge {
		if _, err := h.Run(ctx, "ovs-vsctl", "add-br", "br-int"); err != nil {
			return err
		}
	}
	if h.Options.Plugin && h.Options.OVS {
		if _, err := h.Docker(ctx, "plugin", "enable", PluginName); err != nil {
			return err
		}
	}
	return nil
}
