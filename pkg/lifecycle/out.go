package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
	"github.com/ovs-container-lab/ovs-container-network/pkg/hostport"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// LeadOut brings this host to what its networks need of it to reach the world:
// the interface on the join switch, its routes, and the packet filter. It compares
// the whole with what is there, so that it also takes away what nobody needs any
// more, and reports whether anything had to be done. Subnets that the host routes
// elsewhere are left out, and why is returned.
func (r *Records) LeadOut(ctx context.Context) (done bool, conflicts map[netip.Prefix]error, err error) {
	unlock, err := r.Locks.Lock(ctx, "way out")
	if err != nil {
		return false, nil, err
	}
	defer unlock()
	return r.leadAll(ctx, r.wayOut())
}

// wayOut is what this host is to be brought to.
func (r *Records) wayOut() topology.Out {
	out := topology.WayOut(r.Instance, r.Known(), r.attached())
	if !r.Host.IPv6 {
		return out.IPv4()
	}
	return out
}

// leadAll is LeadOut with its lock held.
func (r *Records) leadAll(ctx context.Context, out topology.Out) (done bool, conflicts map[netip.Prefix]error, err error) {
	asked := led{routes: maps.Clone(out.Routes), apart: maps.Clone(out.Apart), in: out.In, six: out.Six()}
	six := r.Host.IPv6 && (asked.six || r.led == nil || r.led.six) // or there is nothing of it to take away
	r.led = nil
	seen, err := r.lookAtWayOut(ctx, six)
	if err != nil {
		return false, nil, err
	}
	conflicts = out.Yield(seen.Routes)
	p := out.Plan(r.Host, seen)
	if err := r.Run.Apply(ctx, oneWay(p)); err != nil {
		return false, conflicts, fmt.Errorf("leading out through this host: %w", err)
	}
	r.turnOut(ctx, out.Turned(seen))
	asked.conflicts = conflicts
	r.led = &asked
	return !p.Empty(), conflicts, nil
}

// led is what this host was last brought to.
type led struct {
	routes    map[netip.Prefix]netip.Addr
	in, apart map[netip.Prefix]bool
	conflicts map[netip.Prefix]error
	six       bool
}

// leadPorts is LeadOut after a change of published ports, which are a matter of
// the packet filter alone: the container's start waits for it.
func (r *Records) leadPorts(ctx context.Context) (conflicts map[netip.Prefix]error, err error) {
	unlock, err := r.Locks.Lock(ctx, "way out")
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := r.wayOut()
	if r.led == nil || out.Idle() || !maps.Equal(out.Routes, r.led.routes) || !maps.Equal(out.In, r.led.in) || !maps.Equal(out.Apart, r.led.apart) {
		_, conflicts, err := r.leadAll(ctx, out)
		return conflicts, err
	}
	out.Without(r.led.conflicts)
	var seen topology.HostSeen // and the interface is this plugin's
	if seen.Backend, seen.Filters, err = r.Run.Firewall(ctx, out.Six()); err != nil {
		return nil, err
	}
	if err := r.Run.Apply(ctx, oneWay(out.Filter(seen))); err != nil {
		return r.led.conflicts, fmt.Errorf("leading published ports through this host: %w", err)
	}
	r.turnOut(ctx, out.Turned(seen))
	return r.led.conflicts, nil
}

// leadOut is LeadOut for a network that has just been made, and may contradict
// what the host has.
func (r *Records) leadOut(ctx context.Context, n topology.Network) error {
	if !n.NeedsHost() {
		return nil
	}
	_, conflicts, err := r.LeadOut(ctx)
	for _, s := range n.LedBy() {
		if !n.LeadsIn() { // there is another way out; Publish tells who needs this one
			err = errors.Join(err, conflicts[s])
		}
	}
	return err
}

// lookOut is LeadOut after a network has gone, which nobody can be told a failure
// of; a pass tries again.
func (r *Records) lookOut(ctx context.Context, n topology.Network) {
	if !n.NeedsHost() {
		return
	}
	if _, _, err := r.LeadOut(ctx); err != nil {
		r.Log.Warn("the way out of a network that is gone could not be taken off this host, it will be tried again", zap.String("network", n.ID), zap.Error(err))
	}
}

