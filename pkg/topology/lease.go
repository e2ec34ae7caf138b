package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// AddressSpace is the one of the plugin's own IPAM driver.
const AddressSpace = "ovs-container-network"

// leasePrefix: "lease-<first address>" = "<last address> <network id> <instance>", in
// external_ids of a switch, is a span of addresses that the network's host gives
// away. It is the switch's, for its ports are who must not share an address, and
// goes with it. A map with one entry for each span, changed only as it was seen,
// is what no two hosts can write at once.
const leasePrefix = "lease-"

// Gives reports whether the plugin's own IPAM driver gives the network's addresses.
func (n Network) Gives() bool { return n.AddressSpace == AddressSpace }

// lease is a span of addresses that a network's host gives away.
type lease struct {
	netipx.IPRange
	network, instance string
}

// leasesOn returns the leases of a switch, in order.
func leasesOn(s ovn.SwitchRow) []lease {
	var all []lease
	for key, value := range s.ExternalIDs {
		first, ok := strings.CutPrefix(key, leasePrefix)
		words := strings.Fields(value)
		if !ok || len(words) != 3 {
			continue
		}
		span, err := netipx.ParseIPRange(first + "-" + words[0])
		if err == nil && span.IsValid() {
			all = append(all, lease{span, words[1], words[2]})
		}
	}
	slices.SortFunc(all, func(a, b lease) int { return a.From().Compare(b.From()) })
	return all
}

// leased returns the spans of the network, and those of others.
func (n Network) leased(s ovn.SwitchRow) (mine, others []netipx.IPRange) {
	for _, l := range leasesOn(s) {
		if l.network == n.ID {
			mine = append(mine, l.IPRange)
		} else {
			others = append(others, l.IPRange)
		}
	}
	return mine, others
}

// LeasedElsewhere reports whether another network of the switch, most likely the same
// one's of another host, has leased the address.
func (n Network) LeasedElsewhere(seen ovn.Seen, a netip.Addr) bool {
	return slices.ContainsFunc(seen.Named(n.Switch()), func(s ovn.SwitchRow) bool {
		_, others := n.leased(s)
		return slices.ContainsFunc(others, func(r netipx.IPRange) bool { return r.Contains(a) })
	})
}

func (l lease) key() string { return leasePrefix + l.From().String() }

func marksOf(all ...lease) map[string]string {
	m := map[string]string{}
	for _, l := range all {
		m[l.key()] = strings.Join([]string{l.To().String(), l.network, l.instance}, " ")
	}
	return m
}

// leaseMarks are the marks of the network's leases.
func (n Network) leaseMarks() map[string]string {
	var all []lease
	for _, span := range n.Leases {
		all = append(all, lease{span, n.ID, n.Instance})
	}
	return marksOf(all...)
}

// settleLeases takes the network's leases from its switch: another host may have
// taken an address out of them. Where they are not, the database is another one than
// they were made in, and what nobody else has taken there is leased again.
func (n Network) settleLeases(seen ovn.Seen) Network {
	rows := seen.Named(n.Switch())
	if !n.Gives() || len(rows) != 1 {
		return n
	}
	mine, others := n.leased(rows[0])
	if len(mine) == 0 {
		mine = ipam.Without(n.Leases, others)
	}
	n.Leases = ipam.Joined(mine...)
	return n
}

// leases puts the network's leases on a switch that lacks them.
func (w *wiring) leases(s switchAt) {
	if s.row == nil {
		return // they are made with it
	}
	if lacking := lacks(s.row.ExternalIDs, w.n.leaseMarks()); len(lacking) > 0 {
		w.c.SwitchMarks(*s.row)
		w.c.Mark("Logical_Switch", s.row.UUID, lacking)
	}
}

// Lease returns what leases a span more of the pool to the network, or the asked
// address, when that is valid, and the network with it. Used are the addresses of
// the switch's ports. An address that is asked for is taken out of the span that
// another host has leased, and not given away.
func (n Network) Lease(seen ovn.Seen, pool ipam.Pool, asked netip.Addr, used []netip.Addr) (Network, plan.Plan, error) {
	rows := seen.Named(n.Switch())
	if len(rows) != 1 {
		return n.release(seen, asked, n.Leases)
	}
	for _, p := range seen.RouterPorts { // whose links may not name their addresses
		for _, a := range p.Networks {
			used = append(used, a.Addr())
		}
	}
	_, others := n.leased(rows[0])
	span, ok := pool.Lease(asked, n.Leases, others, used)
	switch {
	case !ok && asked.IsValid():
		return n, plan.Plan{}, fmt.Errorf("address %q of subnet %s is in use on logical switch %q: give another one with --ip, or remove what has it", asked, pool.Subnet, n.Switch())
	case !ok:
		return n, plan.Plan{}, fmt.Errorf("subnet %s is full: all that may be given of it is taken, here or by other hosts; remove containers, or use a larger subnet", poolText(pool))
	}
	return n.release(seen, asked, ipam.Joined(append(slices.Clone(n.Leases), span)...))
}

