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

// exitAddress6 is that of IPv6, and exitSix the address of a router that has the IPv4
// address there: no two have one.
var exitAddress6 = netip.MustParsePrefix("fd64::1/64")

func exitSix(four netip.Addr) netip.Prefix {
	b, v4 := exitAddress6.Addr().As16(), four.As4()
	copy(b[12:], v4[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), exitAddress6.Bits())
}

// exitAddresses are those of every host.
var exitAddresses = []netip.Prefix{exitAddress, exitAddress6}

// hostOn is the host's address of the other one's family.
func hostOn(other netip.Addr) netip.Prefix {
	if other.Is6() {
		return exitAddress6
	}
	return exitAddress
}

func exitMAC() string { return MAC([]netip.Prefix{exitAddress}, "") }

// LeadsOut reports whether the network's router leads out through the host: that
// of a network that is on no transit network and may have a way out, and that of a
// transit network whose external gateway is its own gateway address, which no
// machine on it can have.
func (n Network) LeadsOut() bool {
	switch {
	case n.Internal || !n.Routed() || len(n.Gateways()) == 0:
		return false
	case n.IsTransit():
		next := n.Options.ExternalGateway
		return next.IsValid() && n.hasGateway(next)
	}
	return n.Transit == nil && n.Options.TransitNetwork == "" && n.Uplink == nil
}

// LeadsIn reports whether the host leads to the network's router, for the ports
// that it publishes, though the way out is another, which knows nothing of them: a
// provider network, or a next hop on the transit network.
func (n Network) LeadsIn() bool {
	other := n.Uplink != nil || n.Transit != nil && n.Transit.leadsElsewhere()
	return other && !n.Internal && len(n.Gateways()) > 0
}

// settleExit chooses the address of the network's router on the join switch: the
// one that it has, the one that it had, or the highest that is free.
func (n Network) settleExit(seen ovn.Seen) (Network, error) {
	if !n.LeadsOut() && !n.LeadsIn() {
		n.Exit = nil
		return n, nil
	}
	for _, s := range n.Subnets {
		if host := hostOn(s.Pool.Addr()).Masked(); s.Pool.Overlaps(host) {
			return n, fmt.Errorf("subnet %s overlaps %s, by which routers lead out through the host: choose another --subnet, or add --internal", s.Pool, host)
		}
	}
	taken := map[netip.Addr]bool{exitAddress.Addr(): true}
	for _, s := range seen.Named(JoinSwitch) {
		for i := range seen.Routers {
			for _, at := range places(seen, &seen.Routers[i]) {
				if !at.on(s) {
					continue
				}
				if four := ofFamily(at.port.Networks, exitAddress.Addr()); seen.Routers[i].Name == n.Router() && four.IsValid() {
					n.Exit = n.exitAt(four)
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
	if four := ofFamily(n.Exit, exitAddress.Addr()); four.IsValid() && !taken[four] {
		n.Exit = n.exitAt(four)
		return n, nil
	}
	a, err := ipam.FromTop(exitAddress.Masked(), func(a netip.Addr) bool { return taken[a] })
	if err != nil {
		return n, fmt.Errorf("leading router %q out through the host: %w", n.Router(), err)
	}
	n.Exit = n.exitAt(a)
	return n, nil
}

// exitAt are the addresses of the network's router on the join switch: the IPv4
// address, by which routers are told apart, and that of IPv6 if the network has it.
func (n Network) exitAt(four netip.Addr) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(four, exitAddress.Bits())}
	if slices.ContainsFunc(n.Gateways(), func(g netip.Prefix) bool { return g.Addr().Is6() }) {
		all = append(all, exitSix(four))
	}
	return all
}

// exit sees to the router's place on the join switch, and to its default routes to
// the host.
func (w *wiring) exit(r routerAt) error {
	if err := w.meet(r, w.n.Exit, w.uses(w.n.Exit)); err != nil {
		return err
	}
	for _, a := range w.n.Exit {
		w.exitRoute(r, hostOn(a.Addr()).Addr())
	}
	return nil
}

func (w *wiring) exitRoute(r routerAt, next netip.Addr) {
	for _, row := range routes(w.seen, r.row) {
		switch {
		case row.Prefix != anywhere(next).String():
		case row.ExternalIDs["owner"] != Owner:
			return // an administrator's own way out
		case row.NextHop == next.String():
			w.markRoute(row)
			return
		}
	}
	w.addRoute(r, anywhere(next), next, w.row("role", "host", w.user(), w.n.Instance))
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
	if err := w.connect(r, s, addresses, marks); err != nil {
		return err
	}
	w.apart(r)
	return nil
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
		if !slices.Contains(ovn.Addresses(p.Addresses), exitAddress6.Addr()) { // of an earlier version
			w.c.LocalportAddresses(p, exitMAC(), exitAddresses)
		}
		return s, nil
	}
	w.there(s)
	w.c.LocalportInsert(s.ref, exitPort, exitMAC(), exitAddresses, marks)
	return s, nil
}
