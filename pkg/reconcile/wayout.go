package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// wayOutEvery is the pause between looks at what the host does for networks that
// reach the world through it, or are mirrored. Nobody tells of a firewall that was loaded anew:
// iptables' two backends have no monitor in common.
const wayOutEvery = 30 * time.Second

// restoreWayOut makes again what of it is missing: a firewall that was loaded anew,
// or a routing daemon, takes it away.
func (r *Reconciler) restoreWayOut(ctx context.Context) error {
	done, conflicts, err := r.Records.LeadOut(ctx)
	if done {
		r.note(repaired, "the way out through this host: interface %s, routes, packet filter", topology.ExitLink)
	}
	for _, n := range r.Records.Known() {
		var why error
		for _, s := range n.LedBy() {
			if n.NeedsHost() && !n.LeadsIn() {
				why = errors.Join(why, conflicts[s])
			}
		}
		r.unsettled(onHost, n.ID, why)
	}
	return err
}

// keepHost does so regularly while a network needs it, and for mirrors, until the
// context ends.
func (r *Reconciler) keepHost(ctx context.Context) {
	said := ""
	for pause(ctx, wayOutEvery) {
		if r.Outages.Silent("") {
			continue
		}
		var err error
		known := r.Records.Known()
		if slices.ContainsFunc(known, topology.Network.NeedsHost) {
			err = r.restoreWayOut(ctx)
		}
		if slices.ContainsFunc(known, func(n topology.Network) bool { return n.Options.Mirrors() }) {
			err = errors.Join(err, r.restoreMirrors(ctx))
		}
		r.save()
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			r.Log.Warn("the way out through this host, or what it mirrors, could not be looked after; it will be tried again", zap.Error(err))
		}
	}
}