// Relet returns what gives the spans back to whoever needs them, and the network
// without them.
func (n Network) Relet(seen ovn.Seen, idle []netipx.IPRange) (Network, plan.Plan, error) {
	return n.release(seen, netip.Addr{}, ipam.Without(n.Leases, idle))
}

// Marked reports whether the network's switch says what it has leased.
func (n Network) Marked(seen ovn.Seen) bool {
	rows := seen.Named(n.Switch())
	return len(rows) != 1 || len(lacks(rows[0].ExternalIDs, n.leaseMarks())) == 0
}

// release has the network lease just these spans; the asked address, when it is
// valid, is taken out of another one's.
func (n Network) release(seen ovn.Seen, asked netip.Addr, spans []netipx.IPRange) (Network, plan.Plan, error) {
	rows := seen.Named(n.Switch())
	if len(rows) != 1 {
		return n, plan.Plan{}, fmt.Errorf("logical switch %q is there %d times: ovs-container-network reconcile makes it again", n.Switch(), len(rows))
	}
	row := rows[0]
	n.Leases = spans
	want := n.leaseMarks()
	c := ovn.NewChange(n.NB)
	c.SwitchMarks(row)
	if asked.IsValid() {
		n.split(c, row, asked)
	}
	var stale []string
	for _, l := range leasesOn(row) {
		if _, wanted := want[l.key()]; l.network == n.ID && !wanted {
			stale = append(stale, l.key())
		}
	}
	c.Unmark("Logical_Switch", row.UUID, stale...)
	if lacking := lacks(row.ExternalIDs, want); len(lacking) > 0 {
		c.Mark("Logical_Switch", row.UUID, lacking)
	}
	if got, _ := n.leased(row); len(leasesOn(row))-len(got)+len(spans) > maxLeases {
		return n, plan.Plan{}, fmt.Errorf("logical switch %q has more than %d spans of addresses leased to hosts: use several networks, or remove containers", n.Switch(), maxLeases)
	}
	return n, c.Plan(), nil
}

// maxLeases bounds what guards a change of the leases: it names them all, in one
// argument of a program (see ovn.Change).
const maxLeases = 600

func poolText(p ipam.Pool) string {
	if p.Range.IsValid() {
		return fmt.Sprintf("%s (--ip-range %s)", p.Subnet, p.Range)
	}
	return p.Subnet.String()
}

// split takes an address out of the span that another network has leased.
func (n Network) split(c *ovn.Change, row ovn.SwitchRow, a netip.Addr) {
	for _, l := range leasesOn(row) {
		if l.network == n.ID || !l.Contains(a) {
			continue
		}
		var rest []lease
		for _, span := range ipam.Without([]netipx.IPRange{l.IPRange}, []netipx.IPRange{netipx.IPRangeFrom(a, a)}) {
			rest = append(rest, lease{span, l.network, l.instance})
		}
		c.Unmark("Logical_Switch", row.UUID, l.key())
		if len(rest) > 0 {
			c.Mark("Logical_Switch", row.UUID, marksOf(rest...))
		}
	}
}

// unlease ends the network's leases on a switch.
func (d *dismantling) unlease(s ovn.SwitchRow) {
	for _, l := range leasesOn(s) {
		if l.network == d.network {
			d.unmarkSwitch(s, l.key())
		}
	}
}

// LookAtLeases is the read of the network's leases, and, with all, of what Lease
// builds on; SeenLeases reads its answer.
func (n Network) LookAtLeases(all bool) ovsdb.Transaction {
	if all {
		return ovn.LookAtRouting(n.NB, n.Switch())
	}
	return ovn.Look(n.NB, n.Switch())
}

// SeenLeases reads the answer, and returns the network with the leases that it has.
func (n Network) SeenLeases(results []ovsdb.Result, all bool) (Network, ovn.Seen) {
	read := ovn.ReadSeen
	if all {
		read = ovn.ReadRouting
	}
	seen := read(results)
	return n.settleLeases(seen), seen
}
