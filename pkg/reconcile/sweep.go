package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

const (
	// apart is the time between the two looks at Docker's lists: what is in
	// neither is gone.
	apart = 3 * time.Second
	// sweepEvery is the pause between sweeps when nothing calls for one.
	sweepEvery = 5 * time.Minute
	// askDockerEvery is the pause between tries while Docker does not answer.
	askDockerEvery = 2 * time.Second
	snapshotWithin = time.Minute
)

// Docker is what the Docker API tells and does; package central implements it.
type Docker interface {
	Snapshot(ctx context.Context) (central.Snapshot, error)
	Revive(ctx context.Context, r central.Request) (central.Connections, error)
	ControllerRuns(ctx context.Context) bool
}

// Sweep compares the records with Docker's own lists. Networks and endpoints
// that Docker has and the records do not, after a loss of files, are made
// again; those that Docker does not have any more, because they were removed
// while the plugin was not there to be told, are removed; and so is what is in
// OVN and Open vSwitch of this plugin without a record.
func (r *Reconciler) Sweep(ctx context.Context) error {
	r.sweeping.Lock()
	defer r.sweeping.Unlock()
	old := r.old
	r.old = r.complete()
	first, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	rebuilt := r.rebuild(ctx, first)
	r.rebuiltOnce.Do(func() { close(r.rebuilt) })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(apart):
	}
	second, err := r.snapshot(ctx)
	if err != nil {
		return errors.Join(rebuilt, err)
	}
	gone := func(network, endpoint string) bool {
		return absent(first, network, endpoint) && absent(second, network, endpoint)
	}
	return errors.Join(append([]error{rebuilt}, append(r.collectRecords(ctx, old, gone), r.collectOrphans(ctx, gone)...)...)...)
}

// complete returns the ids of the records that Docker has been told of.
func (r *Reconciler) complete() map[string]bool {
	all := map[string]bool{}
	for id, n := range r.Records.Networks.List() {
		all[id] = n.Phase == store.Ready
	}
	for id, e := range r.Records.Endpoints.List() {
		all[id] = e.Phase == store.Ready
	}
	return all
}

func (r *Reconciler) snapshot(ctx context.Context) (central.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	return r.Docker.Snapshot(ctx)
}

// absent reports whether Docker does not have the endpoint, or, with none
// named, the network.
func absent(s central.Snapshot, network, endpoint string) bool {
	n, there := s.Networks[network]
	switch {
	case !there:
		return true
	case endpoint == "" || !n.Ours:
		return false
	}
	_, there = n.Endpoints[endpoint]
	return !there
}

// rebuild makes what Docker has and the records lack.
func (r *Reconciler) rebuild(ctx context.Context, s central.Snapshot) error {
	var all []error
	found := false
	for _, id := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[id]
		if !n.Ours || r.Records.Removed(id) {
			continue
		}
		if _, known := r.Records.Networks.Get(id); !known {
			found = true
			if err := r.rebuildNetwork(ctx, n); err != nil {
				all = append(all, fmt.Errorf("rebuilding network %q (%s) from what Docker knows: %w", n.Name, id, err))
				continue
			}
			r.note(rebuiltAgain, "network %s (%.12s)", n.Name, id)
		}
		for _, e := range n.Endpoints {
			adopted, err := r.adopt(ctx, n, e)
			if err != nil {
				all = append(all, err)
			}
			if adopted {
				found = true
				r.note(rebuiltAgain, "endpoint %.12s of network %s, addresses %s", e.ID, n.Name, strings.Join(e.Addresses, " "))
			}
		}
	}
	if found {
		all = append(all, r.Pass(ctx))
	}
	return errors.Join(all...)
}

func (r *Reconciler) rebuildNetwork(ctx context.Context, have central.DockerNetwork) error {
	o, err := options.ParseNetwork(have.Options)
	if err != nil {
		return err
	}
	n := topology.Network{ID: have.ID, Instance: r.Records.Instance, Options: o, Internal: have.Internal}
	for _, p := range have.Pools {
		s, err := subnet(p)
		if err != nil {
			return err
		}
		if s.Pool.Bits() > 0 { // the null IPAM driver's is no subnet
			n.Subnets = append(n.Subnets, s)
		}
	}
	slices.SortFunc(n.Subnets, func(a, b topology.Subnet) int { return a.Pool.Addr().Compare(b.Pool.Addr()) })
	return r.Rebuild(ctx, n)
}

