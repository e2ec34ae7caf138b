package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Forget removes from OVN what a host has there that does not come back, given by its
// name or its system-id, and returns what that was: ports and their addresses, its use of
// switches and routers, its leases and its chassis. A host that does come back makes its
// own again, but for addresses that another one has taken meanwhile. Nothing tells a host
// that is gone from one that is silent, so nobody does this unasked.
func (r *Reconciler) Forget(ctx context.Context, host string) ([]string, error) {
	unlock, err := r.turns.Lock(ctx, "sweep")
	if err != nil {
		return nil, err
	}
	defer unlock()
	seen, err := r.observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for what host %q has: %w", host, err)
	}
	if seen.local == nil || len(seen.north) == 0 {
		return nil, errors.New("this host has no network, and thereby no OVN to look in")
	}
	var done []string
	var all []error
	others := map[string]bool{}
	for _, sb := range r.southbounds() {
		id, hosts, err := r.chassis(ctx, sb, host)
		if err != nil {
			return done, err
		}
		if id == seen.local.ExternalIDs["system-id"] {
			return done, fmt.Errorf("%q is this host: remove its networks (docker network rm)", host)
		}
		for nb, north := range seen.north {
			text, err := r.forgetNorth(ctx, nb, id, north)
			done, all = append(done, text...), append(all, err)
		}
		if !slices.ContainsFunc(hosts, func(h ovn.Host) bool { return h.SystemID == id }) {
			for _, h := range hosts {
				others[h.Name+" ("+h.SystemID+")"] = true
			}
			continue
		}
		_, err = r.Run.Transact(ctx, ovsdb.Transaction{Server: sb, Database: ovsdb.Southbound, Operations: []ovsdb.Operation{
			ovsdb.Delete("Chassis", ovsdb.Is("name", id)), ovsdb.Delete("Chassis_Private", ovsdb.Is("name", id)),
		}})
		if err != nil {
			all = append(all, fmt.Errorf("removing chassis %q: %w", id, err))
			continue
		}
		done = append(done, "chassis "+id)
	}
	if err := errors.Join(all...); err != nil || len(done) > 0 {
		return done, err
	}
	return nil, fmt.Errorf("OVN has nothing of a host %q; it has: %s", host, strings.Join(slices.Sorted(maps.Keys(others)), ", "))
}

// southbounds are the southbound databases of complete networks.
func (r *Reconciler) southbounds() []string {
	all := map[string]bool{}
	for _, n := range r.Records.Known() {
		all[n.SB] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// chassis returns the system-id of a host that is given by that or by its name, and all
// that there are.
func (r *Reconciler) chassis(ctx context.Context, sb, host string) (string, []ovn.Host, error) {
	results, err := r.Run.Transact(ctx, ovn.LookAtHosts(sb))
	if err != nil {
		return "", nil, fmt.Errorf("reading the hosts that OVN has: %w", err)
	}
	hosts := ovn.ReadHosts(results)
	var ids []string
	for _, h := range hosts {
		switch host {
		case h.SystemID:
			return host, hosts, nil
		case h.Name:
			ids = append(ids, h.SystemID)
		}
	}
	switch len(ids) {
	case 0:
		return host, hosts, nil // its chassis may be gone already
	case 1:
		return ids[0], hosts, nil
	}
	return "", nil, fmt.Errorf("OVN has %d hosts of the name %q: give the system-id of one, %s", len(ids), host, strings.Join(ids, ", "))
}

// forgetNorth removes what a host has in a northbound database.
func (r *Reconciler) forgetNorth(ctx context.Context, nb, host string, north ovn.Inventory) ([]string, error) {
	endpoints, instances := map[string]string{}, map[string]bool{}
	of := func(ids map[string]string) bool {
		if ids["owner"] != topology.Owner || ids["host"] != host || ids["instance"] == r.Records.Instance {
			return false
		}
		instances[ids["instance"]] = true
		return true
	}
	for _, p := range north.Ports {
		if of(p.ExternalIDs) && p.ExternalIDs["endpoint_id"] != "" {
			endpoints[p.ExternalIDs["endpoint_id"]] = strings.Join(p.Addresses, " ")
		}
	}
	for _, rule := range north.NATs {
		if id := rule.ExternalIDs["endpoint_id"]; of(rule.ExternalIDs) && id != "" {
			endpoints[id] += " " + rule.External
		}
	}
	for _, s := range north.Switches {
		of(s.ExternalIDs)
	}
	for _, row := range north.Routers {
		of(row.ExternalIDs)
	}
	var done []string
	var all []error
	for _, id := range slices.Sorted(maps.Keys(endpoints)) {
		if err := r.Records.CollectEndpoint(ctx, nb, id); err != nil {
			all = append(all, fmt.Errorf("removing endpoint %q: %w", id, err))
			continue
		}
		done = append(done, fmt.Sprintf("endpoint %.12s, %s", id, endpoints[id]))
	}
	users := topology.Users(north.Seen)
	for _, id := range slices.Sorted(maps.Keys(users)) {
		if !instances[users[id]] {
			continue
		}
		if err := r.Records.CollectNetwork(ctx, topology.Network{ID: id, Instance: users[id], NB: nb}); err != nil {
			all = append(all, fmt.Errorf("removing network %q: %w", id, err))
			continue
		}
		done = append(done, fmt.Sprintf("network %.12s", id))
	}
	return done, errors.Join(all...)
}
