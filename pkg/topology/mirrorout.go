package topology

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
)

// output sees to the port that the mirror leads to.
func (w *mirroring) output(one *mirror) error {
	if one.to.Kind == options.MirrorContainer {
		return w.inside(one)
	}
	name := one.output
	port, there := w.seen.Ports[name]
	have := w.seen.Interfaces[name]
	_, isBridge := w.seen.Bridges[ovs.Bridge(name)]
	foreign := have.ExternalIDs["owner"] == Owner && (!w.ours(have.ExternalIDs) || have.ExternalIDs["role"] != roleMirror)
	switch {
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
	marks := w.marks(*one)
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

func (w *mirroring) marks(one mirror) map[string]string {
	return ids("instance", w.instance, "role", roleMirror, "tenant_id", one.tenant, mirrorKey, one.key, "sandbox", one.sandbox, "mtu", strconv.Itoa(one.mtu), "network_id", strings.Join(one.networks, " "))
}

// MirrorLink is the link that a container has which a mirror leads to.
const MirrorLink = "mirror0"

// inside sees to a link of the container's own that the mirror leads to: from a port
// that a mirror leads to Open vSwitch takes nothing (ofproto-dpif-xlate.c,
// xlate_actions), and the container would be cut off.
func (w *mirroring) inside(one *mirror) error {
	if one.output == "" && one.sandbox != "" {
		for _, name := range slices.Sorted(maps.Keys(w.seen.Interfaces)) {
			have := w.seen.Interfaces[name]
			if w.ours(have.ExternalIDs) && have.ExternalIDs["role"] == roleMirror && have.ExternalIDs[mirrorKey] == one.key && have.Error == "" {
				one.output = name
				return nil
			}
		}
		return fmt.Errorf("mirror.dest %q: the container runs since before this plugin's records were lost, restart it (docker restart %s)", one.key, one.to.Name)
	}
	name := one.output
	port, there := w.seen.Ports[name]
	have, marks := w.seen.Interfaces[name], w.marks(*one)
	if name == "" || there && port.Bridge == one.bridge && have.Error == "" && w.links[string(name)] && holds(have.ExternalIDs, marks) {
		return nil
	}
	if there {
		w.unplug = append(w.unplug, ovs.PortDelete(name))
	}
	if w.links[string(name)] { // its other end may be anywhere
		w.veth = append(w.veth, link.Delete(string(name)))
	}
	peer := "ocp" + strings.TrimPrefix(string(name), "ocm")
	w.veth = append(w.veth, link.VethAdd(string(name), peer, MAC(nil, peer), one.mtu))
	if w.host.IPv6 {
		w.veth = append(w.veth, link.NoLinkLocal(string(name)), link.NoLinkLocal(peer))
	}
	w.veth = append(w.veth, link.Up(string(name)), link.Into(peer, w.host.inside(one.sandbox), MirrorLink))
	w.ports = append(w.ports, ovs.PortAdd(one.bridge, name), ovs.InterfaceSet(name, marks))
	return nil
}

// inside is a path of the host, below its /run, as this process sees it.
func (h Host) inside(path string) string {
	for _, run := range []string{"/var/run/", "/run/"} {
		if rest, ok := strings.CutPrefix(path, run); ok {
			return h.Run + "/" + rest
		}
	}
	return path
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
