package ovs

import (
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// InterfaceRow is an OVS interface that is there.
type InterfaceRow struct {
	Bridge      Bridge // whose port of the same name it is of; "" for none
	ExternalIDs map[string]string
	Error       string // why ovs-vswitchd could not use the device
	Down        bool   // the device is there, and not up
}

// PortRow is an OVS port that is there.
type PortRow struct {
	UUID    string
	Bridge  Bridge // "" for none
	Touched bool   // what PortTouch turns
}

// Inventory is one read of the local Open vSwitch: its settings, its bridges and
// their ports, and the interfaces and mirrors that one owner made.
type Inventory struct {
	ExternalIDs map[string]string
	Bridges     map[Bridge]BridgeMarks
	Ports       map[Port]PortRow
	Interfaces  map[Port]InterfaceRow
	Mirrors     []MirrorRow
}

// BridgeMarks is what an Inventory says of a bridge.
type BridgeMarks struct {
	ExternalIDs map[string]string
	Mirrors     []string // UUIDs, of whoever made them
}

// TakeInventory is the read; ReadInventory reads its answer.
func TakeInventory(db, owner string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: db, Database: ovsdb.Local, Operations: []ovsdb.Operation{
		ovsdb.Select("Open_vSwitch", nil, "external_ids"),
		ovsdb.Select("Bridge", nil, "name", "ports", "mirrors", "external_ids"),
		ovsdb.Select("Port", nil, "_uuid", "name", "other_config"),
		ovsdb.Select("Interface", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})}, "name", "external_ids", "error", "admin_state"),
		ovsdb.Select("Mirror", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})}, "_uuid", "name", "select_src_port", "select_dst_port", "output_port", "snaplen", "external_ids"),
	}}
}

// ReadInventory reads the answer to TakeInventory.
func ReadInventory(results []ovsdb.Result) Inventory {
	i := Inventory{ExternalIDs: map[string]string{}, Bridges: map[Bridge]BridgeMarks{}, Ports: map[Port]PortRow{}, Interfaces: map[Port]InterfaceRow{}}
	if len(results) < 5 {
		return i
	}
	for _, r := range results[0].Rows {
		i.ExternalIDs = r.Map("external_ids")
	}
	bridgeOf := map[string]Bridge{}
	for _, r := range results[1].Rows {
		name := Bridge(r.String("name"))
		i.Bridges[name] = BridgeMarks{ExternalIDs: r.Map("external_ids"), Mirrors: r.UUIDs("mirrors")}
		for _, port := range r.UUIDs("ports") {
			bridgeOf[port] = name
		}
	}
	nameOf := map[string]Port{}
	for _, r := range results[2].Rows {
		for _, id := range r.UUIDs("_uuid") {
			nameOf[id] = Port(r.String("name"))
			i.Ports[nameOf[id]] = PortRow{UUID: id, Bridge: bridgeOf[id], Touched: r.Map("other_config")[touchKey] == touched}
		}
	}
	for _, r := range results[3].Rows {
		name := Port(r.String("name"))
		i.Interfaces[name] = InterfaceRow{Bridge: i.Ports[name].Bridge, ExternalIDs: r.Map("external_ids"), Error: r.String("error"), Down: r.String("admin_state") == "down"}
	}
	names := func(ids []string) []Port {
		var all []Port
		for _, id := range ids {
			all = append(all, nameOf[id])
		}
		slices.Sort(all)
		return all
	}
	for _, r := range results[4].Rows {
		for _, id := range r.UUIDs("_uuid") {
			m := MirrorRow{UUID: id, Name: r.String("name"), From: names(r.UUIDs("select_src_port")), To: names(r.UUIDs("select_dst_port")), Cut: r.Int("snaplen"), ExternalIDs: r.Map("external_ids")}
			for _, out := range r.UUIDs("output_port") {
				m.Output = nameOf[out]
			}
			i.Mirrors = append(i.Mirrors, m)
		}
	}
	return i
}

// Watches are what has to be watched to notice that somebody else removed a
// port, or with mirrors one of those, with the external_ids, or changed a setting of
// the chassis.
func Watches(db string, ids map[string]string, mirrors bool) []ovsdb.Watch {
	where := []ovsdb.Condition{ovsdb.Includes("external_ids", ids)}
	all := []ovsdb.Watch{
		{Server: db, Database: ovsdb.Local, Table: "Interface", Column: "name", Where: where},
		{Server: db, Database: ovsdb.Local, Table: "Open_vSwitch", Column: "external_ids", Modify: true},
	}
	if mirrors {
		all = append(all, ovsdb.Watch{Server: db, Database: ovsdb.Local, Table: "Mirror", Column: "output_port", Where: where, Modify: true})
	}
	return all
}
