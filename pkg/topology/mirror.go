package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// roleMirror marks, as external_ids:role, ports that were made for mirrors to lead to.
const roleMirror = "mirror"

// Mirrors are what this host mirrors of its networks' endpoints. Open vSwitch does it,
// not OVN: that mirrors to tunnels only, and not before 22.12. One mirror has one
// output, whichever networks lead there: a bridge has few.
type Mirrors struct {
	instance string
	// Mine says of a network that it is, or was, one of this plugin's, which may have
	// lost its identity.
	Mine    func(network string) bool
	all     []mirror // by output
	refused map[string]error
}

type mirror struct {
	output   ovs.Port // "" while the container is not there
	sandbox  string   // of that
	key      string   // of the row, whatever its output has become
	to       options.Destination
	bridge   ovs.Bridge
	datapath string
	tenant   string
	mtu      int // the largest of the networks'
	networks []string
	ports    []ovs.Port
}

// mirrorKey marks, in external_ids of a mirror, what its output is.
const mirrorKey = "destination"

// MirrorsOf returns the mirrors that the networks ask for; of those that cannot all
// have theirs the last goes without.
func MirrorsOf(instance string, networks []Network, endpoints []Endpoint) Mirrors {
	m := Mirrors{instance: instance, refused: map[string]error{}}
	on := map[string][]Endpoint{}
	for _, e := range endpoints {
		on[e.NetworkID] = append(on[e.NetworkID], e)
	}
	for _, n := range networks {
		to, ok := n.Options.Destination()
		if !ok {
			continue
		}
		one := mirror{key: n.Options.MirrorDest, to: to, bridge: n.Bridge(), datapath: n.Datapath, tenant: n.Options.TenantID, mtu: n.MTU, networks: []string{n.ID}}
		for _, e := range on[n.ID] {
			switch {
			case to.Kind == options.MirrorContainer && e.Container == to.Name:
				one.sandbox = e.Sandbox
			case n.mirrors(e):
				one.ports = append(one.ports, ovs.Port(e.HostLink()))
			}
		}
		one.output = one.port()
		m.add(one)
	}
	return m
}

func (m *Mirrors) add(one mirror) {
	i := slices.IndexFunc(m.all, func(have mirror) bool { return have.key == one.key })
	switch {
	case i < 0:
		m.all = append(m.all, one)
	case m.all[i].tenant != one.tenant:
		m.refused[one.networks[0]] = fmt.Errorf("mirror.dest %q is that of network %.12s, of %s, and this network belongs to %s: use another mirror.dest",
			one.key, m.all[i].networks[0], tenantText(m.all[i].tenant), tenantText(one.tenant))
	default:
		have := &m.all[i]
		if have.output == "" {
			have.output, have.sandbox = one.output, one.sandbox
		}
		have.mtu = max(have.mtu, one.mtu)
		have.networks, have.ports = append(have.networks, one.networks...), append(have.ports, one.ports...)
	}
}

// port names the port that the mirror leads to.
func (one mirror) port() ovs.Port {
	of := one.key
	switch one.to.Kind {
	case options.MirrorPort:
		return ovs.Port(one.to.Name)
	case options.MirrorContainer:
		if !strings.HasPrefix(one.sandbox, "/") { // of one whose record was lost, it is not known
			return ""
		}
		of = one.sandbox
	}
	sum := sha256.Sum256([]byte(of))
	return ovs.Port("ocm" + hex.EncodeToString(sum[:6]))
}

// mirrors reports whether the endpoint is one of those that are mirrored.
func (n Network) mirrors(e Endpoint) bool {
	if e.Mirror != nil {
		return *e.Mirror
	}
	return slices.ContainsFunc(n.Options.MirrorPorts, func(p string) bool {
		return p == options.MirrorAll || p == e.MAC || e.Container != "" && p == e.Container ||
			slices.ContainsFunc(e.Addresses, func(a netip.Prefix) bool { return p == a.Addr().String() })
	})
}

