//go:build linux

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	underlayAddress = "10.99.0.254"
	underlayBridge  = "underlay"
	wireBridge      = "wire"
)

// localCluster are hosts made of namespaces, and one more of these as the underlay.
type localCluster struct {
	name  string
	dir   string
	lock  *flock.Flock
	under *localHost
	hosts []*localHost
}

var _ Cluster = (*localCluster)(nil)

func localUp(ctx context.Context, spec Spec) (Cluster, error) {
	c := &localCluster{name: spec.Name, dir: filepath.Join(stateDir(), spec.Name)}
	if err := os.MkdirAll(stateDir(), 0o755); err != nil {
		return nil, err
	}
	// held for as long as this process uses the cluster: a second run waits, and never sweeps hosts that are in use
	c.lock = flock.New(c.dir + ".lock")
	if err := c.lock.Lock(); err != nil {
		return nil, fmt.Errorf("locking cluster %q: %w", spec.Name, err)
	}
	if keep() {
		if err := c.takeOver(ctx, spec); err == nil {
			return c, nil
		}
	}
	if err := c.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("removing what a former run left: %w", err), c.lock.Unlock())
	}
	if err := c.boot(ctx, spec); err != nil {
		return nil, errors.Join(fmt.Errorf("making cluster %q: %w", spec.Name, err), c.sweep(), c.lock.Unlock())
	}
	return c, nil
}

func (c *localCluster) newHost(o Options, number int) (*localHost, error) {
	h := &localHost{Options: o, Number: number, Dir: filepath.Join(c.dir, o.Name), Cluster: c.name}
	if !clusterName.MatchString(o.Name) {
		return nil, fmt.Errorf("naming host %q: use lower-case letters and digits", o.Name)
	}
	return h, os.MkdirAll(h.Dir, 0o755)
}

func (c *localCluster) boot(ctx context.Context, spec Spec) error {
	var err error
	if c.under, err = c.newHost(Options{Name: "underlay", Suite: spec.Hosts[0].Suite}, 254); err != nil {
		return err
	}
	if err := c.under.prepare(ctx); err != nil {
		return err
	}
	if err := c.under.powerOn(ctx); err != nil {
		return err
	}
	batch := "link add " + underlayBridge + " type bridge\naddress add " + underlayAddress + "/24 dev " + underlayBridge +
		"\nlink set " + underlayBridge + " up\nlink add " + wireBridge + " type bridge\nlink set " + wireBridge + " up"
	if _, err := c.under.RunInput(ctx, strings.NewReader(batch), "ip", "-batch", "-"); err != nil {
		return err
	}
	work, wctx := errgroup.WithContext(ctx)
	for i, o := range spec.Hosts {
		h, err := c.newHost(o, i+1)
		if err != nil {
			return err
		}
		h.underlay = c.under.Holder
		c.hosts = append(c.hosts, h)
		work.Go(func() error {
			if err := h.prepare(wctx); err != nil {
				return err
			}
			if err := golden(wctx, h); err != nil {
				return err
			}
			if err := h.Boot(wctx); err != nil {
				return err
			}
			return h.setUp(wctx)
		})
	}
	return work.Wait()
}

// takeOver goes on with a cluster that a run with E2E_KEEP=1 left behind, if it is alive and of the same make. A plugin that
// was built anew since is brought in.
func (c *localCluster) takeOver(ctx context.Context, spec Spec) error {
	load := func(name string) (*localHost, error) {
		var h localHost
		text, err := os.ReadFile(filepath.Join(c.dir, name, "host.json"))
		if err == nil {
			err = json.Unmarshal(text, &h)
		}
		if err == nil && (h.Holder == nil || !h.Holder.alive()) {
			err = errors.New("host " + name + " does not run")
		}
		return &h, err
	}
	under, err := load("underlay")
	if err != nil {
		return err
	}
	var hosts []*localHost
	for _, o := range spec.Hosts {
		h, err := load(o.Name)
		if err != nil {
			return err
		}
		if h.Options != o {
			return errors.New("host " + o.Name + " is of another make")
		}
		h.underlay = under.Holder
		if err := renewPlugin(ctx, h); err != nil {
			return err
		}
		hosts = append(hosts, h)
	}
	c.under, c.hosts = under, hosts
	return nil
}

func (c *localCluster) Hosts() []Host {
	list := make([]Host, len(c.hosts))
	for i, h := range c.hosts {
		list[i] = h
	}
	return list
}

func (c *localCluster) Down(context.Context) error {
	if keep() {
		return c.lock.Unlock()
	}
	return errors.Join(c.sweep(), c.lock.Unlock())
}

// sweep ends and removes all hosts of the cluster that have a folder, whichever process made them.
func (c *localCluster) sweep() error {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range entries {
		var h localHost
		text, err := os.ReadFile(filepath.Join(c.dir, e.Name(), "host.json"))
		if err == nil {
			err = json.Unmarshal(text, &h)
		}
		if err == nil && h.Holder != nil {
			failed = append(failed, h.Holder.kill())
		}
	}
	// killed between its start and its record: the cgroups alone tell of it
	failed = append(failed, killByCgroup(c.name))
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return removeAll(c.dir)
}

// removeAll removes a folder, but never through a mount point that should not be there.
func removeAll(dir string) error {
	if mounted := mountsBelow(dir); len(mounted) > 0 {
		return fmt.Errorf("removing %s: %v is still mounted", dir, mounted)
	}
	return os.RemoveAll(dir)
}

func mountsBelow(dir string) []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []string
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			found = append(found, f[4])
		}
	}
	return found
}

func (c *localCluster) Leftovers() []string {
	if keep() {
		return nil
	}
	left := mountsBelow(c.dir)
	if _, err := os.Lstat(c.dir); err == nil {
		left = append(left, "folder "+c.dir)
	}
	for _, h := range append([]*localHost{c.under}, c.hosts...) {
		if h != nil && h.Holder != nil && h.Holder.alive() {
			left = append(left, fmt.Sprintf("process %d, holder of %s", h.Holder.Pid, h.Name()))
		}
	}
	dirs, processes := cgroupsOf(c.name)
	for _, dir := range dirs {
		left = append(left, "cgroup "+dir)
	}
	for _, pid := range processes {
		left = append(left, fmt.Sprintf("process %d", pid))
	}
	return left
}

// killByCgroup ends the processes in cgroups of the cluster and removes these.
func killByCgroup(cluster string) error {
	_, processes := cgroupsOf(cluster)
	for _, pid := range processes {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending process %d of cluster %q: %w", pid, cluster, err)
		}
	}
	dirs, _ := cgroupsOf(cluster)
	names := map[string]bool{}
	for _, dir := range dirs {
		names[filepath.Base(dir)] = true
	}
	all, err := findHierarchies()
	for name := range names {
		set := cgroups{Name: name, Hierarchies: all}
		err = errors.Join(err, set.remove())
	}
	return err
}
