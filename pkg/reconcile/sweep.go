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
	// sweepAgain is the pause after one that could not do all, and grows to
	// maxSweepAgain: nobody tells when what a lost network waits for is there.
	sweepAgain    = 5 * time.Second
	maxSweepAgain = 30 * time.Second
	// oldAfter is how old a record must be at least to be taken for one that
	// Docker has removed: dockerd stores what a driver has made a moment later,
	// and nobody can say how long a moment is on a busy machine.
	oldAfter = time.Minute
	// rebuildWithin bounds the rebuilding of one network.
	rebuildWithin = 20 * time.Second
	// listedFor is longer than Docker lists what it has removed.
	listedFor = time.Hour
	// askDockerEvery is the pause between tries while Docker does not answer.
	askDockerEvery = 2 * time.Second
	snapshotWithin = time.Minute
)

// Docker is what the Docker API tells and does; package central implements it.
type Docker interface {
	Snapshot(ctx context.Context) (central.Snapshot, error)
	Revive(ctx context.Context, r central.Request) (central.Connections, error)
	ControllerRuns(ctx context.Context) bool
	Names(ctx context.Context, network string) (name, compose string, err error)
	Containers(ctx context.Context, network string) (map[string]string, error)
}

// Sweep compares the records with Docker's own lists. Networks and endpoints
// that Docker has and the records do not, after a loss of files, are made
// again; those that Docker does not have any more, because they were removed
// while the plugin was not there to be told, are removed; and so is what is in
// OVN and Open vSwitch of this plugin without a record.
func (r *Reconciler) Sweep(ctx context.Context) error {
	unlock, err := r.turns.Lock(ctx, "sweep")
	if err != nil {
		return err
	}
	defer unlock()
	if time.Since(r.youngSince) >= oldAfter {
		r.old = r.young
		r.young, r.youngSince = r.complete(), time.Now()
	}
	known := r.databases()
	first, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	changed := r.changedOf(ctx, first)
	rebuilt := r.rebuild(ctx, first, changed)
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
	err = errors.Join(append([]error{rebuilt}, append(r.collectRecords(ctx, gone), r.collectOrphans(ctx, gone)...)...)...)
	err = errors.Join(err, r.collectAddresses(ctx, gone))
	r.swept = known
	r.Records.ForgetRemoved(listedFor)
	return err
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
	s, err := r.Docker.Snapshot(ctx)
	if err != nil {
		return s, fmt.Errorf("%w: %w", errNoLists, err)
	}
	return s, nil
}

