package topology

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Tenants with address spaces of their own may have the same subnets, and the host
// can have one route to each. So on the routers of such networks ("apart") every
// endpoint has an address of its own on the join switch, which OVN translates both
// ways on the chassis that the endpoint is on (ovn-nb(5), NAT, logical_port and
// external_mac): the host never sees the others. It costs some 16 flows an endpoint,
// which is why other routers are led out without.

// outside are these addresses: the half of the join switch's that routers do not use,
// which begin at its top.
var (
	outside  = netip.PrefixFrom(exitAddress.Masked().Addr(), exitAddress.Bits()+1)
	outside6 = netip.PrefixFrom(exitSix(outside.Addr()).Addr(), 96+outside.Bits())
)

// noChassis is a chassis that there is none of. OVN translates on an endpoint's own
// chassis only for a router port that some chassis is to have, and nothing may ever
// go by that one.
const noChassis = "no-chassis"

// ownSpace reports whether the network's tenant may have the same addresses as
// another one.
func (n Network) ownSpace() bool { return n.Gives() && n.Options.TenantID != "" }

// settleApart decides how the network's router is led out, for all its networks: as
// it is already; else by who may have its addresses too.
func (n Network) settleApart(seen ovn.Seen, known []Network) (Network, error) {
	if !n.LeadsOut() || n.IsTransit() {
		n.Apart = false
		return n, nil
	}
	if is, decided := n.decided(seen, known); decided {
		n.Apart = is
	} else if len(n.Exit) == 0 {
		n.Apart = n.ownSpace() && !n.Options.NoNAT
	}
	if n.Apart && n.Options.NoNAT {
		return n, fmt.Errorf("ovn.nat %q contradicts that of router %q, which belongs to a tenant with its own address space and leads out with translated addresses: use another ovn.router",
			n.Options.NAT(), n.Router())
	}
	return n, nil
}

func (n Network) decided(seen ovn.Seen, known []Network) (apart, decided bool) {
	for _, s := range seen.Named(JoinSwitch) {
		for _, r := range seen.RoutersNamed(n.Router()) {
			for _, at := range places(seen, &r) {
				if at.on(s) {
					return slices.ContainsFunc(seen.ChassisOf(*at.port), isNoChassis), true
				}
			}
		}
	}
	for _, o := range n.siblings(known) {
		if o.LeadsOut() && len(o.Exit) > 0 {
			return o.Apart, true
		}
	}
	return false, false
}

func isNoChassis(c ovn.ChassisRow) bool { return c.Chassis == noChassis }

// apart sees to it that OVN translates the addresses of the router's endpoints, or
// does not, at its port on the join switch.
func (w *wiring) apart(r routerAt) {
	s := switchAt{name: JoinSwitch}
	for _, row := range w.seen.Named(JoinSwitch) {
		s.row = &row
	}
	at := on(w.seen, r, s)
	have := at.port
	if w.n.Apart && at.link != nil && have != nil && !at.link.Follows() {
		w.c.LinkFollows(*at.link)
	}
	name := portName(r.name, JoinSwitch)
	port := w.made[name]
	var there []ovn.ChassisRow
	if have != nil {
		port, name = ovn.At(have.UUID), have.Name
		there = w.seen.ChassisOf(*have)
	}
	i := slices.IndexFunc(there, isNoChassis)
	switch {
	case w.n.Apart && i >= 0:
		w.markUser("Gateway_Chassis", there[i].UUID, there[i].ExternalIDs, w.used())
	case w.n.Apart:
		if have != nil {
			w.c.RouterPortChassis(*have)
		}
		w.c.ChassisInsert(port, name, noChassis, firstChassis, w.used())
	case i >= 0:
		w.c.RouterPortChassis(*have)
		w.c.ChassisDelete(*have, there[i].UUID)
	}
}

