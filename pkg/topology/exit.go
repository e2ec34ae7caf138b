package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// JoinSwitch is the logical switch on which routers meet the host that they lead
// out through. It has one port for all hosts, a localport, which each of them
// binds to an interface of its own (ExitLink): so packets leave by the host that
// the container runs on, and nothing in OVN is per host or per container.
const JoinSwitch ovn.Switch = "ls-join"

// exitPort is that localport, and the iface-id of every host's ExitLink.
const exitPort ovn.SwitchPort = "ls-join:host"

// exitAddress is the address of every host on the join switch.
var exitAddress = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 1}), 16)

func exitMAC() string { return MAC([]netip.Prefix{exitAddress}, "") }

// LeadsOut reports whether the network's router leads out through the host: that
// of a network that is on no transit network and may have a way out, and that of a
// transit network whose external gateway is its own gateway address, which no
// machine on it can have.
func (n Network) LeadsOut() bool {
	switch {
	case n.Internal || !n.Routed() || !slices.ContainsFunc(n.Gateways(), func(g netip.Prefix) bool { return g.Addr().Is4() }):
		return false
	case n.IsTransit():
		next := n.Options.ExternalGateway
		return next.IsValid() && n.hasGateway(next)
	}
	return n.Transit == nil && n.Options.TransitNetwork == ""
}

// LeadsIn reports whether the host leads to the network's router, for the ports
// that it publishes, though the way out is another: a next hop on the transit
// network, which knows nothing of them.
func (n Network) LeadsIn() bool {
	return n.Transit != nil && !n.Internal && n.Transit.External.IsValid() && len(n.Transit.Exit) == 0 &&
		slices.ContainsFunc(n.Gateways(), func(g netip.Prefix) bool { return g.Addr().Is4() })
}

// settleExit chooses the address of the network's router on the join switch: the
// one that it has, the one that it had, or the highest that is free.
func (n Network) settleExit(seen ovn.Seen) (Network, error) {
	if !n.LeadsOut() && !n.LeadsIn() {
		n.Exit = nil
		return n, nil
	}
	for _, s := range n.Subnets {
		if s.Pool.Overlaps(exitAddress.Masked()) {
			return n, fmt.Errorf("subnet %s overlaps %s, by which routers lead out through the host: choose another --subnet, or add --internal", s.Pool, exitAddress.Masked())
		}
	}
	taken := map[netip.Addr]bool{exitAddress.Addr(): true}
	for _, s := range seen.Named(JoinSwitch) {
		for i := range seen.Routers {
			for _, at := range places(seen, &seen.Routers[i]) {
				if !at.on(s) {
					continue
				}
				if seen.Routers[i].Name == n.Router() {
					n.Exit = slices.Clone(at.port.Networks)
					return n, nil
				}
				for _, a := range at.port.Networks {
					taken[a.Addr()] = true
				}
			}
		}
	}
	for _, l := range seen.Links {
		if strings.HasPrefix(string(l.Name), string(JoinSwitch)+":") && l.Name != linkName(JoinSwitch, n.Router()) {
			for _, a := range ovn.Addresses(l.Addresses) {
				taken[a] = true
			}
		}
	}
	if len(n.Exit) > 0 && !taken[n.Exit[0].Addr()] {
		return n, nil
	}
	a, err := ipam.FromTop(exitAddress.Masked(), func(a netip.Addr) bool { return taken[a] })
	if err != nil {
		return n, fmt.Errorf("leading router %q out through the host: %w", n.Router(), err)
	}
	n.Exit = []netip.Prefix{netip.PrefixFrom(a, exitAddress.Bits())}
	return n, nil
}

// exit sees to the router's place on the join switch, and to its default route to
// the host.
func (w *wiring) exit(r routerAt) error {
	if err := w.meet(r, w.n.Exit, w.uses(w.n.Exit)); err != nil {
		return err
	}
	next := exitAddress.Addr()
	for _, row := range routes(w.seen, r.row) {
		switch {
		case row.Prefix != anywhere(next).String():
		case row.ExternalIDs["owner"] != Owner:
			return nil // an administrator's own way out
		case row.NextHop == next.String():
			w.markRoute(row)
			return nil
		}
	}
	w.addRoute(r, anywhere(next), next, w.row("role", "host", w.user(), w.n.Instance))
	return nil
}

// meet sees to the router's place on the join switch.
func (w *wiring) meet(r routerAt, addresses []netip.Prefix, marks map[string]string) error {
	s, err := w.joinSwitch()
	if err != nil {
		return err
	}
	if s.row != nil && on(w.seen, r, s).port == nil {
		w.c.SwitchPorts(*s.row) // an address is free as long as no port is added
	}
	return w.connect(r, s, addresses, marks)
}

// joinSwitch sees to the join switch and to the port of all hosts on it. Routers
// reach the host there, and not one another.
func (w *wiring) joinSwitch() (switchAt, error) {
	row, err := w.onlySwitch(JoinSwitch)
	if err != nil {
		return switchAt{}, err
	}
	s, marks := switchAt{name: JoinSwitch, row: row}, ids("instance", w.n.Instance, "role", "join")
	if row == nil {
		w.c.None("Logical_Switch", string(s.name))
		s.ref = w.c.SwitchInsert(s.name, marks)
	} else {
		s.ref = ovn.At(row.UUID)
	}
	if row == nil || !row.Guarded {
		w.there(s)
		w.c.DropInsert(s.ref, fmt.Sprintf("ip && eth.src != %s && eth.dst != %[1]s", exitMAC()), marks)
	}
	for _, p := range w.seen.Localports {
		if p.Name != exitPort {
			continue
		}
		if row == nil || !slices.Contains(row.Ports, p.UUID) {
			return s, fmt.Errorf("logical switch port %q is not on logical switch %q: remove it (ovn-nbctl lsp-del)", exitPort, JoinSwitch)
		}
		return s, nil
	}
	w.there(s)
	w.c.LocalportInsert(s.ref, exitPort, exitMAC(), []netip.Prefix{exitAddress}, marks)
	return s, nil
}
