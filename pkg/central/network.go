package central

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"go.uber.org/zap"
)

// overlayNetwork is the Docker network that OVN central is on.
type overlayNetwork struct {
	id, name string
	central  netip.Addr
}

// overlay finds the network by its exact name, or makes it.
func (c *Central) overlay(ctx context.Context, name string, undo *undoList) (overlayNetwork, error) {
	have, err := c.findOverlay(ctx, name)
	if err != nil || have != nil {
		return deref(have), err
	}
	routes, err := c.probe.HostPrefixes(ctx)
	if err != nil {
		return overlayNetwork{}, err
	}
	for _, subnet := range free(routes) {
		id, err := c.createOverlay(ctx, name, subnet)
		switch {
		case err == nil:
			undo.add(func(ctx context.Context) error { return c.docker.NetworkRemove(ctx, id) })
			central, err := centralAddress(subnet)
			c.log.Info("network for OVN central created", zap.String("network", name), zap.Stringer("subnet", subnet))
			return overlayNetwork{id: id, name: name, central: central}, err
		case overlaps(err):
			continue
		case errdefs.IsConflict(err) || strings.Contains(err.Error(), "already exists"):
			// Another plugin made it between the look and the creation.
			if have, findErr := c.findOverlay(ctx, name); findErr == nil && have != nil {
				return *have, nil
			}
		}
		return overlayNetwork{}, c.dockerError(fmt.Sprintf("creating network %q for OVN central", name), err)
	}
	return overlayNetwork{}, fmt.Errorf("no subnet is free for OVN central's network %q: %v are all in use on this host; "+
		"create it yourself (docker network create --internal --subnet 10.200.0.0/24 %s-2) and name it with ovn.transit_overlay_network=%s-2, with the connections at its fifth address",
		name, candidates, name, name)
}

func deref(n *overlayNetwork) overlayNetwork {
	if n == nil {
		return overlayNetwork{}
	}
	return *n
}

func (c *Central) findOverlay(ctx context.Context, name string) (*overlayNetwork, error) {
	list, err := c.docker.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", name))})
	if err != nil {
		return nil, c.dockerError("looking for OVN central's network", err)
	}
	i := slices.IndexFunc(list, func(n network.Summary) bool { return n.Name == name })
	if i < 0 {
		return nil, nil //nolint:nilnil // None is an answer.
	}
	n := list[i]
	if n.Driver != "bridge" {
		return nil, fmt.Errorf("network %q cannot hold OVN central: its driver is %q, and it has to be \"bridge\"; name another with ovn.transit_overlay_network", name, n.Driver)
	}
	for _, cfg := range n.IPAM.Config {
		subnet, err := netip.ParsePrefix(cfg.Subnet)
		if err != nil || !subnet.Addr().Is4() {
			continue
		}
		central, err := centralAddress(subnet)
		if err != nil {
			return nil, fmt.Errorf("network %q cannot hold OVN central: %w", name, err)
		}
		if !n.Internal {
			c.log.Warn("OVN central's network is not internal: neighbours of this host that set a route can reach the databases (docker network create --internal keeps them out)", zap.String("network", name))
		}
		return &overlayNetwork{id: n.ID, name: name, central: central}, nil
	}
	return nil, fmt.Errorf("network %q cannot hold OVN central: it has no IPv4 subnet", name)
}

func (c *Central) createOverlay(ctx context.Context, name string, subnet netip.Prefix) (string, error) {
	res, err := c.docker.NetworkCreate(ctx, name, network.CreateOptions{
		Driver:   "bridge",
		Internal: true,
		IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{
			Subnet: subnet.String(), Gateway: subnet.Addr().Next().String(),
		}}},
		Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		Labels:  map[string]string{labelKey: labelValue},
	})
	return res.ID, err
}

// overlaps reports whether Docker refused a subnet because it is in use. The
// first text is of its address management, the second of its bridge driver.
func overlaps(err error) bool {
	return strings.Contains(err.Error(), "Pool overlaps with other one on this address space") ||
		strings.Contains(err.Error(), "conflicts with network")
}
