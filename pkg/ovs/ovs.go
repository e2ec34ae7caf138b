package ovs

import (
	"strconv"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Bridge is the name of an OVS bridge.
type Bridge string

// Port is the name of an OVS port, of its interface, and of the network
// device behind it: at most 15 characters.
type Port string

// Local is the ovs-vsctl invocation that waits until ovs-vswitchd has taken
// the change over, so that a bridge it makes is there.
func Local(db string) plan.Target {
	return plan.Target{Program: "ovs-vsctl", Args: []string{"--db=" + db}, Form: plan.Chain}
}

// LocalNoWait is Local without the wait, for ports: their readiness is asked
// of ovn-controller, which comes after ovs-vswitchd.
func LocalNoWait(db string) plan.Target {
	return plan.Target{Program: "ovs-vsctl", Args: []string{"--db=" + db, "--no-wait"}, Form: plan.Chain}
}

// BridgeAdd makes an integration bridge for ovn-controller: it forwards
// nothing until a controller says so.
func BridgeAdd(b Bridge) plan.Op {
	return plan.Op{
		Do:   []string{"--may-exist", "add-br", string(b)},
		Undo: []string{"--if-exists", "del-br", string(b)},
	}
}

// BridgeDatapath sets the datapath type of a bridge that had another one.
func BridgeDatapath(b Bridge, datapath, old string) plan.Op {
	return plan.Op{
		Do:   []string{"set", "Bridge", string(b), "datapath_type=" + datapath},
		Undo: []string{"set", "Bridge", string(b), "datapath_type=" + ovsdb.Quote(old)},
	}
}

// BridgeSecure has a bridge do nothing but what ovn-controller tells it to, which
// that sets itself when it finds another mode (ovn-controller.c, update_br_int).
// It then has flows there already if it was fast, and ovs-vswitchd drops all
// flows when the mode changes (connmgr.c, connmgr_set_fail_mode): they are lost
// until ovn-controller starts again. So the mode must be there before it is, and
// is not taken back.
func BridgeSecure(b Bridge) plan.Op {
	return plan.Op{Do: []string{"set", "Bridge", string(b), "fail_mode=" + Secure}}
}

// Secure is the fail mode of an integration bridge.
const Secure = "secure"

// BridgeTouch changes a bridge in a way that means nothing, and back: an
// invocation that waits for ovs-vswitchd has to change something.
func BridgeTouch(b Bridge) plan.Op {
	const key = "ovs-container-network-touch"
	return plan.Op{
		Do:   []string{"set", "Bridge", string(b), ovsdb.Column("external_ids", key, "1")},
		Undo: []string{"remove", "Bridge", string(b), "external_ids", key},
	}
}

// BridgeMark sets a key of external_ids of a bridge, or with "" takes it away.
func BridgeMark(b Bridge, key, value string) plan.Op {
	if value == "" {
		return plan.Op{Do: []string{"--if-exists", "remove", "Bridge", string(b), "external_ids", key}}
	}
	return plan.Op{Do: []string{"set", "Bridge", string(b), ovsdb.Column("external_ids", key, value)}}
}

// BridgeSet sets columns of a bridge, such as datapath_type=netdev.
func BridgeSet(b Bridge, columns ...string) plan.Op {
	return plan.Op{Do: append([]string{"set", "Bridge", string(b)}, columns...)}
}

// PortAdd adds a network device to a bridge.
func PortAdd(b Bridge, p Port) plan.Op {
	return plan.Op{
		Do: []string{"--may-exist", "add-port", string(b), string(p)},
		// Wherever it is: an administrator may have moved it.
		Undo: []string{"--if-exists", "del-port", string(p)},
	}
}

// InternalSet has the host own the interface of a port, with a MAC address and an
// MTU (ovs-vswitchd.conf.db(5), Interface, "internal").
func InternalSet(p Port, mac string, mtu int) plan.Op {
	return plan.Op{Do: []string{"set", "Interface", string(p), "type=internal", "mac=" + ovsdb.Quote(mac), "mtu_request=" + strconv.Itoa(mtu)}}
}

// PortDelete removes a port from whatever bridge it is on, for good.
func PortDelete(p Port) plan.Op {
	return plan.Op{Do: []string{"--if-exists", "del-port", string(p)}}
}

// InterfaceSet sets external_ids of the interface of a port; iface-id binds it
// to a logical switch port.
func InterfaceSet(p Port, ids map[string]string) plan.Op {
	return plan.Op{Do: append([]string{"set", "Interface", string(p)}, ovsdb.Columns("external_ids", ids)...)}
}

// ConfigSet sets a key of external_ids of the chassis. Old is what it held
// before, "" for nothing.
func ConfigSet(key, value, old string) plan.Op {
	undo := []string{"remove", "Open_vSwitch", ".", "external_ids", key}
	if old != "" {
		undo = []string{"set", "Open_vSwitch", ".", ovsdb.Column("external_ids", key, old)}
	}
	return plan.Op{Do: []string{"set", "Open_vSwitch", ".", ovsdb.Column("external_ids", key, value)}, Undo: undo}
}

// Chassis is one read of the local Open vSwitch.
type Chassis struct {
	ExternalIDs map[string]string // of the Open_vSwitch row
	Bridge      *BridgeRow        // nil when there is none of that name
	Bridges     map[string]string // all there are, and their datapath types
	Interfaces  int               // that carry the owner key asked for
}

// BridgeRow is a bridge that is there.
type BridgeRow struct {
	Datapath    string // "" means "system"
	FailMode    string // "" means "standalone"
	ExternalIDs map[string]string
	Ports       int // without the bridge's own
	// Open says that ovs-vswitchd has opened the bridge's datapath. It has not
	// when the kernel lacks the module, and then reports no error anywhere
	// but in its log; the datapath types that it lists do not tell either.
	Open bool
}

// Look is the read of the chassis, of its bridges, and of the interfaces of an
// owner; ReadLook reads its answer.
func Look(db, owner string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: db, Database: ovsdb.Local, Operations: []ovsdb.Operation{
		ovsdb.Select("Open_vSwitch", nil, "external_ids"),
		ovsdb.Select("Bridge", nil, "name", "datapath_type", "fail_mode", "datapath_id", "external_ids", "ports"),
		ovsdb.Select("Interface", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})}, "name"),
	}}
}

