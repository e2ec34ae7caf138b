package reconcile

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
)

// restoreMirrors makes again what is missing of mirrors.
func (r *Reconciler) restoreMirrors(ctx context.Context) error {
	done, refused, err := r.Records.Mirror(ctx)
	if err != nil {
		return err
	}
	if done {
		r.note(repaired, "what this host mirrors")
	}
	for _, n := range r.Records.Known() {
		r.unsettled(inMirrors, n.ID, refused[n.ID])
	}
	return nil
}

// nameContainers asks Docker for the names of containers that mirrors go by, and
// reports whether one became known. dockerd tells them to nobody before the container
// has started.
func (r *Reconciler) nameContainers(ctx context.Context) bool {
	nameless, named := r.Records.Nameless(), false
	networks := map[string]bool{}
	for _, e := range nameless {
		networks[e.NetworkID] = true
	}
	for network := range networks {
		bounded, cancel := context.WithTimeout(ctx, nameWithin)
		names, err := r.Docker.Containers(bounded, network)
		cancel()
		if err != nil {
			if !errors.Is(err, central.ErrNoNetwork) {
				r.Log.Debug("the names of containers are not known yet", zap.String("network", network), zap.Error(err))
			}
			continue
		}
		for id := range nameless {
			if names[id] == "" {
				continue
			}
			named = true
			if err := r.Records.NameContainer(ctx, id, names[id]); err != nil {
				r.Log.Warn("a container that a mirror names is not mirrored yet, this will be tried again", zap.String("endpoint", id), zap.String("container", names[id]), zap.Error(err))
				r.Wake()
			}
		}
	}
	return named
}
