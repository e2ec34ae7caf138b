package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
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
	all      []mirror // by output
	refused  map[string]error
}

type mirror struct {
	output   ovs.Port // "" while the container is not there
	key      string   // of the row, whatever its output has become
	to       options.Destination
	bridge   ovs.Bridge
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
		one := mirror{output: n.mirrorOutput(to, on[n.ID]), key: n.Options.MirrorDest, to: to, bridge: n.Bridge(), tenant: n.Options.TenantID, mtu: n.MTU, networks: []string{n.ID}}
		if to.Kind == options.MirrorContainer {
			one.key += " on " + n.ID
		}
		for _, e := range on[n.ID] {
			if port := ovs.Port(e.HostLink()); n.mirrors(e) && port != one.output {
				one.ports = append(one.ports, port)
			}
		}
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
		have.mtu = max(have.mtu, one.mtu)
		have.networks, have.ports = append(have.networks, one.networks...), append(have.ports, one.ports...)
	}
}

// mirrorOutput is the port that the network's mirror leads to.
func (n Network) mirrorOutput(to options.Destination, on []Endpoint) ovs.Port {
	switch to.Kind {
	case options.MirrorPort:
		return ovs.Port(to.Name)
	case options.MirrorContainer:
		for _, e := range on {
			if e.Container == to.Name {
				return ovs.Port(e.HostLink())
			}
		}
		return ""
	default:
		sum := sha256.Sum256([]byte(string(to.Kind) + to.Address.String()))
		return ovs.Port("ocm" + hex.EncodeToString(sum[:6]))
	}
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

// Idle reports whether there is nothing to mirror.
func (m Mirrors) Idle() bool { return len(m.all) == 0 }

// Plan returns what the host lacks of the mirrors, and what it has of ours and should
// not; and which networks cannot have theirs, and why. Links are those of the host, by
// name.
func (m Mirrors) Plan(h Host, seen ovs.Inventory, links map[string]bool) (plan.Plan, map[string]error) {
	w := mirroring{Mirrors: m, host: h, seen: seen, links: links, refused: maps.Clone(m.refused), keep: map[string]bool{}}
	bridges := map[ovs.Bridge]int{}
	for b, marks := range seen.Bridges {
		bridges[b] = len(marks.Mirrors)
	}
	for _, row := range seen.Mirrors {
		if w.ours(row.ExternalIDs) {
			bridges[w.bridgeOf(row)]--
		}
	}
	outputs := map[ovs.Port]bool{}
	for _, one := range m.all {
		if bridges[one.bridge]++; bridges[one.bridge] > ovs.MaxMirrors {
			w.refuse(one, fmt.Errorf("bridge %q has %d mirrors, which is all that it can have: use the mirror.dest of another network", one.bridge, ovs.MaxMirrors))
			continue
		}
		if why := w.output(one); why != nil {
			w.refuse(one, why)
			continue
		}
		if outputs[one.output] = true; one.output != "" {
			w.row(one)
		}
	}
	for _, row := range seen.Mirrors {
		if w.ours(row.ExternalIDs) && !w.keep[row.UUID] {
			w.rows = append(w.rows, ovs.MirrorDelete(w.bridgeOf(row), row))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen.Interfaces)) {
		if ids := seen.Interfaces[name].ExternalIDs; w.ours(ids) && ids["role"] == roleMirror && !outputs[name] {
			w.rows = append(w.rows, ovs.PortDelete(name))
		}
	}
	local := ovs.Local(h.OVSDB)
	return plan.New(plan.Step{Target: local, Ops: w.unplug}, plan.Step{Target: local, Ops: w.ports}, plan.Step{Target: link.Sysctl(), Ops: w.sysctls},
		plan.Step{Target: link.Batch(), Ops: w.link}, plan.Step{Target: local, Ops: w.rows}), w.refused
}

// mirroring is the work on a plan.
type mirroring struct {
	Mirrors
	host    Host
	seen    ovs.Inventory
	links   map[string]bool
	refused map[string]error
	keep    map[string]bool // rows, by UUID

	unplug, ports, sysctls, link, rows []plan.Op
}

func (w *mirroring) ours(ids map[string]string) bool {
	return ids["owner"] == Owner && ids["instance"] == w.instance
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

// output sees to the port that the mirror leads to.
func (w *mirroring) output(one mirror) error {
	name := one.output
	port, there := w.seen.Ports[name]
	have := w.seen.Interfaces[name]
	_, isBridge := w.seen.Bridges[ovs.Bridge(name)]
	foreign := have.ExternalIDs["owner"] == Owner && !(w.ours(have.ExternalIDs) && have.ExternalIDs["role"] == roleMirror)
	switch {
	case one.to.Kind == options.MirrorContainer:
		return nil
	case isBridge:
		return fmt.Errorf("mirror.dest %q is a bridge: give the name of a port", name)
	case foreign && have.ExternalIDs["endpoint_id"] != "":
		return fmt.Errorf("mirror.dest %q is a container's port: write container:NAME", name)
	case foreign:
		return fmt.Errorf("mirror.dest %q is a port that this plugin, or another instance of it, needs for something else: choose another name", name)
	case there && port.Bridge != one.bridge:
		return fmt.Errorf("mirror.dest %q is a port of bridge %q, and only ports of bridge %q can be mirrored to: choose another name", name, port.Bridge, one.bridge)
	case !there && w.links[string(name)]:
		return fmt.Errorf("mirror.dest %q is a link of this host that is no port of bridge %q: add it (ovs-vsctl add-port %[2]s %[1]s), or choose another name", name, one.bridge)
	case there && have.ExternalIDs["owner"] == "":
		return nil // an administrator's
	}
	marks := ids("instance", w.instance, "role", roleMirror, "tenant_id", one.tenant, "mtu", strconv.Itoa(one.mtu))
	if !there || have.Error != "" || !holds(have.ExternalIDs, marks) {
		if there && have.Error != "" {
			w.unplug = append(w.unplug, ovs.PortDelete(name))
		}
		set := ovs.MonitorSet(name, one.mtu)
		if one.to.Kind != options.MirrorPort {
			set = ovs.TunnelSet(name, string(one.to.Kind), one.to.Address)
		}
		w.ports = append(w.ports, ovs.PortAdd(one.bridge, name), set, ovs.InterfaceSet(name, marks))
	}
	if fresh := !there || have.Error != "" || have.Down; fresh && one.to.Kind == options.MirrorPort {
		w.listen(string(name))
	}
	return nil
}

// listen has the host's link do nothing but listen: what is mirrored to it is for
// whoever reads packets there, and not for the host, which would answer, or take a
// router's advertisement for its own.
func (w *mirroring) listen(name string) {
	if w.host.IPv6 {
		w.sysctls = append(w.sysctls, link.SpeakIPv6(name, false))
	}
	w.sysctls = append(w.sysctls, link.StrictReverse(name))
	w.link = append(w.link, link.NoARP(name), link.Up(name))
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
		if !slices.Equal(row.From, ports) || !slices.Equal(row.To, ports) || row.Output != one.output || !holds(row.ExternalIDs, marks) {
			w.rows = append(w.rows, ovs.MirrorSet(row, uuids, one.output, marks)...)
		}
		return
	}
	w.rows = append(w.rows, ovs.MirrorAdd(one.bridge, one.key, uuids, one.output, marks)...)
}
