package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Chassis is what a network needs of the local chassis: one integration bridge
// and one southbound database (ovn-controller(8), "Configuration").
type Chassis struct {
	OVSDB    string // "unix:/var/run/openvswitch/db.sock"
	Instance string // of the plugin, which the bridge is marked with
	SystemID string // of a chassis that has none; "" for Instance
	Bridge   ovs.Bridge
	SB       string
	Encap    string // "" to keep or default to geneve
	EncapIP  string // "" to keep or default to EncapFrom
	// EncapFrom is the address that the host reaches SB from.
	EncapFrom string
	// Publish is the address that other hosts reach this one's OVN central at, "" for none.
	// Until then no other host has had a tunnel here, so that networks in use are no reason
	// to keep another address.
	Publish string
	// Physical is the physical network that the network leads to; "" for none. Mappings
	// are to be there then (PLUGIN_BRIDGE_MAPPINGS).
	Physical, Mappings string
	// InUse says that other networks of ours stand on the settings as they are.
	InUse bool
}

// Settled is the chassis after its plan: what the network then stands on.
type Settled struct {
	SystemID string
	EncapIP  string
	Encap    string
	Datapath string
}

// settingKeys are the external_ids that a chassis cannot do without.
var settingKeys = []string{"system-id", "ovn-bridge", "ovn-remote", "ovn-encap-type", "ovn-encap-ip"}

// Stands reports whether the chassis has what the network stands on. It says
// nothing of values: those that contradict belong to an administrator.
func (n Network) Stands(on ovs.Inventory) bool {
	_, bridge := on.Bridges[n.Bridge()]
	return bridge && (!n.IsProvider() || mapped(on.ExternalIDs[mappingsKey], n.Options.PhysicalNetwork) != "") && !slices.ContainsFunc(settingKeys, func(k string) bool { return on.ExternalIDs[k] == "" })
}

// Misplaced reports whether the chassis' tunnels end where no other host reaches them,
// since OVN central was not published before.
func Misplaced(on ovs.Inventory, publish string) bool {
	return publish != "" && split(on.ExternalIDs[settingsKey])["ovn-encap-ip"] && on.ExternalIDs["ovn-encap-ip"] != publish
}

// Datapath types of a bridge (ovs-vswitchd.conf.db(5), Bridge, datapath_type).
const (
	Kernel    = "system"
	Userspace = "netdev"
)

// settingsKey lists, in external_ids of the chassis, the keys that we set:
// those may be changed again and are taken away when the plugin is removed,
// all others belong to the administrator.
const settingsKey = "ovs-container-network"

// Plan returns what brings the chassis to what the network needs, as a plan
// that a failed create takes back. A setting of an administrator that
// contradicts is an error that names both values.
func (c Chassis) Plan(seen ovs.Chassis) (plan.Plan, Settled, error) {
	bridge, datapath, err := c.bridge(seen)
	if err != nil {
		return plan.Plan{}, Settled{}, err
	}
	// Another instance of the plugin may have containers on this host.
	inUse := c.InUse || seen.Interfaces > 0
	s := settings{seen: seen.ExternalIDs, ours: split(seen.ExternalIDs[settingsKey]), inUse: inUse}
	s.keep("system-id", cmp.Or(c.SystemID, c.Instance))
	s.want("ovn-bridge", string(c.Bridge), "bridge")
	s.want("ovn-remote", c.SB, "ovn.sb_connection")
	s.wantOr("ovn-encap-type", c.Encap, "geneve", "ovn.encap")
	if c.Publish != "" && c.EncapIP == "" && s.ours["ovn-encap-ip"] && seen.ExternalIDs["ovn-encap-ip"] != c.Publish {
		s.change("ovn-encap-ip", c.Publish)
	} else {
		s.wantOr("ovn-encap-ip", c.EncapIP, cmp.Or(c.Publish, c.EncapFrom), "ovn.encap_ip")
	}
	if datapath == Userspace {
		s.keep("ovn-bridge-datapath-type", Userspace)
	}
	if c.Physical != "" {
		s.bridges(c.Mappings)
		if s.err == nil && seen.Bridge != nil {
			s.err = c.leads(s.get(mappingsKey), datapath, seen.Bridges)
		}
	}
	if s.err != nil {
		return plan.Plan{}, Settled{}, s.err
	}
	settled := Settled{SystemID: s.get("system-id"), EncapIP: s.get("ovn-encap-ip"), Encap: s.get("ovn-encap-type"), Datapath: datapath}
	return plan.New(plan.Step{Target: ovs.Local(c.OVSDB), Ops: append(bridge, s.all()...)}), settled, nil
}

