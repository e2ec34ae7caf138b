package central

import (
	"cmp"
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

// findOverlay returns the network of exactly that name, or nil.
func (c *Central) findOverlay(ctx context.Context, name string) (*overlayNetwork, error) {
	list, err := c.networks(ctx, name)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	n := list[0]
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
		if cfg.Gateway == central.String() {
			return nil, fmt.Errorf("network %q cannot hold OVN central: its gateway has the address %s that OVN central needs; create it with another --gateway", name, central)
		}
		return &overlayNetwork{id: n.ID, name: name, central: central}, nil
	}
	return nil, fmt.Errorf("network %q cannot hold OVN central: it has no IPv4 subnet; create it with --subnet, or name another with ovn.transit_overlay_network", name)
}

// networks returns those of exactly that name, the oldest first. Docker's
// filter matches parts of names and patterns too.
func (c *Central) networks(ctx context.Context, name string) ([]network.Summary, error) {
	list, err := c.docker.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", name))})
	if err != nil {
		return nil, c.dockerError(fmt.Sprintf("looking for network %q", name), err)
	}
	list = slices.DeleteFunc(list, func(n network.Summary) bool { return n.Name != name })
	slices.SortFunc(list, func(a, b network.Summary) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// makeOverlay makes the network on the first subnet that is free.
func (c *Central) makeOverlay(ctx context.Context, name string, undo *undoList) (*overlayNetwork, error) {
	routes, err := c.probe.HostPrefixes(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for a free subnet for network %q: %w", name, err)
	}
	for _, subnet := range free(routes) {
		central, err := centralAddress(subnet)
		if err != nil {
			return nil, err
		}
		id, err := c.createOverlay(ctx, name, subnet)
		switch {
		case err == nil:
			undo.add(func(ctx context.Context) error { return c.removeNetwork(ctx, id) })
			c.log.Info("network for OVN central created", zap.String("network", name), zap.Stringer("subnet", subnet))
			return c.settle(ctx, overlayNetwork{id: id, name: name, central: central})
		case overlaps(err):
			continue
		case errdefs.IsConflict(err) || strings.Contains(err.Error(), "already exists"):
			// Another plugin made it between the look and the creation.
			if have, findErr := c.findOverlay(ctx, name); findErr == nil && have != nil {
				return have, nil
			}
		case ctx.Err() != nil:
			undo.add(func(ctx context.Context) error { return c.removeUnansweredNetwork(ctx, name) })
		}
		return nil, c.dockerError(fmt.Sprintf("creating network %q for OVN central", name), err)
	}
	return nil, fmt.Errorf("no subnet is free for OVN central's network %q: %v are all in use on this host; "+
		"create one on another (docker network create --internal -o %s=false --subnet 10.200.0.0/24 my-overlay) and name it, ovn.transit_overlay_network=my-overlay, with the connections tcp:10.200.0.5:%s and tcp:10.200.0.5:%s",
		name, candidates, noTalk, northPort, southPort)
}

// settle leaves one network of the name. Docker before API 1.44 checks for
// duplicates when a creation begins, and not when it ends: two plugins at once
// can make one each, and then no container can be put on either by name. The
// older one stays.
func (c *Central) settle(ctx context.Context, made overlayNetwork) (*overlayNetwork, error) {
	for {
		list, err := c.networks(ctx, made.name)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 && list[0].ID != made.id {
			if err := c.removeNetwork(ctx, made.id); err != nil {
				return nil, c.dockerError(fmt.Sprintf("removing a second network %q", made.name), err)
			}
			have, err := c.findOverlay(ctx, made.name)
			if err == nil && have == nil {
				err = fmt.Errorf("network %q was removed by somebody else just now: try again", made.name)
			}
			return have, err
		}
		if len(list) < 2 {
			return &made, nil
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("there are %d networks named %q, remove all but one (docker network rm ID): %w", len(list), made.name, err)
		}
	}
}

// noTalk is the option of Docker's bridge driver that, when false, keeps the
// containers of a network from each other.
const noTalk = "com.docker.network.bridge.enable_icc"

func (c *Central) createOverlay(ctx context.Context, name string, subnet netip.Prefix) (string, error) {
	res, err := c.docker.NetworkCreate(ctx, name, network.CreateOptions{
		Driver:   "bridge",
		Internal: true,
		IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{
			// No IPRange: Docker 20.10 takes a subnet with a range for another
			// pool, and would not see that it is in use.
			Subnet: subnet.String(), Gateway: subnet.Addr().Next().String(),
		}}},
		Options: map[string]string{noTalk: "false"},
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