// ReadLook reads the answer to Look, with one bridge in detail.
func ReadLook(results []ovsdb.Result, b Bridge) Chassis {
	c := Chassis{ExternalIDs: map[string]string{}, Bridges: map[string]string{}}
	if len(results) < 3 {
		return c
	}
	c.Interfaces = len(results[2].Rows)
	for _, r := range results[0].Rows {
		c.ExternalIDs = r.Map("external_ids")
	}
	for _, r := range results[1].Rows {
		c.Bridges[r.String("name")] = r.String("datapath_type")
		if r.String("name") != string(b) {
			continue
		}
		c.Bridge = &BridgeRow{
			Datapath: r.String("datapath_type"), FailMode: r.String("fail_mode"), ExternalIDs: r.Map("external_ids"),
			Ports: max(0, len(r.UUIDs("ports"))-1), Open: r.String("datapath_id") != "",
		}
	}
	return c
}

// Installed waits, inside the database server, until ovn-controller has
// installed the flows of a port: external_ids:ovn-installed=true on its
// interface (ovn-controller(8)). It fails with ovsdb.ErrTimedOut after timeout
// milliseconds.
func Installed(db string, p Port, timeout int) ovsdb.Transaction {
	where := []ovsdb.Condition{
		ovsdb.Is("name", string(p)),
		ovsdb.Includes("external_ids", map[string]string{"ovn-installed": "true"}),
	}
	return ovsdb.Transaction{Server: db, Database: ovsdb.Local, Operations: []ovsdb.Operation{
		ovsdb.Wait(timeout, "Interface", where, map[string]any{"name": string(p)}),
	}}
}
