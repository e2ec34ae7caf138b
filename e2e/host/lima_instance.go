package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// instance is what Lima calls a virtual machine of its own, as `limactl list --format json` describes it.
type instance struct {
	Name          string `json:"name"`
	Hostname      string `json:"hostname"` // its name in the configuration of ssh
	Status        string `json:"status"`
	Dir           string `json:"dir"`
	SSHConfigFile string `json:"sshConfigFile"`
	HostAgentPID  int    `json:"hostAgentPID"`
	DriverPID     int    `json:"driverPID"`
}

// instanceRunning is the status of one that is switched on.
const instanceRunning = "Running"

// limactl runs a command of Lima, which tells what it does on its standard error.
func limactl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "limactl", append([]string{"--tty=false"}, args...)...)
	// Minutes that Lima's network waits for a host to ask for an address. An emulated one may need more than its two.
	cmd.Env = append([]string{"LIMA_USERNET_RESOLVE_IP_ADDRESS_TIMEOUT=10"}, os.Environ()...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 2 * time.Second // what it leaves running may hold its output
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("running %q: %w: %s", cmd.Args, err, tail(stderr.String(), 5))
	}
	return stdout.String(), nil
}

// instances lists those whose names begin with prefix.
func instances(ctx context.Context, prefix string) ([]instance, error) {
	out, err := limactl(ctx, "list", "--format", "json")
	if err != nil {
		return nil, err
	}
	return parseInstances(out, prefix)
}

// parseInstances reads one object after another; there is no list around them.
func parseInstances(text, prefix string) ([]instance, error) {
	var found []instance
	decoder := json.NewDecoder(strings.NewReader(text))
	for {
		var i instance
		err := decoder.Decode(&i)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading Lima's list of instances: %w", err)
		}
		if strings.HasPrefix(i.Name, prefix) {
			found = append(found, i)
		}
	}
}

// instanceOf is the one with a name.
func instanceOf(ctx context.Context, name string) (instance, error) {
	list, err := instances(ctx, name)
	for _, i := range list {
		if i.Name == name {
			return i, err
		}
	}
	return instance{}, errors.Join(fmt.Errorf("there is no instance %q in Lima", name), err)
}

// deleteInstances takes instances away, running or not.
func deleteInstances(ctx context.Context, list []instance) error {
	var failed []error
	for _, i := range list {
		i.disconnect(ctx)
		_, err := limactl(ctx, "delete", "--force", i.Name)
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// disconnect ends the connection that commands share, if there is one. Lima's network keeps it open when the machine at its
// other end has been killed, and removes the socket by which it could be ended.
func (i instance) disconnect(ctx context.Context) {
	_ = exec.CommandContext(ctx, "ssh", "-F", i.SSHConfigFile, "-O", "exit", i.Hostname).Run()
}

// instancePrefix begins the names of all instances of this checkout: Lima has one list of them for the user.
func instancePrefix() string { return "ocn-" + hash(stateDir())[:6] }

// instanceName is a host's.
func instanceName(cluster, host string) string { return clusterPrefix(cluster) + host }

func clusterPrefix(cluster string) string { return instancePrefix() + "-" + cluster + "-" }
