package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// A fence keeps an --internal network from a way out that its router, or the
// gateway router of its transit network, has for others: one policy drops what
// comes from it, and one of a higher priority lets through what stays among the
// networks that are connected.
const (
	fenceKey     = "fence" // = "inside" or "outside"
	fenceInside  = 1001
	fenceOutside = 1000
)

// fence sees to the policies of a router that leads out. Inside are the subnets
// that are connected; transit is the gateway router's switch, "" for another router.
func (w *wiring) fence(r routerAt, inside []netip.Prefix, transit string) {
	within := staysIn(inside)
	var allow *ovn.PolicyRow
	missing := map[string]bool{}
	for _, s := range w.n.Subnets {
		missing[passes(s.Pool)] = w.n.Internal
	}
	marks := w.used("transit", transit)
	if r.row != nil {
		for _, p := range w.seen.PoliciesOf(*r.row) {
			switch {
			case p.ExternalIDs["owner"] != Owner:
			case p.ExternalIDs[fenceKey] == "inside":
				allow = &p
			case missing[p.Match]:
				missing[p.Match] = false
				w.markUser("Logical_Router_Policy", p.UUID, p.ExternalIDs, marks)
			}
		}
	}
	if allow != nil && allow.Match != within {
		w.c.PolicyMatch(*allow, within)
	}
	if !w.n.Internal {
		return
	}
	if allow == nil {
		w.guardPolicies(r)
		w.c.PolicyInsert(r.ref, fenceInside, within, "allow", w.used("transit", transit, fenceKey, "inside"))
	} else {
		w.markUser("Logical_Router_Policy", allow.UUID, allow.ExternalIDs, marks)
	}
	for _, match := range slices.Sorted(maps.Keys(missing)) {
		if missing[match] {
			w.guardPolicies(r)
			w.c.PolicyInsert(r.ref, fenceOutside, match, "drop", w.used("transit", transit, fenceKey, "outside"))
		}
	}
}

func (w *wiring) guardPolicies(r routerAt) {
	if r.row != nil {
		w.c.RouterPolicies(*r.row)
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip4"
	}
	return "ip6"
}

// passes is the match of what comes from the subnet or goes there.
func passes(subnet netip.Prefix) string {
	return fmt.Sprintf("%[1]s.src == %[2]s || %[1]s.dst == %[2]s", family(subnet.Addr()), subnet)
}

// staysIn is the match of what comes from one of the subnets and goes to one.
func staysIn(inside []netip.Prefix) string {
	var parts []string
	for _, zero := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		var list []string
		for _, p := range inside {
			if p.Addr().Is4() == zero.Is4() {
				list = append(list, p.Masked().String())
			}
		}
		slices.Sort(list)
		if list = slices.Compact(list); len(list) > 0 {
			parts = append(parts, fmt.Sprintf("%[1]s.src == {%[2]s} && %[1]s.dst == {%[2]s}", family(zero), strings.Join(list, ", ")))
		}
	}
	return strings.Join(parts, " || ")
}

// insideOf are the subnets that the gateway router of a transit network leads to.
func (w *wiring) insideOf(g routerAt, to Attachment) []netip.Prefix {
	inside := slices.Clone(to.Gateways)
	for _, s := range w.n.Subnets {
		inside = append(inside, s.Pool)
	}
	for _, row := range routes(w.seen, g.row) {
		if p, err := netip.ParsePrefix(row.Prefix); err == nil && row.ExternalIDs["router"] != "" && row.ExternalIDs["owner"] == Owner {
			inside = append(inside, p)
		}
	}
	return inside
}

// beside are the subnets of the router's networks, and of this one.
func (w *wiring) beside(r routerAt) []netip.Prefix {
	var inside []netip.Prefix
	for _, s := range w.n.Subnets {
		inside = append(inside, s.Pool)
	}
	for _, at := range places(w.seen, r.row) {
		if at.port.ExternalIDs[uplinkKey] == "" && at.port.Name != portName(r.name, JoinSwitch) {
			inside = append(inside, at.port.Networks...)
		}
	}
	return inside
}
