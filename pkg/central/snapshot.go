package central

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
)

// Snapshot is what Docker has of one driver.
type Snapshot struct {
	Networks map[string]DockerNetwork // by id, of all drivers
}

// DockerNetwork is one network.
type DockerNetwork struct {
	ID, Name string
	Compose  string // "project/network" of one that Compose made
	// Ours says that the network is of the driver that was asked for, and that
	// all below has been read.
	Ours     bool
	Options  map[string]string // --opt
	Internal bool
	Pools    []Pool
	// Gives says that the addresses are given by the plugin's own IPAM driver.
	Gives bool
	// Endpoints are all that Docker has on the network, by id.
	Endpoints map[string]DockerEndpoint
}

// Pool is one subnet of a network, in Docker's words.
type Pool struct {
	Subnet, Range string
	Gateway       string // "" when Docker has chosen it: it does not tell
	Aux           map[string]string
}

// DockerEndpoint is one endpoint.
type DockerEndpoint struct {
	ID        string
	Container string   // id; of an endpoint without a container, "ep-" and its own id
	Name      string   // of the container
	MAC       string   // "" when Docker does not know it
	Addresses []string // with prefix lengths
}

// Snapshot lists the networks of the daemon that runs this plugin, and reads
// those of the plugin. While dockerd starts it does not answer before its
// containers run: the caller must be nobody that they wait for.
func (c *Central) Snapshot(ctx context.Context) (Snapshot, error) {
	docker, err := client.NewClientWithOpts(c.opts...)
	if err != nil {
		return Snapshot{}, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	s, err := c.snapshot(ctx, docker)
	return s, errors.Join(err, docker.Close())
}

func (c *Central) snapshot(ctx context.Context, docker *client.Client) (Snapshot, error) {
	const doing = "reading Docker's networks"
	driver, err := c.driverName(ctx, docker)
	if err != nil {
		return Snapshot{}, err
	}
	list, err := docker.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return Snapshot{}, c.dockerError(doing, err)
	}
	s := Snapshot{Networks: make(map[string]DockerNetwork, len(list))}
	for _, n := range list {
		if n.Driver != driver {
			s.Networks[n.ID] = DockerNetwork{ID: n.ID, Name: n.Name}
			continue
		}
		whole, err := docker.NetworkInspect(ctx, n.ID, network.InspectOptions{})
		if errdefs.IsNotFound(err) {
			continue // removed since
		}
		if err != nil {
			return Snapshot{}, c.dockerError(doing, err)
		}
		s.Networks[n.ID] = ourNetwork(whole)
	}
	return s, nil
}

// composeName reads the labels that Docker Compose puts on its networks
// (pkg/api/labels.go of docker/compose, and 1.29's const.py).
func composeName(labels map[string]string) string {
	project, name := labels["com.docker.compose.project"], labels["com.docker.compose.network"]
	if project == "" || name == "" {
		return ""
	}
	return project + "/" + name
}

// Names returns what Docker calls a network, and what Compose does: "" when it
// was not made by it. dockerd tells neither to a driver, and knows them itself
// only once the driver has made the network: not found is then the error,
// ErrNoNetwork.
func (c *Central) Names(ctx context.Context, id string) (name, compose string, err error) {
	n, err := c.inspect(ctx, id, "reading the name of network "+id)
	return n.Name, composeName(n.Labels), err
}

// Containers returns the names of the containers that run on a network, by the ids of
// their endpoints.
func (c *Central) Containers(ctx context.Context, id string) (map[string]string, error) {
	n, err := c.inspect(ctx, id, "reading the containers on network "+id)
	names := map[string]string{}
	for _, e := range n.Containers {
		names[e.EndpointID] = e.Name
	}
	return names, err
}

// inspect reads one network.
func (c *Central) inspect(ctx context.Context, id, doing string) (network.Inspect, error) {
	docker, err := client.NewClientWithOpts(c.opts...)
	if err != nil {
		return network.Inspect{}, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	n, err := docker.NetworkInspect(ctx, id, network.InspectOptions{})
	if errdefs.IsNotFound(err) {
		err = ErrNoNetwork
	}
	if err != nil {
		err = c.dockerError(doing, err)
	}
	return n, errors.Join(err, docker.Close())
}

// ErrNoNetwork is why a network has no name: Docker does not have it, or not
// yet.
var ErrNoNetwork = errors.New("docker does not have the network")

func ourNetwork(n network.Inspect) DockerNetwork {
	have := DockerNetwork{
		ID: n.ID, Name: n.Name, Compose: composeName(n.Labels), Ours: true, Options: n.Options, Internal: n.Internal, Gives: n.IPAM.Driver == n.Driver, Endpoints: map[string]DockerEndpoint{},
	}
	for _, p := range n.IPAM.Config {
		have.Pools = append(have.Pools, Pool{Subnet: p.Subnet, Range: p.IPRange, Gateway: p.Gateway, Aux: p.AuxAddress})
	}
	for container, e := range n.Containers {
		found := DockerEndpoint{ID: e.EndpointID, Container: container, Name: e.Name, MAC: e.MacAddress}
		for _, a := range []string{e.IPv4Address, e.IPv6Address} {
			if a != "" {
				found.Addresses = append(found.Addresses, a)
			}
		}
		have.Endpoints[e.EndpointID] = found
	}
	return have
}

// pluginFolder finds the id of a managed plugin in its mounts (proc(5),
// mountinfo): dockerd mounts a folder .../plugins/ID where its socket is.
var pluginFolder = regexp.MustCompile(`(?m)^\S+ \S+ \S+ \S*/plugins/([0-9a-f]{64}) /run/docker/plugins `)

// errOtherDaemon is why a daemon's lists are not used: from those of another
// one, all of our networks would seem to be gone.
var errOtherDaemon = errors.New("the Docker daemon that answers does not run this plugin")

// driverName returns the name of this plugin, as networks name their driver.
func (c *Central) driverName(ctx context.Context, docker *client.Client) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("looking for the plugin's own id: %w", err)
	}
	found := pluginFolder.FindSubmatch(mounts)
	if found == nil {
		// Started by hand: dockerd takes the socket's name for the driver's.
		return strings.TrimSuffix(filepath.Base(c.cfg.Socket), filepath.Ext(c.cfg.Socket)), nil
	}
	p, _, err := docker.PluginInspectWithRaw(ctx, string(found[1]))
	if errdefs.IsNotFound(err) {
		return "", fmt.Errorf("asking Docker at %q for plugin %q: %w", docker.DaemonHost(), found[1], errOtherDaemon)
	}
	if err != nil {
		return "", c.dockerError("asking Docker for this plugin's name", err)
	}
	return p.Name, nil
}
