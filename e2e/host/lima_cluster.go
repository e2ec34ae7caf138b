package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
)

// limaCluster are hosts that are instances of Lima.
type limaCluster struct {
	name  string
	dir   string
	lock  *flock.Flock
	hosts []*limaHost
}

var _ Cluster = (*limaCluster)(nil)

// limaMissing lists what the provider "lima" lacks for a cluster.
func limaMissing(spec Spec) string {
	if os.Geteuid() == 0 {
		return "Lima refuses to run as root: run the tests without sudo"
	}
	var missing []string
	if _, err := exec.LookPath("limactl"); err != nil {
		missing = append(missing, "limactl is not installed: install Lima: https://lima-vm.io/docs/installation/")
	}
	for _, tool := range []string{"ssh", "tar", "docker"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" is not installed")
		}
	}
	for _, suite := range suites() {
		if _, err := baseKey(suite); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return strings.Join(append(missing, contentsMissing(spec)...), "; ")
}

func limaUp(ctx context.Context, spec Spec) (Cluster, error) {
	// with a hyphen in its name, which a local cluster's folder cannot have
	c := &limaCluster{name: spec.Name, dir: filepath.Join(stateDir(), "lima-"+spec.Name)}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(ctx, c.dir+".lock", false)
	if err != nil {
		return nil, err
	}
	c.lock = lock
	if keep() {
		if err := c.takeOver(ctx, spec); err == nil {
			return c, nil
		}
	}
	if err := c.sweep(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("removing what a former run left: %w", err), c.lock.Unlock())
	}
	if err := c.make(ctx, spec); err != nil {
		// the context may be what ended it
		return nil, errors.Join(fmt.Errorf("making cluster %q: %w", spec.Name, err), c.sweep(context.WithoutCancel(ctx)), c.lock.Unlock())
	}
	return c, nil
}

func (c *limaCluster) make(ctx context.Context, spec Spec) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	if err := c.clone(ctx, spec); err != nil {
		return err
	}
	work, wctx := errgroup.WithContext(ctx)
	for i, h := range c.hosts {
		begin := func() error { return errors.Join(h.begin(wctx), h.record()) }
		if i > 0 {
			work.Go(begin)
			continue
		}
		// The first alone: Lima starts the network of its instances with it, and would start it twice.
		if err := begin(); err != nil {
			return errors.Join(err, work.Wait())
		}
	}
	return work.Wait()
}

// clone makes the hosts' instances. Where the file system can do it, they share what is on their disks until they change it.
func (c *limaCluster) clone(ctx context.Context, spec Spec) error {
	lock, err := lockFile(ctx, filepath.Join(cacheDir(), "lima.lock"), false)
	if err != nil {
		return err
	}
	defer lock.Unlock() //nolint:errcheck // ends with the process anyway
	for _, o := range spec.Hosts {
		if !clusterName.MatchString(o.Name) {
			return fmt.Errorf("naming host %q: use lower-case letters and digits", o.Name)
		}
		from, err := baseInstance(ctx, o.Suite)
		if err != nil {
			return err
		}
		made, err := madeOf(ctx, o)
		if err != nil {
			return err
		}
		h := newLimaHost(o, limaHost{Instance: instanceName(c.name, o.Name), Dir: c.dir, Made: made})
		if _, err := limactl(ctx, "clone", from, h.Instance); err != nil {
			return err
		}
		c.hosts = append(c.hosts, h)
	}
	return nil
}

// madeOf is what a host is made of, so that a kept one is known to be outdated.
func madeOf(ctx context.Context, o Options) (string, error) {
	key, err := baseKey(o.Suite)
	if err != nil {
		return "", err
	}
	if o.Images {
		ids, err := imageIDs(ctx, o.Suite)
		if err != nil {
			return "", err
		}
		key += strings.Join(ids, " ")
	}
	if o.Plugin {
		// it names the hash of all files
		text, err := os.ReadFile(filepath.Join(pluginDir(o.Suite), "config.json"))
		if err != nil {
			return "", err
		}
		key += string(text)
	}
	return hash(key), nil
}

// takeOver goes on with a cluster that a run with E2E_KEEP=1 left behind, if it is alive and what would be made now.
func (c *limaCluster) takeOver(ctx context.Context, spec Spec) error {
	var hosts []*limaHost
	for _, o := range spec.Hosts {
		var h limaHost
		text, err := os.ReadFile(filepath.Join(c.dir, o.Name+".json"))
		if err == nil {
			err = json.Unmarshal(text, &h)
		}
		if err != nil {
			return err
		}
		h.way = &h
		i, err := instanceOf(ctx, h.Instance)
		if err != nil {
			return err
		}
		made, err := madeOf(ctx, o)
		if err != nil {
			return err
		}
		if !h.On || i.Status != instanceRunning || h.Options != o || h.Made != made {
			return errors.New("host " + o.Name + " does not run, or is of another make")
		}
		if _, err := h.Run(ctx, "true"); err != nil {
			return err
		}
		hosts = append(hosts, &h)
	}
	c.hosts = hosts
	return nil
}

func (c *limaCluster) Hosts() []Host {
	list := make([]Host, len(c.hosts))
	for i, h := range c.hosts {
		list[i] = h
	}
	return list
}

func (c *limaCluster) Down(ctx context.Context) error {
	if keep() {
		return c.lock.Unlock()
	}
	return errors.Join(c.sweep(ctx), c.lock.Unlock())
}

// sweep ends and removes all hosts of the cluster, whichever process made them.
func (c *limaCluster) sweep(ctx context.Context) error {
	list, err := instances(ctx, clusterPrefix(c.name))
	if err != nil {
		return err
	}
	if err := deleteInstances(ctx, list); err != nil {
		return err
	}
	return os.RemoveAll(c.dir)
}

func (c *limaCluster) Leftovers() []string {
	if keep() {
		return nil
	}
	var left []string
	list, err := instances(context.Background(), clusterPrefix(c.name))
	if err != nil {
		left = append(left, err.Error())
	}
	for _, i := range list {
		left = append(left, "instance "+i.Name+" of Lima")
	}
	if _, err := os.Lstat(c.dir); err == nil {
		left = append(left, "folder "+c.dir)
	}
	return left
}
