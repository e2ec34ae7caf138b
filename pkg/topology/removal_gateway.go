package topology

import (
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// finishGateway takes down a gateway router on those switches that are no transit
// networks any more: what of it there is ours, and the router itself, if it is ours
// and holds nothing that others made.
func (d *dismantling) finishGateway(g ovn.RouterRow, gone map[string]bool) {
	own := g.ExternalIDs["transit"]
	names := map[string]bool{own: own != ""}
	for _, at := range places(d.seen, &g) {
		if name := at.port.ExternalIDs["transit"]; name != "" && at.port.ExternalIDs["owner"] == Owner {
			names[name] = true
		}
	}
	for name := range names {
		if names[name] = names[name] && !d.serves(g, ovn.Switch(name)); names[name] {
			d.dropGateway(g, name)
		}
	}
	if names[own] && g.ExternalIDs["owner"] == Owner && d.empties(g) {
		d.delete(g, gone)
	}
}

// serves reports whether the gateway router still has a transit network, or a
// router that is attached to one, on the switch.
func (d *dismantling) serves(g ovn.RouterRow, name ovn.Switch) bool {
	goes := func(id string) bool { return d.drops(d.ports, id) || d.drops(d.routes, id) }
	for _, at := range places(d.seen, &g) {
		if at.port.ExternalIDs["transit"] == string(name) && len(others(at.port.ExternalIDs, d.network)) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(d.seen.Named(name), func(s ovn.SwitchRow) bool {
		return d.left(s, transitPrefix) || len(attached(d.seen, s, goes)) > 0
	})
}

func (d *dismantling) dropGateway(g ovn.RouterRow, name string) {
	for _, at := range places(d.seen, &g) {
		if at.port.ExternalIDs["owner"] == Owner && at.port.ExternalIDs["transit"] == name {
			d.c.RouterPortStill(*at.port)
			d.dropPort(g, at)
		}
	}
	for _, rule := range d.seen.NATsOf(g) {
		if rule.ExternalIDs["owner"] == Owner && rule.ExternalIDs["transit"] == name {
			d.drop(&d.nats, g.UUID, rule.UUID)
		}
	}
	for _, p := range d.seen.PoliciesOf(g) {
		if p.ExternalIDs["owner"] == Owner && p.ExternalIDs["transit"] == name {
			d.drop(&d.policies, g.UUID, p.UUID)
		}
	}
	for _, s := range d.seen.Named(ovn.Switch(name)) {
		d.unmarkSwitch(s, "role")
		d.unmarkSwitch(s, "gateway_router")
	}
	for _, route := range routes(d.seen, &g) {
		if route.ExternalIDs["owner"] == Owner && route.ExternalIDs["role"] == external && route.ExternalIDs["transit"] == name {
			d.drop(&d.routes, g.UUID, route.UUID)
		}
	}
}