// MirroredOrMirror reports whether a mirror changes with the endpoint.
func (n Network) MirroredOrMirror(e Endpoint) bool {
	to, ok := n.Options.Destination()
	return ok && (n.mirrors(e) || to.Kind == options.MirrorContainer && to.Name == e.Container)
}

// validateMirror refuses a mirror that would mirror itself.
func (n Network) validateMirror() error {
	to, _ := n.Options.Destination()
	for _, s := range n.Subnets {
		if to.Address.IsValid() && s.Pool.Contains(to.Address) {
			return fmt.Errorf("mirror.dest %q is an address of the network itself, whose packets would be mirrored again: use container:NAME, or a machine elsewhere", n.Options.MirrorDest)
		}
	}
	return nil
}

// Collectors are the machines that mirrors lead to.
func (m Mirrors) Collectors() []netip.Addr {
	var all []netip.Addr
	for _, one := range m.all {
		if one.to.Address.IsValid() {
			all = append(all, one.to.Address)
		}
	}
	return all
}

// wrapping is what a mirror's tunnel adds to a frame over IPv4, in bytes; IPv6 adds 20
// more. ERSPAN numbers its packets.
var wrapping = map[options.DestinationKind]int{options.MirrorGRE: 24, options.MirrorERSPAN: 36}

// cut is the length that frames are cut to; 0 for none. The kernel sends what is too
// long for the way in fragments, the userspace datapath drops it.
func (w *mirroring) cut(one mirror) int {
	room := w.ways[one.to.Address] - wrapping[one.to.Kind]
	if one.to.Address.Is6() {
		room -= 20
	}
	if one.datapath != Userspace || w.ways[one.to.Address] == 0 || room >= one.mtu+ethernet {
		return 0
	}
	return room
}

// ethernet is the length of a frame's header, with a VLAN tag.
const ethernet = 18

// Idle reports whether there is nothing to mirror.
func (m Mirrors) Idle() bool { return len(m.all) == 0 }

// Plans returns what the host lacks of the mirrors, and what it has of ours and should
// not: those that lead into containers each by itself, which may end meanwhile. It also
// returns which networks cannot have theirs, and why. Links are those of the host, by
// name, and ways the MTUs of those that lead to Collectors.
func (m Mirrors) Plans(h Host, seen ovs.Inventory, links map[string]bool, ways map[netip.Addr]int) ([]plan.Plan, map[string]error) {
	all := &mirroring{Mirrors: m, host: h, seen: seen, links: links, ways: ways, refused: maps.Clone(m.refused), keep: map[string]bool{}}
	bridges := map[ovs.Bridge]int{}
	for b, marks := range seen.Bridges {
		bridges[b] = len(marks.Mirrors)
	}
	for _, row := range seen.Mirrors {
		if all.ours(row.ExternalIDs) {
			bridges[all.bridgeOf(row)]--
		}
	}
	outputs := map[ovs.Port]bool{}
	var inside []plan.Plan
	for _, one := range m.all {
		if bridges[one.bridge]++; bridges[one.bridge] > ovs.MaxMirrors {
			all.refuse(one, fmt.Errorf("bridge %q has %d mirrors, which is all that it can have: use the mirror.dest of another network", one.bridge, ovs.MaxMirrors))
			continue
		}
		w := all
		if one.to.Kind == options.MirrorContainer {
			w = &mirroring{Mirrors: m, host: h, seen: seen, links: links, keep: all.keep}
		}
		if why := w.output(&one); why != nil {
			all.refuse(one, why)
			continue
		}
		if outputs[one.output] = true; one.output != "" {
			w.row(one)
		}
		if w != all {
			inside = append(inside, w.plan())
		}
	}
	for _, row := range seen.Mirrors {
		if all.ours(row.ExternalIDs) && !all.keep[row.UUID] {
			all.rows = append(all.rows, ovs.MirrorDelete(all.bridgeOf(row), row))
			all.touch(row.From)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen.Interfaces)) {
		ids := seen.Interfaces[name].ExternalIDs
		if !all.ours(ids) || ids["role"] != roleMirror || outputs[name] {
			continue
		}
		all.rows = append(all.rows, ovs.PortDelete(name))
		if ids["sandbox"] != "" && links[string(name)] {
			all.gone = append(all.gone, link.Delete(string(name)))
		}
	}
	return slices.DeleteFunc(append([]plan.Plan{all.plan()}, inside...), plan.Plan.Empty), all.refused
}