// errNoLists is why nothing can be said of what Docker has.
var errNoLists = errors.New("docker's lists are not to be had")

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
func (r *Reconciler) rebuild(ctx context.Context, s central.Snapshot, changed map[string]map[string]string) error {
	var all []error
	found := false
	defer func() { r.failed(all) }()
	for _, id := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[id]
		if !n.Ours || r.Records.Removed(id) {
			continue
		}
		if _, known := r.Records.Networks.Get(id); !known {
			found = true
			if err := r.rebuildNetwork(ctx, n, changed[id]); err != nil {
				all = append(all, fmt.Errorf("rebuilding network %q (%s) from what Docker knows: %w", n.Name, id, err))
				continue
			}
			r.note(rebuiltAgain, "network %s (%.12s)", n.Name, id)
		}
		byName := r.mirrorsNames(id)
		for _, e := range n.Endpoints {
			if byName && e.Name != "" { // it may have been renamed
				all = append(all, r.Records.NameContainer(ctx, e.ID, e.Name))
			}
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

// mirrorsNames reports whether the network's mirror goes by the names of containers.
func (r *Reconciler) mirrorsNames(id string) bool {
	n, ok := r.Records.Networks.Get(id)
	return ok && n.Data.Options.MirrorsNames()
}

// changedOf returns what bridges tell was changed of networks, if there is one whose
// record is lost: Docker tells what it was made with.
func (r *Reconciler) changedOf(ctx context.Context, s central.Snapshot) map[string]map[string]string {
	lost := func(id string) bool {
		_, known := r.Records.Networks.Get(id)
		return s.Networks[id].Ours && !known && !r.Records.Removed(id)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(s.Networks)), lost) {
		return nil
	}
	var seen observed
	if err := r.observeHost(ctx, &seen); err != nil || seen.local == nil {
		r.Log.Warn("what was changed of networks since they were made cannot be read, they are rebuilt as they were made", zap.Error(err))
		return nil
	}
	return topology.ChangedOf(*seen.local)
}

func (r *Reconciler) rebuildNetwork(ctx context.Context, have central.DockerNetwork, changed map[string]string) error {
	o, err := options.ParseNetwork(have.Options)
	if err != nil {
		return err
	}
	n := topology.Network{ID: have.ID, Instance: r.Records.Instance, Name: have.Name, Compose: have.Compose, Options: o, Internal: have.Internal}
	for _, p := range have.Pools {
		s, err := subnet(p)
		if err != nil {
			return err
		}
		if s.Pool.Bits() > 0 { // the null IPAM driver's is no subnet
			n.Subnets = append(n.Subnets, s)
		}
	}
	if have.Gives {
		n.AddressSpace = topology.AddressSpace
	}
	if n, err = n.WithOwnSubnet(); err != nil {
		return err
	}
	if len(changed) > 0 {
		if n, err = n.Change(changed); err != nil {
			r.Log.Warn("a network is rebuilt as it was made, and not as it was changed since", zap.String("network", n.ID), zap.Any("options", changed), zap.Error(err))
		}
	}
	slices.SortFunc(n.Subnets, func(a, b topology.Subnet) int { return a.Pool.Addr().Compare(b.Pool.Addr()) })
	ctx, cancel := context.WithTimeout(ctx, rebuildWithin)
	defer cancel()
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
	if p.Range != "" {
		if s.Range, err = netip.ParsePrefix(p.Range); err != nil {
			return s, fmt.Errorf("reading Docker's address range %q: %w", p.Range, err)
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
// any more. They are old: from before this process, or for a while.
func (r *Reconciler) collectRecords(ctx context.Context, gone func(network, endpoint string) bool) []error {
	var all []error
	networks := r.Records.Networks.List()
	for id, e := range r.Records.Endpoints.List() {
		if e.Phase != store.Ready || !gone(e.Data.NetworkID, id) || !r.old[id] {
			continue
		}
		if _, recorded := networks[e.Data.NetworkID]; recorded && gone(e.Data.NetworkID, "") {
			continue // they go together
		}
		all = append(all, r.collect(r.Records.Detach(ctx, id), "endpoint %.12s of network %.12s, which Docker does not have any more", id, e.Data.NetworkID))
	}
	for id, n := range networks {
		if n.Phase != store.Ready || !gone(id, "") || !r.old[id] {
			continue
		}
		all = append(all, r.collect(r.Records.RemoveNetwork(ctx, id), "network %.12s (logical switch %s), which Docker does not have any more", id, n.Data.Switch()))
	}
	return all
}

// collect notes what was removed, unless that failed, and returns the failure.
func (r *Reconciler) collect(err error, format string, args ...any) error {
	if err == nil {
		r.note(collected, format, args...)
	}
	return err
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
		mine := ids["instance"] == r.Records.Instance || ours || r.Records.Unclaimed(network) || r.Records.Unclaimed(id)
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
		for _, rule := range north.NATs {
			_, outside := topology.OutsideOf(rule)
			if id, ok := orphan(rule.ExternalIDs); ok && (outside != "" || topology.Floating(rule) != "") && rule.ExternalIDs["host"] == host {
				at[id] = nb
			}
		}
	}
	var all []error
	for id := range topology.ChangedOf(*seen.local) {
		if _, known := networks[id]; !known && gone(id, "") {
			for b := range seen.local.Bridges {
				all = append(all, r.Records.Remember(ctx, topology.Network{ID: id, Options: options.Network{Bridge: string(b)}}))
			}
		}
	}
	for id, nb := range at {
		err := r.Records.CollectEndpoint(ctx, nb, id)
		if err == nil && nb != "" {
			r.Records.Claimed(id)
		}
		all = append(all, r.collect(err, "endpoint %.12s, which had no record", id))
	}
	for nb, north := range seen.north {
		for network, instance := range topology.Users(north.Seen) {
			_, known := networks[network]
			if known || instance != r.Records.Instance && !r.Records.Unclaimed(network) || !gone(network, "") {
				continue
			}
			err := r.Records.CollectNetwork(ctx, topology.Network{ID: network, Instance: instance, NB: nb})
			if err == nil {
				r.Records.Claimed(network)
			}
			all = append(all, r.collect(err, "what network %.12s, which had no record, used in OVN", network))
		}
	}
	return all
}

// collectAddresses takes back the addresses that belong to nobody.
func (r *Reconciler) collectAddresses(ctx context.Context, gone func(network, endpoint string) bool) error {
	unused, err := r.Records.CollectAddresses(ctx, func(network string) bool { return gone(network, "") })
	for _, a := range unused {
		r.note(collected, "address %s, which was given to no endpoint", a)
	}
	return err
}
