package topology

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// defaultLease is how long an address of OVN's DHCP is good for, in seconds.
const defaultLease = 3600

// dhcpOptions are what OVN's DHCP tells in a subnet (ovn-nb(5), DHCP_Options); false
// when it does not answer there: it needs an address to answer from.
func (n Network) dhcpOptions(s Subnet) (map[string]string, bool) {
	if n.Options.DHCP != options.DHCPOVN || !s.Gateway.IsValid() {
		return nil, false
	}
	server := n.serverMAC(s.Gateway)
	if s.Pool.Addr().Is6() {
		o := map[string]string{"server_id": server}
		if dns := n.nameServers(s.Gateway); dns != "" {
			o["dns_server"] = dns
		}
		// No domain_search: ovn-controller sends its text as it is, not as names on the wire
		// (RFC 8415, 21.9), which clients throw away.
		return o, true
	}
	o := map[string]string{
		"server_id": s.Gateway.String(), "server_mac": server, "mtu": strconv.Itoa(n.MTU),
		"lease_time": strconv.Itoa(cmp.Or(n.Options.DHCPLease, defaultLease)),
	}
	// Otherwise nobody has that address, and another link of the container's is its way.
	if n.gatewayServes() {
		o["router"] = s.Gateway.String()
	}
	if dns := n.nameServers(s.Gateway); dns != "" {
		o["dns_server"] = dns
	}
	if d := n.Options.DHCPDomain; d != "" {
		o["domain_name"] = strconv.Quote(d) // ovn-controller wants the quotes
	}
	return o, true
}

// serverMAC is the MAC address that OVN's DHCP answers from: that of a router's port
// with the address.
func (n Network) serverMAC(a netip.Addr) string {
	w := &wiring{}
	return w.routerMAC(switchAt{}, []netip.Prefix{netip.PrefixFrom(a, a.BitLen())})
}

// gatewayServes reports whether somebody has the network's gateway addresses, and
// forwards: a router, or a machine on the wire.
func (n Network) gatewayServes() bool {
	return (n.Routed() || n.IsProvider() && !n.Internal) && n.Options.IPAM != options.IPAMExternal
}

// nameServers are those of one family, as OVN writes a list.
func (n Network) nameServers(family netip.Addr) string {
	var all []string
	for _, a := range n.Options.DHCPDNS {
		if a.Is4() == family.Is4() {
			all = append(all, a.String())
		}
	}
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// dhcpRows are the rows of the network.
func (n Network) dhcpRows(seen ovn.Seen) []ovn.DHCPRow {
	return slices.DeleteFunc(slices.Clone(seen.DHCP), func(d ovn.DHCPRow) bool {
		_, mine := d.ExternalIDs[userPrefix+n.ID]
		return !mine || d.ExternalIDs["owner"] != Owner
	})
}

// settleDHCP finds the rows that the network's ports are to refer to.
func (n Network) settleDHCP(seen ovn.Seen) Network {
	n.DHCP = nil
	for _, d := range n.dhcpRows(seen) {
		if pool, err := netip.ParsePrefix(d.CIDR); err == nil {
			if n.DHCP == nil {
				n.DHCP = map[netip.Prefix]string{}
			}
			n.DHCP[pool] = d.UUID
		}
	}
	return n
}

// dhcp sees to what OVN's DHCP tells the network's ports.
func (w *wiring) dhcp() {
	have := w.n.dhcpRows(w.seen)
	for _, s := range w.n.Subnets {
		want, served := w.n.dhcpOptions(s)
		i := slices.IndexFunc(have, func(d ovn.DHCPRow) bool { return d.CIDR == s.Pool.String() })
		switch {
		case !served:
		case i < 0:
			same := slices.DeleteFunc(slices.Clone(have), func(d ovn.DHCPRow) bool { return d.ExternalIDs[w.user()] != w.n.Instance })
			w.c.NoDHCP(map[string]string{w.user(): w.n.Instance}, same)
			w.c.DHCPInsert(s.Pool, want, w.used())
		default:
			if !maps.Equal(have[i].Options, want) {
				w.c.DHCPOptions(have[i], want)
			}
			w.markUser("DHCP_Options", have[i].UUID, have[i].ExternalIDs, w.used())
		}
	}
}

// dhcpOf returns the rows, of both families, that answer the endpoint; "" for none.
func (n Network) dhcpOf(e Endpoint) (v4, v6 string) {
	for pool, row := range n.DHCP {
		if !slices.ContainsFunc(e.Addresses, func(a netip.Prefix) bool { return pool.Contains(a.Addr()) }) {
			continue
		}
		if pool.Addr().Is4() {
			v4 = row
		} else {
			v6 = row
		}
	}
	return v4, v6
}

// ServesDHCP reports whether OVN answers the DHCP requests of the network's
// containers.
func (n Network) ServesDHCP() bool { return n.Options.DHCP == options.DHCPOVN }

// advertise has the router tell IPv6 containers that their addresses come from DHCP: a
// client asks only when it is told to (RFC 4861, 4.2), and one that made an address of
// its own could not use it.
func (w *wiring) advertise(r routerAt, s switchAt) {
	six := slices.ContainsFunc(w.n.Gateways(), func(g netip.Prefix) bool { return g.Addr().Is6() })
	if !six || !w.n.ServesDHCP() {
		return
	}
	// Which network leads a container out is Docker's choice: its route is of medium preference.
	want := map[string]string{
		"address_mode": "dhcpv6_stateful", "send_periodic": "true", "router_preference": "LOW", "mtu": strconv.Itoa(w.n.MTU),
	}
	if made, ok := w.made[portName(r.name, s.name)]; ok {
		w.c.Advertise(made, want)
		return
	}
	have := on(w.seen, r, s).port
	if have == nil || have.ExternalIDs["owner"] != Owner || len(lacks(have.Advertises, want)) == 0 {
		return
	}
	w.c.RouterPortStill(*have)
	w.c.Advertise(ovn.At(have.UUID), want)
}