// mappingsKey names the bridges by which a chassis reaches physical networks:
// "NETWORK:BRIDGE,…" (ovn-controller(8), external_ids:ovn-bridge-mappings).
const mappingsKey = "ovn-bridge-mappings"

// mapped returns the bridge that leads to the physical network; "" when none does.
func mapped(mappings, physical string) string {
	for pair := range strings.SplitSeq(mappings, ",") {
		if name, bridge, _ := strings.Cut(strings.TrimSpace(pair), ":"); name == physical {
			return bridge
		}
	}
	return ""
}

// leads refuses a physical network that this host does not lead to.
func (c Chassis) leads(mappings, datapath string, bridges map[string]string) error {
	bridge := mapped(mappings, c.Physical)
	if bridge == "" {
		return fmt.Errorf("ovn.physical_network %q: this host has no bridge that leads there (external_ids:%s is %q): name it in PLUGIN_BRIDGE_MAPPINGS, as %s:BRIDGE", c.Physical, mappingsKey, mappings, c.Physical)
	}
	have, there := bridges[bridge]
	switch {
	case !there:
		return fmt.Errorf("ovn.physical_network %q: bridge %q, which leads there, is missing: make it (ovs-vsctl add-br %[2]s), and add this host's link to it (ovs-vsctl add-port %[2]s LINK)", c.Physical, bridge)
	case cmp.Or(have, Kernel) != datapath:
		return fmt.Errorf("ovn.physical_network %q: bridge %q has datapath type %q, and the integration bridge %q: packets pass only between bridges of one type, run: ovs-vsctl set bridge %[2]s datapath_type=%[4]s", c.Physical, bridge, cmp.Or(have, Kernel), datapath)
	}
	return nil
}

// Steady returns what lets ovn-controller start again without a loss: it then
// keeps the flows that it finds until it has read the database. It is no part
// of Plan because an ovn-controller that finds no flows would wait in vain, and
// the host's first container with it.
func Steady(ovsdb string, seen ovs.Chassis) plan.Plan {
	s := settings{seen: seen.ExternalIDs, ours: split(seen.ExternalIDs[settingsKey])}
	s.keep("ovn-ofctrl-wait-before-clear", "2000")
	return plan.New(plan.Step{Target: ovs.LocalNoWait(ovsdb), Ops: s.all()})
}

// Recompute returns what has ovn-controller compute all its flows anew, as it does
// after any change of its settings. Version 23.03 does not forward through a
// router's port that was deleted and is there again, until it does so.
func Recompute(ovsdb string, seen ovs.Chassis, stamp string) plan.Plan {
	s := settings{seen: seen.ExternalIDs, ours: split(seen.ExternalIDs[settingsKey])}
	s.change(settingsKey+"-repaired", stamp)
	return plan.New(plan.Step{Target: ovs.LocalNoWait(ovsdb), Ops: s.all()})
}