func (r *Records) lookAtWayOut(ctx context.Context, six bool) (topology.HostSeen, error) {
	var seen topology.HostSeen
	look, ctx := errgroup.WithContext(ctx)
	look.Go(func() error {
		results, err := r.Run.Transact(ctx, ovs.TakeInventory(r.Host.OVSDB, topology.Owner))
		if err != nil {
			return fmt.Errorf("reading Open vSwitch's database at %q: %w", r.Host.OVSDB, err)
		}
		if i, ok := ovs.ReadInventory(results).Interfaces[topology.ExitLink]; ok {
			seen.Interface = &i
		}
		return nil
	})
	look.Go(func() (err error) {
		if seen.Addresses, err = r.Run.Addresses(ctx); err != nil {
			return fmt.Errorf("reading the host's addresses: %w", err)
		}
		return nil
	})
	look.Go(func() (err error) {
		if seen.Routes, err = r.Run.Routes(ctx); err != nil {
			return fmt.Errorf("reading the host's routes: %w", err)
		}
		return nil
	})
	look.Go(func() (err error) {
		seen.Backend, seen.Filters, err = r.Run.Firewall(ctx, six)
		return err
	})
	look.Go(func() (err error) {
		seen.Forwards6, err = r.Run.Forwards6()
		return err
	})
	err := look.Wait()
	return seen, err
}

// attached are the complete endpoints.
func (r *Records) attached() []topology.Endpoint {
	var all []topology.Endpoint
	for id, e := range r.Endpoints.List() {
		if e.Phase == store.Ready && !r.Leaving(id, e.Phase) {
			all = append(all, e.Data)
		}
	}
	return all
}

// Publish has ports of the host lead to the endpoint, or leaves all as it was.
func (r *Records) Publish(ctx context.Context, id string, asked []hostport.Request) error {
	ports, err := r.ports.Hold(id, asked...)
	if err != nil {
		for _, p := range asked {
			if owner := r.ports.Owner(p.Port); owner != "" && owner != id && errors.Is(err, hostport.ErrTaken) {
				return r.taken(p.Port, owner, err)
			}
		}
		return fmt.Errorf("publishing: %w", err)
	}
	published := false
	err = r.Update(ctx, id, func(e *topology.Endpoint) { e.Ports, published = ports, true })
	if err == nil && !published {
		return errors.Join(fmt.Errorf("publishing %v: endpoint %q has been removed", ports, id), r.ports.Release(id))
	}
	if err == nil {
		var conflicts map[netip.Prefix]error
		conflicts, err = r.leadPorts(ctx)
		err = errors.Join(err, r.conflict(id, conflicts))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("publishing %v: %w", ports, err), r.Unpublish(context.WithoutCancel(ctx), id))
	}
	r.turn(ctx, id, ports)
	return nil
}

// turn turns connections that are older than the endpoint's ports to it.
func (r *Records) turn(ctx context.Context, id string, ports []topology.Port) {
	var flows []firewall.Flow
	for _, p := range ports {
		if p.Protocol != topology.UDP {
			continue
		}
		if p.Host.IsValid() && !p.Host.IsUnspecified() {
			flows = append(flows, firewall.Flow{To: netip.AddrPortFrom(p.Host, p.HostPort)})
			continue
		}
		addresses, err := r.Run.Addresses(ctx)
		if err != nil {
			r.Log.Warn("reading the host's addresses", zap.Error(err))
		}
		for _, a := range addresses {
			if p.LeadsTo(a.Prefix.Addr()) {
				flows = append(flows, firewall.Flow{To: netip.AddrPortFrom(a.Prefix.Addr(), p.HostPort)})
			}
		}
	}
	r.forget(ctx, id, flows)
}

// cut ends the connections that lead to the endpoint.
func (r *Records) cut(ctx context.Context, e topology.Endpoint) {
	var flows []firewall.Flow
	n, known := r.Networks.Get(e.NetworkID)
	if !known {
		n.Data.Apart = e.Outside.IsValid()
	}
	for _, p := range e.Ports {
		for _, a := range n.Data.Reached(e) {
			if p.Protocol == topology.UDP && p.LeadsTo(a) {
				flows = append(flows, firewall.Flow{From: netip.AddrPortFrom(a, p.Container)})
			}
		}
	}
	r.forget(ctx, e.ID, flows)
}

func (r *Records) forget(ctx context.Context, id string, flows []firewall.Flow) {
	if len(flows) == 0 {
		return
	}
	if err := r.Run.Forget(ctx, flows...); err != nil {
		r.Log.Warn("clients that have sent to a published UDP port before may have to wait, or to change their own port", zap.String("endpoint", id), zap.Error(err))
	}
}

// turnOut has connections of containers meet the rules that are younger than they.
func (r *Records) turnOut(ctx context.Context, flows []firewall.Flow) {
	if len(flows) == 0 {
		return
	}
	if err := r.Run.Forget(ctx, flows...); err != nil {
		r.Log.Warn("connections of containers that are older than their network's way out may get no answers until they have been idle for a while", zap.Error(err))
	}
}

// conflict returns why this host cannot lead to the endpoint.
func (r *Records) conflict(id string, conflicts map[netip.Prefix]error) error {
	have, _ := r.Endpoints.Get(id)
	n, _ := r.Networks.Get(have.Data.NetworkID)
	at := n.Data.Reached(have.Data)
	for _, s := range n.Data.LedBy() {
		if err := conflicts[s]; err != nil && (len(at) == 0 || slices.ContainsFunc(at, s.Contains)) {
			return err
		}
	}
	return nil
}