// mirroring is the work on a plan.
type mirroring struct {
	Mirrors
	host    Host
	seen    ovs.Inventory
	links   map[string]bool
	ways    map[netip.Addr]int
	refused map[string]error
	keep    map[string]bool // rows, by UUID

	unplug, veth, ports, sysctls, link, rows, gone []plan.Op
}

func (w *mirroring) plan() plan.Plan {
	local := ovs.Local(w.host.OVSDB)
	return plan.New(plan.Step{Target: local, Ops: w.unplug}, plan.Step{Target: link.Batch(), Ops: w.veth}, plan.Step{Target: local, Ops: w.ports},
		plan.Step{Target: link.Sysctl(), Ops: w.sysctls}, plan.Step{Target: link.Batch(), Ops: w.link}, plan.Step{Target: local, Ops: w.rows}, plan.Step{Target: link.Batch(), Ops: w.gone})
}

func (w *mirroring) ours(ids map[string]string) bool {
	mine := w.Mine != nil && slices.ContainsFunc(strings.Fields(ids["network_id"]), w.Mine)
	return ids["owner"] == Owner && (ids["instance"] == w.instance || mine)
}

func (w *mirroring) refuse(one mirror, why error) {
	for _, id := range one.networks {
		w.refused[id] = why
	}
}

func (w *mirroring) bridgeOf(row ovs.MirrorRow) ovs.Bridge {
	for _, b := range slices.Sorted(maps.Keys(w.seen.Bridges)) {
		if slices.Contains(w.seen.Bridges[b].Mirrors, row.UUID) {
			return b
		}
	}
	return ""
}

// row sees to the mirror itself.
func (w *mirroring) row(one mirror) {
	var ports []ovs.Port
	var uuids []string
	slices.Sort(one.ports)
	for _, p := range one.ports {
		if at, there := w.seen.Ports[p]; there && at.Bridge == one.bridge {
			ports, uuids = append(ports, p), append(uuids, at.UUID)
		}
	}
	marks := ids("instance", w.instance, "tenant_id", one.tenant, mirrorKey, one.key, "network_id", strings.Join(one.networks, " "))
	for _, row := range w.seen.Mirrors {
		if !w.ours(row.ExternalIDs) || row.ExternalIDs[mirrorKey] != one.key || w.bridgeOf(row) != one.bridge {
			continue
		}
		w.keep[row.UUID] = true
		if !slices.Equal(row.From, ports) || !slices.Equal(row.To, ports) || row.Output != one.output || row.Cut != w.cut(one) || !holds(row.ExternalIDs, marks) {
			w.rows = append(w.rows, ovs.MirrorSet(row, uuids, one.output, w.cut(one), marks)...)
			w.touch(append(ports, row.From...))
		}
		return
	}
	w.rows = append(w.rows, ovs.MirrorAdd(one.bridge, one.key, uuids, one.output, w.cut(one), marks)...)
	w.touch(ports)
}

// touch has a change of a mirror of the ports apply to flows that are in use.
func (w *mirroring) touch(ports []ovs.Port) {
	for _, p := range ports {
		if seen, there := w.seen.Ports[p]; there {
			w.rows = append(w.rows, ovs.PortTouch(p, seen))
			return
		}
	}
}