// bridge returns the commands that make the bridge, for the kernel's datapath,
// or that turn one without ports to the userspace datapath because the kernel
// has none. So a bridge that is new takes two plans where the kernel lacks the
// module, and one that was made by a plain "add-br" is mended.
func (c Chassis) bridge(seen ovs.Chassis) ([]plan.Op, string, error) {
	have := seen.Bridge
	if have == nil {
		columns := append([]string{"datapath_type=" + Kernel, "fail_mode=" + ovs.Secure, "other_config:disable-in-band=true"},
			ovsdb.Columns("external_ids", ids("instance", c.Instance))...)
		return []plan.Op{ovs.BridgeAdd(c.Bridge), ovs.BridgeSet(c.Bridge, columns...)}, Kernel, nil
	}
	var ops []plan.Op
	if have.FailMode != ovs.Secure {
		ops = append(ops, ovs.BridgeSecure(c.Bridge))
	}
	switch {
	case have.Datapath == Userspace:
		return ops, Userspace, nil
	case have.Open:
		return ops, Kernel, nil
	case have.Ports == 0:
		return append(ops, ovs.BridgeDatapath(c.Bridge, Userspace, have.Datapath)), Userspace, nil
	}
	return nil, "", fmt.Errorf("bridge %q has datapath type %q, which this host's kernel does not provide: load the openvswitch module, or run: ovs-vsctl set bridge %s datapath_type=%s",
		c.Bridge, cmp.Or(have.Datapath, Kernel), c.Bridge, Userspace)
}

// settings collects the changes to external_ids of the chassis, and the first
// contradiction.
type settings struct {
	seen  map[string]string
	ours  map[string]bool
	inUse bool
	ops   []plan.Op
	set   map[string]string
	err   error
}

// keep sets a key that has no value yet.
func (s *settings) keep(key, value string) {
	if s.seen[key] == "" {
		s.change(key, value)
	}
}

// want sets a key to what the network's option asks for.
func (s *settings) want(key, value, option string) {
	have := s.seen[key]
	switch {
	case have == value:
	case have == "" || s.ours[key] && !s.inUse:
		s.change(key, value)
	case s.err != nil:
	case s.ours[key]:
		s.err = fmt.Errorf("%s %q cannot be had: this host's networks use %q (one chassis has one), remove them first or use that", option, value, have)
	default:
		s.err = fmt.Errorf("%s %q contradicts this host's Open vSwitch, where external_ids:%s is %q: use that, or change it with ovs-vsctl", option, value, key, have)
	}
}

// wantOr is want for an option that may be left out, which then keeps what is
// there or sets the default.
func (s *settings) wantOr(key, value, byDefault, option string) {
	switch {
	case value != "":
		s.want(key, value, option)
	case s.ours[key] && !s.inUse:
		s.want(key, byDefault, option) // what it was set for may have moved
	default:
		s.keep(key, byDefault)
	}
}

// bridges sees to the bridges of physical networks, beside those that an administrator
// has named.
func (s *settings) bridges(mappings string) {
	have := s.seen[mappingsKey]
	lacking := ""
	for pair := range strings.SplitSeq(mappings, ",") {
		if name, bridge, ok := strings.Cut(pair, ":"); ok && mapped(have, name) != bridge {
			lacking = pair
		}
	}
	switch {
	case lacking == "":
	case have == "" || s.ours[mappingsKey]:
		s.change(mappingsKey, mappings)
	case s.err == nil:
		s.err = fmt.Errorf("PLUGIN_BRIDGE_MAPPINGS has %q, and this host's Open vSwitch external_ids:%s is %q: add it there (ovs-vsctl), or leave the setting empty", lacking, mappingsKey, have)
	}
}

func (s *settings) change(key, value string) {
	s.ops = append(s.ops, ovs.ConfigSet(key, value, s.seen[key]))
	if s.set == nil {
		s.set = map[string]string{}
	}
	s.set[key], s.ours[key] = value, true
}

// all returns the changes, and that of the list of our own keys.
func (s *settings) all() []plan.Op {
	if len(s.ops) == 0 {
		return nil
	}
	list := strings.Join(slices.Sorted(maps.Keys(s.ours)), ",")
	return append(s.ops, ovs.ConfigSet(settingsKey, list, s.seen[settingsKey]))
}

func (s *settings) get(key string) string { return cmp.Or(s.set[key], s.seen[key]) }

func split(list string) map[string]bool {
	m := map[string]bool{}
	for k := range strings.SplitSeq(list, ",") {
		if k != "" {
			m[k] = true
		}
	}
	return m
}
