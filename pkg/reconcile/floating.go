package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// restoreFloating gives endpoints their floating addresses and those outside again,
// and has records that were rebuilt say those that there are: Docker does not tell.
func (r *Reconciler) restoreFloating(ctx context.Context, seen observed) []error {
	have := map[string]ovn.NATRow{} // by endpoint
	outside := map[string][]ovn.NATRow{}
	for _, north := range seen.north {
		for _, rule := range north.NATs {
			if id := topology.Floating(rule); id != "" {
				have[id] = rule
			}
			if _, id := topology.OutsideOf(rule); id != "" {
				outside[id] = append(outside[id], rule)
			}
		}
	}
	var all []error
	networks := r.Records.Networks.List()
	for id, e := range r.Records.Endpoints.List() {
		n, ok := networks[e.Data.NetworkID]
		_, northSeen := seen.north[n.Data.NB]
		if !ok || !northSeen || e.Phase != store.Ready || e.Data.Deferred || seen.changed(id, e.Updated) || r.Records.Leaving(id, e.Phase) {
			continue
		}
		rule, there := have[id]
		switch asked := e.Data.FloatingIP; {
		case there && !asked.IsValid():
			if a, err := netip.ParseAddr(rule.External); err == nil {
				all = append(all, r.Records.Update(ctx, id, func(e *topology.Endpoint) { e.FloatingIP = a }))
			}
		case asked.IsValid() && (!there || rule.ExternalIDs["host"] != n.Data.Host):
			if err := r.Records.Refloat(ctx, id); err != nil {
				all = append(all, fmt.Errorf("restoring the floating address of endpoint %q: %w", id, err))
				continue
			}
			r.note(repaired, "floating address %s of endpoint %.12s", asked, id)
		}
		if leadsBy(n.Data, e.Data, outside[id]) {
			continue
		}
		if err := r.Records.Refloat(ctx, id); err != nil {
			all = append(all, fmt.Errorf("restoring the address that endpoint %q leads out with: %w", id, err))
			continue
		}
		r.note(repaired, "the address outside of endpoint %.12s", id)
	}
	return all
}

// leadsBy reports whether the endpoint has the rules that it leads out with, and none
// that it does not.
func leadsBy(n topology.Network, e topology.Endpoint, rules []ovn.NATRow) bool {
	if !n.Apart || len(e.Addresses) == 0 {
		return len(rules) == 0 && !e.Outside.IsValid()
	}
	elsewhere := slices.ContainsFunc(rules, func(rule ovn.NATRow) bool { return rule.ExternalIDs["host"] != n.Host })
	return e.Outside.IsValid() && len(rules) >= len(e.Addresses) && !elsewhere
}