// Unpublish gives up the endpoint's ports of the host. It is no error that it has
// none.
func (r *Records) Unpublish(ctx context.Context, id string) error {
	have, ok := r.Endpoints.Get(id)
	if !ok || len(have.Data.Ports) == 0 {
		return r.ports.Release(id)
	}
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	if err := r.Update(ctx, id, func(e *topology.Endpoint) { e.Ports = nil }); err != nil {
		return err // as stored, the ports are still led there
	}
	_, err := r.leadPorts(ctx)
	r.cut(ctx, have.Data)
	return errors.Join(err, r.ports.Release(id))
}

// forgetPorts gives up the ports of an endpoint that is being removed.
func (r *Records) forgetPorts(ctx context.Context, e topology.Endpoint) {
	if len(e.Ports) > 0 {
		if _, err := r.leadPorts(ctx); err != nil {
			r.Log.Warn("published ports still lead to an endpoint that is gone, this will be tried again", zap.String("endpoint", e.ID), zap.Error(err))
		}
		r.cut(ctx, e)
	}
	if err := r.ports.Release(e.ID); err != nil {
		r.Log.Warn("giving up published ports", zap.String("endpoint", e.ID), zap.Error(err))
	}
}

// Publishable returns why an endpoint on the network cannot have a port, as far as
// it can be known before the container is there. A port of an endpoint on another
// network may be the same container's, and is left to Publish: dockerd asks for all
// ports on each network that it connects a container to, and says of none which
// container it is.
func (r *Records) Publishable(network string, asked []hostport.Request) error {
	for _, p := range asked {
		if p.HostPort == 0 || p.Last > p.HostPort {
			continue // there may be another one
		}
		err := hostport.Free(p.Port)
		if err == nil {
			continue
		}
		owner := r.ports.Owner(p.Port)
		if owner == "" {
			return fmt.Errorf("publishing %s: %w, by another program or another network's container: stop that (ss -lnp \"sport = :%d\", docker ps), or publish another port", p.Port, err, p.HostPort)
		}
		if have, ok := r.Endpoints.Get(owner); ok && have.Data.NetworkID == network {
			return r.taken(p.Port, owner, err)
		}
	}
	return nil
}

func (r *Records) taken(p topology.Port, owner string, err error) error {
	have, _ := r.Endpoints.Get(owner)
	network, _ := r.Networks.Get(have.Data.NetworkID)
	return fmt.Errorf("publishing %s: %w, by endpoint %.12s of network %q: publish another port, or stop that container", p, err, owner, cmp.Or(network.Data.Name, have.Data.NetworkID))
}

// HoldPorts takes the ports again that endpoints had before this program started.
func (r *Records) HoldPorts() {
	for _, e := range r.attached() {
		for _, p := range e.Ports {
			if err := r.ports.Keep(e.ID, p); err != nil {
				r.Log.Warn("a published port is also bound by a program of this host, which nobody reaches", zap.String("endpoint", e.ID), zap.Stringer("port", p), zap.Error(err))
			}
		}
	}
}

// RecallPorts remembers which ports the packet filter leads to which containers,
// for endpoints whose records were lost: before the first LeadOut, which takes away
// what no record speaks of.
func (r *Records) RecallPorts(ctx context.Context) error {
	_, filters, err := r.Run.Firewall(ctx, r.Host.IPv6)
	if err != nil {
		return err
	}
	recorded := map[netip.Addr]bool{}
	for _, e := range r.attached() {
		n, _ := r.Networks.Get(e.NetworkID)
		for _, a := range n.Data.Reached(e) {
			recorded[a] = true
		}
	}
	for _, rules := range filters {
		for _, p := range topology.Published(rules) {
			if recorded[p.To] {
				continue
			}
			ports, _ := r.recalled.LoadOrStore(p.To, []topology.Port(nil))
			r.recalled.Store(p.To, append(ports.([]topology.Port), p.Port))
		}
	}
	return nil
}

// recall gives an endpoint that has lost its record the ports that led to it, by the
// addresses that the host reaches it by.
func (r *Records) recall(e *topology.Endpoint, at ...netip.Addr) {
	for _, a := range at {
		ports, known := r.recalled.LoadAndDelete(a)
		if !known {
			continue
		}
		for _, p := range ports.([]topology.Port) {
			if owner := r.ports.Owner(p); owner != "" {
				continue // given to another one meanwhile, or known by its other address
			}
			if err := r.ports.Keep(e.ID, p); err != nil {
				r.Log.Warn("a published port is also bound by a program of this host, which nobody reaches", zap.String("endpoint", e.ID), zap.Stringer("port", p), zap.Error(err))
			}
			e.Ports = append(e.Ports, p)
		}
	}
}
