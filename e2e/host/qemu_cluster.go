//go:build linux

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
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
)

// qemuCluster are hosts that are virtual machines.
type qemuCluster struct {
	name  string
	dir   string
	locks []*flock.Flock // of the cluster, and of the layers that its disks are made on
	hosts []*qemuHost
}

var _ Cluster = (*qemuCluster)(nil)

// vmImage is the folder that hack/vm-image.sh made.
func vmImage(suite string) (string, error) { return made("vm", "vm-image.sh", suite) }

// qemuMissing lists what the provider "qemu" lacks for a cluster.
func qemuMissing(spec Spec) string {
	if runtime.GOARCH != "amd64" {
		return "virtual test hosts are made for amd64 only"
	}
	var missing []string
	for _, tool := range []string{qemuProgram, "qemu-img", "ssh", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" is not installed: run hack/deps.sh vm")
		}
	}
	for _, suite := range suites() {
		if _, err := vmImage(suite); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return strings.Join(append(missing, contentsMissing(spec)...), "; ")
}

func qemuUp(ctx context.Context, spec Spec) (Cluster, error) {
	c := newQemuCluster(spec.Name)
	if err := os.MkdirAll(stateDir(), 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(ctx, c.dir+".lock", false)
	if err != nil {
		return nil, err
	}
	c.locks = []*flock.Flock{lock}
	if keep() {
		if err := c.takeOver(ctx, spec); err == nil {
			return c, nil
		}
		if err := c.unlock(1); err != nil {
			return nil, err
		}
	}
	if err := c.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("removing what a former run left: %w", err), c.unlock(0))
	}
	if err := c.boot(ctx, spec); err != nil {
		return nil, errors.Join(fmt.Errorf("making cluster %q: %w", spec.Name, err), c.sweep(), c.unlock(0))
	}
	return c, nil
}

// newQemuCluster has a folder with a hyphen in its name, which a local cluster's cannot have.
func newQemuCluster(name string) *qemuCluster {
	return &qemuCluster{name: name, dir: filepath.Join(stateDir(), "qemu-"+name)}
}

// unlock lets go of all locks but the first few.
func (c *qemuCluster) unlock(but int) error {
	var failed []error
	for len(c.locks) > but {
		last := len(c.locks) - 1
		failed = append(failed, c.locks[last].Unlock())
		c.locks = c.locks[:last]
	}
	return errors.Join(failed...)
}

// use keeps another run from taking layers for outdated while disks are made on them.
func (c *qemuCluster) use(ctx context.Context, layers []string) error {
	for _, dir := range layers {
		lock, err := lockFile(ctx, dir+".lock", true)
		if err != nil {
			return err
		}
		c.locks = append(c.locks, lock)
		if _, err := os.Stat(filepath.Join(dir, "disk.qcow2")); err != nil {
			return err // removed before it was locked
		}
	}
	return nil
}

func (c *qemuCluster) boot(ctx context.Context, spec Spec) error {
	accel, err := accelerator(ctx)
	if err != nil {
		return err
	}
	var used []string
	for i, o := range spec.Hosts {
		if !clusterName.MatchString(o.Name) {
			return fmt.Errorf("naming host %q: use lower-case letters and digits", o.Name)
		}
		image, err := vmImage(o.Suite)
		if err != nil {
			return err
		}
		layers, err := layersFor(ctx, image, accel, contentsOf(spec, o))
		if err != nil {
			return err
		}
		used = append(used, layers...)
		c.hosts = append(c.hosts, newQemuHost(o, qemuHost{
			Number: i + 1, Dir: filepath.Join(c.dir, o.Name), Cluster: c.name,
			Image: image, Accel: accel, Layer: layers[len(layers)-1],
		}))
	}
	// after all are made, which takes the same locks for itself alone
	if err := c.use(ctx, used); err != nil {
		return err
	}
	work, wctx := errgroup.WithContext(ctx)
	for _, h := range c.hosts {
		work.Go(func() error { return errors.Join(h.begin(wctx), h.record()) })
	}
	return work.Wait()
}

// takeOver goes on with a cluster that a run with E2E_KEEP=1 left behind, if it is alive and what would be made now.
func (c *qemuCluster) takeOver(ctx context.Context, spec Spec) error {
	accel, err := accelerator(ctx)
	if err != nil {
		return err
	}
	var hosts []*qemuHost
	for _, o := range spec.Hosts {
		image, err := vmImage(o.Suite)
		if err != nil {
			return err
		}
		layers, err := layerNames(ctx, image, accel, contentsOf(spec, o))
		if err != nil {
			return err
		}
		if err := c.use(ctx, layers); err != nil {
			return err
		}
		var h qemuHost
		text, err := os.ReadFile(filepath.Join(c.dir, o.Name, "host.json"))
		if err == nil {
			err = json.Unmarshal(text, &h)
		}
		if err != nil {
			return err
		}
		h.way = &h
		if !h.Machine.alive() || h.Options != o || h.Layer != layers[len(layers)-1] {
			return errors.New("host " + o.Name + " does not run, or is of another make")
		}
		short, cancel := context.WithTimeout(ctx, restoreLimit)
		defer cancel()
		if err := h.connect(short); err != nil {
			return err
		}
		hosts = append(hosts, &h)
	}
	c.hosts = hosts
	return nil
}

func (c *qemuCluster) Hosts() []Host {
	list := make([]Host, len(c.hosts))
	for i, h := range c.hosts {
		list[i] = h
	}
	return list
}

func (c *qemuCluster) Down(context.Context) error {
	if keep() {
		return c.unlock(0)
	}
	return errors.Join(c.sweep(), c.unlock(0))
}

// sweep ends and removes all hosts of the cluster, whichever process made them.
func (c *qemuCluster) sweep() error {
	for _, p := range marked(markOf(c.name)) {
		if err := p.kill(); err != nil {
			return err
		}
	}
	return removeAll(c.dir)
}

func (c *qemuCluster) Leftovers() []string {
	if keep() {
		return nil
	}
	left := mountsBelow(c.dir)
	if _, err := os.Lstat(c.dir); err == nil {
		left = append(left, "folder "+c.dir)
	}
	for _, p := range marked(markOf(c.name)) {
		left = append(left, fmt.Sprintf("process %d", p.Pid))
	}
	return left
}