// Outside gives the endpoint of a network that is apart its address on the join
// switch, and returns what is missing of that in OVN; it keeps one that it has. The
// endpoint of any other network loses what it had of that.
func (n Network) Outside(e Endpoint, seen ovn.Seen) (Endpoint, plan.Plan, error) {
	c := ovn.NewChange(n.NB)
	if !n.Apart || len(e.Addresses) == 0 {
		e.Outside = netip.Addr{}
		for _, r := range seen.Routers {
			outsideDelete(c, r, seen, e.ID)
		}
		return e, c.Plan(), nil
	}
	rows := seen.RoutersNamed(n.Router())
	if len(rows) != 1 {
		return e, plan.Plan{}, fmt.Errorf("giving the endpoint an address outside: %w %q", ErrNoRouter, n.Router())
	}
	r, taken, have := rows[0], map[netip.Addr]bool{}, map[string]ovn.NATRow{}
	for _, rule := range seen.NATsOf(r) {
		if a, of := OutsideOf(rule); of == e.ID {
			have[rule.External], e.Outside = rule, a
		}
	}
	for _, rule := range seen.NATs {
		if a, ok := outsideFour(rule.External); ok && have[rule.External].UUID != rule.UUID {
			taken[a] = true
		}
	}
	if !e.Outside.IsValid() || taken[e.Outside] {
		a, err := freeOutside(e.ID, taken)
		if err != nil {
			return e, plan.Plan{}, err
		}
		outsideDelete(c, r, seen, e.ID)
		e.Outside, have = a, nil
	}
	w := &wiring{n: n, seen: seen, c: c}
	for _, a := range e.Addresses {
		external := e.outsideFor(a.Addr())
		if rule, there := have[external.String()]; there && rule.Logical == a.Addr().String() {
			w.markHost(rule)
			continue
		}
		c.NoNAT(external)
		c.RouterMarks(r)
		c.DistributedInsert(ovn.At(r.UUID), external, a.Addr(), e.SwitchPort(), MAC([]netip.Prefix{netip.PrefixFrom(e.Outside, exitAddress.Bits())}, ""),
			w.used("host", n.Host, "network_id", n.ID, "endpoint_id", e.ID))
	}
	return e, c.Plan(), nil
}

func outsideDelete(c *ovn.Change, r ovn.RouterRow, seen ovn.Seen, endpoint string) {
	for _, rule := range seen.NATsOf(r) {
		if _, of := OutsideOf(rule); of == endpoint {
			c.NATsDelete(r, rule.UUID)
		}
	}
}

// markHost has an endpoint's rule follow a host whose system-id has changed.
func (w *wiring) markHost(rule ovn.NATRow) {
	if rule.ExternalIDs["host"] != w.n.Host {
		w.c.NATStill(rule)
		w.c.Mark("NAT", rule.UUID, map[string]string{"host": w.n.Host})
	}
}

// freeOutside chooses by the endpoint's id, so that those that are made at the same
// time seldom choose the same.
func freeOutside(id string, taken map[netip.Addr]bool) (netip.Addr, error) {
	size := uint32(1) << (32 - outside.Bits())
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	base := outside.Addr().As4()
	first := binary.BigEndian.Uint32(base[:])
	for i := range size {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+(h.Sum32()+i)%size)
		if a := netip.AddrFrom4(b); a != outside.Addr() && a != exitAddress.Addr() && !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is left for another endpoint to lead out with: remove containers, or add --internal", outside)
}

// outsideFor is the endpoint's address on the join switch that stands for the one of
// that family.
func (e Endpoint) outsideFor(a netip.Addr) netip.Addr {
	if a.Is6() {
		return exitSix(e.Outside).Addr()
	}
	return e.Outside
}

// OutsideOf returns the IPv4 address outside, and the endpoint, that a rule is for; ""
// for any other rule.
func OutsideOf(rule ovn.NATRow) (netip.Addr, string) {
	a, ok := outsideFour(rule.External)
	if !ok || rule.ExternalIDs["owner"] != Owner || rule.Type != dnatAndSNAT {
		return netip.Addr{}, ""
	}
	return a, rule.ExternalIDs["endpoint_id"]
}

// outsideFour returns the IPv4 address outside that an address is, or goes with.
func outsideFour(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err == nil && outside6.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a, err == nil && outside.Contains(a)
}

// Reached returns the addresses by which the host reaches the endpoint.
func (n Network) Reached(e Endpoint) []netip.Addr {
	var all []netip.Addr
	for _, a := range e.Addresses {
		switch {
		case !n.Apart:
			all = append(all, a.Addr())
		case e.Outside.IsValid():
			all = append(all, e.outsideFor(a.Addr()))
		}
	}
	return all
}

// LedBy returns the subnets that lead the network out, as LeadOut's conflicts name
// them.
func (n Network) LedBy() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range n.Subnets {
		switch {
		case !n.Apart:
			all = append(all, s.Pool)
		case s.Pool.Addr().Is6():
			all = append(all, outside6)
		default:
			all = append(all, outside)
		}
	}
	return all
}