func subnet(p central.Pool) (topology.Subnet, error) {
	pool, err := netip.ParsePrefix(p.Subnet)
	if err != nil {
		return topology.Subnet{}, fmt.Errorf("reading Docker's subnet %q: %w", p.Subnet, err)
	}
	s := topology.Subnet{Pool: pool.Masked()}
	bare := func(text string) (netip.Addr, error) {
		address, _, _ := strings.Cut(text, "/")
		return netip.ParseAddr(address)
	}
	if p.Gateway != "" {
		if s.Gateway, err = bare(p.Gateway); err != nil {
			return s, fmt.Errorf("reading Docker's gateway %q: %w", p.Gateway, err)
		}
	}
	for name, text := range p.Aux {
		if s.Aux == nil {
			s.Aux = map[string]netip.Addr{}
		}
		if s.Aux[name], err = bare(text); err != nil {
			return s, fmt.Errorf("reading Docker's auxiliary address %q: %w", name, err)
		}
	}
	return s, nil
}

func (r *Reconciler) adopt(ctx context.Context, n central.DockerNetwork, have central.DockerEndpoint) (bool, error) {
	e := topology.Endpoint{ID: have.ID, NetworkID: n.ID, Instance: r.Records.Instance, MAC: have.MAC, Sandbox: "container " + have.Container}
	for _, text := range have.Addresses {
		a, err := netip.ParsePrefix(text)
		if err != nil {
			return false, fmt.Errorf("reading Docker's address %q of endpoint %q: %w", text, have.ID, err)
		}
		e.Addresses = append(e.Addresses, a)
	}
	if e.MAC == "" {
		e.MAC = topology.MAC(e.Addresses, e.ID)
	}
	adopted, err := r.Records.Adopt(ctx, e)
	if err != nil {
		return false, fmt.Errorf("rebuilding endpoint %q from what Docker knows: %w", have.ID, err)
	}
	return adopted, nil
}

// collectRecords removes the networks and endpoints that Docker does not have
// any more. They are old: from before this process, or from before the last
// sweep. dockerd stores what a driver has made a moment later, and nobody can
// say how long a moment is on a busy machine.
func (r *Reconciler) collectRecords(ctx context.Context, old map[string]bool, gone func(network, endpoint string) bool) []error {
	var all []error
	for id, e := range r.Records.Endpoints.List() {
		if e.Phase != store.Ready || gone(e.Data.NetworkID, "") || !gone(e.Data.NetworkID, id) || !old[id] {
			continue
		}
		r.note(collected, "endpoint %.12s of network %.12s, which Docker does not have any more", id, e.Data.NetworkID)
		all = append(all, r.Records.Detach(ctx, id))
	}
	for id, n := range r.Records.Networks.List() {
		if n.Phase != store.Ready || !gone(id, "") || !old[id] {
			continue
		}
		r.note(collected, "network %.12s (logical switch %s), which Docker does not have any more", id, n.Data.Switch())
		all = append(all, r.Records.RemoveNetwork(ctx, id))
	}
	return all
}

// collectOrphans removes rows, ports and links of this plugin that no record
// speaks of. Those of another instance, or of another host, are not touched,
// but for what is left on networks that are certainly this plugin's.
func (r *Reconciler) collectOrphans(ctx context.Context, gone func(network, endpoint string) bool) []error {
	seen, err := r.observe(ctx)
	if err != nil {
		r.Log.Debug("what cannot be seen is not collected", zap.Error(err))
	}
	if seen.local == nil {
		return nil
	}
	host := seen.local.ExternalIDs["system-id"]
	networks, endpoints := r.Records.Networks.List(), r.Records.Endpoints.List()
	orphan := func(ids map[string]string) (string, bool) {
		id, network := ids["endpoint_id"], ids["network_id"]
		_, ours := networks[network]
		_, known := endpoints[id]
		mine := ids["instance"] == r.Records.Instance || ours
		return id, id != "" && mine && !known && gone(network, id)
	}
	at := map[string]string{} // endpoint id -> database that has its port
	for _, i := range seen.local.Interfaces {
		if id, ok := orphan(i.ExternalIDs); ok {
			at[id] = ""
		}
	}
	for nb, north := range seen.north {
		for _, p := range north.Ports {
			if id, ok := orphan(p.ExternalIDs); ok && p.ExternalIDs["host"] == host {
				at[id] = nb
			}
		}
	}
	var all []error
	for id, nb := range at {
		r.note(collected, "endpoint %.12s, which had no record", id)
		all = append(all, r.Records.CollectEndpoint(ctx, nb, id))
	}
	for nb, north := range seen.north {
		for name, rows := range north.Switches {
			for _, row := range rows {
				for network, instance := range topology.Users(row) {
					if _, known := networks[network]; known || instance != r.Records.Instance || !gone(network, "") {
						continue
					}
					r.note(collected, "use of logical switch %s by network %.12s, which had no record", name, network)
					all = append(all, r.Records.CollectNetwork(ctx, topology.Network{
						ID: network, Instance: instance, NB: nb, Options: options.Network{Switch: string(name)},
					}))
				}
			}
		}
	}
	return all
}
