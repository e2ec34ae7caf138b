package topology

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// candidate is a transit network that a router may be attached to.
type candidate struct {
	Attachment // without addresses
	names      []string
	composes   []string
	avoid      []netip.Addr // that a router must not be given
	lives      bool         // has a Docker network
}

// candidates are the transit networks of this plugin and of the database.
func (n Network) candidates(seen ovn.Seen, known []Network) []candidate {
	var all []candidate
	at := func(s ovn.Switch) *candidate {
		for i := range all {
			if all[i].Switch == s {
				return &all[i]
			}
		}
		all = append(all, candidate{Attachment: Attachment{Switch: s}})
		return &all[len(all)-1]
	}
	for _, t := range known {
		if !t.IsTransit() || t.NB != n.NB || t.GatewayRouter == "" {
			continue
		}
		c := at(t.Switch())
		c.Router, c.Tenant, c.VLAN, c.lives = t.GatewayRouter, t.Options.TenantID, t.vlan(), true
		c.add(t.Gateways()...)
		c.names, c.composes = append(c.names, t.Name), append(c.composes, t.Compose)
		if next := t.wayOut(); next.IsValid() {
			c.External, c.Uplink, c.NoNAT = next, t.Uplink, t.Options.NoNAT
			if t.LeadsOut() {
				c.Exit = t.Exit
			}
		}
		for _, s := range t.Subnets {
			c.avoid = slices.AppendSeq(c.avoid, maps.Values(s.Aux))
		}
	}
	for _, s := range seen.Switches {
		if s.ExternalIDs["role"] != "transit" {
			continue
		}
		c := at(s.Name)
		for _, name := range users(s.ExternalIDs, transitPrefix) {
			c.names, c.lives = append(c.names, name), true
		}
		for _, name := range users(s.ExternalIDs, composePrefix) {
			c.composes = append(c.composes, name)
		}
		if s.ExternalIDs["owner"] == Owner {
			c.Tenant, c.VLAN = s.ExternalIDs["tenant_id"], s.ExternalIDs["vlan"]
		}
		for i := range seen.Routers {
			if g := &seen.Routers[i]; isGateway(seen, *g, s) || g.Name == c.Router {
				c.behind(seen, s, g)
			}
		}
	}
	for i := range all {
		slices.SortFunc(all[i].Gateways, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	}
	return all
}

// behind adds what the gateway router says of its transit network.
func (c *candidate) behind(seen ovn.Seen, s ovn.SwitchRow, g *ovn.RouterRow) {
	for _, p := range places(seen, g) {
		switch {
		case p.on(s):
			c.Router = g.Name
			c.add(p.port.Networks...)
		case p.port.ExternalIDs["transit"] == string(s.Name) && p.port.Name == portName(g.Name, JoinSwitch):
			c.exit(p.port)
		}
	}
	for _, row := range routes(seen, g) {
		next, err := netip.ParseAddr(row.NextHop)
		if err != nil || row.ExternalIDs["router"] != "" {
			continue
		}
		c.avoid = append(c.avoid, next)
		if next == exitAddress6.Addr() { // the host, as for IPv4
			next = exitAddress.Addr()
		}
		if row.ExternalIDs["owner"] == Owner && row.ExternalIDs["role"] == external {
			c.External = next
		}
	}
	if c.External != exitAddress.Addr() {
		c.Exit = nil // a way in
	}
	if u := uplinkAt(seen, g); u != nil {
		c.Uplink = u
	}
}

// exit adds what the gateway router's port on the join switch says.
func (c *candidate) exit(p *ovn.RouterPortRow) {
	c.Exit, c.NoNAT = slices.Clone(p.Networks), p.ExternalIDs["nat"] == options.NATNone
}

// holds reports whether one of the addresses is in a subnet of the transit network:
// a router may have another place on its switch.
func (c candidate) holds(addresses []netip.Prefix) bool {
	return slices.ContainsFunc(addresses, func(a netip.Prefix) bool {
		return slices.ContainsFunc(c.Gateways, func(g netip.Prefix) bool { return g.Masked() == a.Masked() })
	})
}

// add adds addresses of the gateway router that are not known yet.
func (c *candidate) add(gateways ...netip.Prefix) {
	for _, g := range gateways {
		if !slices.Contains(c.Gateways, g) {
			c.Gateways = append(c.Gateways, g)
		}
	}
}
