package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// find returns the complete network of that name, id, or beginning of an id.
func (r *Records) find(name string) (topology.Network, error) {
	var found []topology.Network
	for id, n := range r.Networks.List() {
		switch {
		case n.Phase != store.Ready:
		case id == name, n.Data.Name == name:
			return n.Data, nil
		case len(name) >= 4 && strings.HasPrefix(id, name):
			found = append(found, n.Data)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return topology.Network{}, fmt.Errorf("network %q is none of this plugin's: ovs-container-network status lists them", name)
	}
	return topology.Network{}, fmt.Errorf("%q begins the ids of %d networks: give more of it, or the name", name, len(found))
}

// Change changes options of a network while it is there, or leaves all as it was, and
// returns it. Containers that run keep their links as they are, with their MTU.
func (r *Records) Change(ctx context.Context, name string, changes map[string]string) (topology.Network, error) {
	n, err := r.find(name)
	if err != nil {
		return n, err
	}
	chassis, err := r.LockChassis(ctx)
	if err != nil {
		return n, err
	}
	defer chassis()
	have, unlock, err := r.hold(ctx, n.ID)
	if have == nil {
		return n, errors.Join(err, fmt.Errorf("changing network %q: it is being removed", name))
	}
	defer unlock()
	was := *have
	if n, err = was.Change(changes); err == nil {
		err = n.Validate()
	}
	if err != nil {
		return was, err
	}
	if _, err = r.SetUp(ctx, &n, HostLook{}); err != nil {
		return was, err
	}
	known := slices.DeleteFunc(r.Known(), func(o topology.Network) bool { return o.ID == n.ID })
	if err = n.Clash(known); err == nil {
		err = r.mirrorable(ctx, n)
	}
	if err != nil {
		return was, err
	}
	if err = r.put(ctx, n); err != nil {
		err = fmt.Errorf("changing network %q: %w", name, err)
		return was, errors.Join(err, r.put(context.WithoutCancel(ctx), was))
	}
	return n, nil
}

// put stores a network that has changed and brings the host to it.
func (r *Records) put(ctx context.Context, n topology.Network) error {
	if err := r.putNetwork(n, store.Ready); err != nil {
		return err
	}
	if err := r.Remember(ctx, n); err != nil {
		return err
	}
	_, refused, err := r.Mirror(ctx)
	if err = errors.Join(err, refused[n.ID]); err != nil {
		return err
	}
	if n.NeedsHost() { // its MTU is that of the host's link too
		_, _, err = r.LeadOut(ctx)
	}
	return err
}

// Remember has the bridge say what was changed of a network, where it does not.
func (r *Records) Remember(ctx context.Context, n topology.Network) error {
	if err := r.Run.Apply(ctx, oneWay(n.Remember(r.Host))); err != nil {
		return fmt.Errorf("noting what was changed of network %q: %w", n.ID, err)
	}
	return nil
}

// unremember has the bridge say nothing any more of a network that is gone; a sweep
// tries again.
func (r *Records) unremember(ctx context.Context, n topology.Network) {
	if len(n.Changed) == 0 {
		return
	}
	n.Changed = nil
	if err := r.Remember(ctx, n); err != nil {
		r.Log.Warn("what was changed of a network that is gone is still noted, it will be forgotten later", zap.String("network", n.ID), zap.Error(err))
	}
}
