package ovs

import "github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"

// InterfaceRow is an OVS interface that is there.
type InterfaceRow struct {
	Bridge      Bridge // whose port of the same name it is of; "" for none
	ExternalIDs map[string]string
	Error       string // why ovs-vswitchd could not use the device
}

// Inventory is one read of the local Open vSwitch: its settings, its bridges,
// and the interfaces that one owner made.
type Inventory struct {
	ExternalIDs map[string]string
	Bridges     map[Bridge]bool
	Interfaces  map[Port]InterfaceRow
}

// TakeInventory is the read; ReadInventory reads its answer.
func TakeInventory(db, owner string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: db, Database: ovsdb.Local, Operations: []ovsdb.Operation{
		ovsdb.Select("Open_vSwitch", nil, "external_ids"),
		ovsdb.Select("Bridge", nil, "name", "ports"),
		ovsdb.Select("Port", nil, "_uuid", "name"),
		ovsdb.Select("Interface", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})}, "name", "external_ids", "error"),
	}}
}

// ReadInventory reads the answer to TakeInventory.
func ReadInventory(results []ovsdb.Result) Inventory {
	i := Inventory{ExternalIDs: map[string]string{}, Bridges: map[Bridge]bool{}, Interfaces: map[Port]InterfaceRow{}}
	if len(results) < 4 {
		return i
	}
	for _, r := range results[0].Rows {
		i.ExternalIDs = r.Map("external_ids")
	}
	bridgeOf := map[string]Bridge{}
	for _, r := range results[1].Rows {
		name := Bridge(r.String("name"))
		i.Bridges[name] = true
		for _, port := range r.UUIDs("ports") {
			bridgeOf[port] = name
		}
	}
	on := map[string]Bridge{}
	for _, r := range results[2].Rows {
		for _, id := range r.UUIDs("_uuid") {
			on[r.String("name")] = bridgeOf[id]
		}
	}
	for _, r := range results[3].Rows {
		name := r.String("name")
		i.Interfaces[Port(name)] = InterfaceRow{Bridge: on[name], ExternalIDs: r.Map("external_ids"), Error: r.String("error")}
	}
	return i
}

// Watches are what has to be watched to notice that somebody else removed a
// port with the external_ids, or changed a setting of the chassis.
func Watches(db string, ids map[string]string) []ovsdb.Watch {
	return []ovsdb.Watch{
		{Server: db, Database: ovsdb.Local, Table: "Interface", Column: "name", Where: []ovsdb.Condition{ovsdb.Includes("external_ids", ids)}},
		{Server: db, Database: ovsdb.Local, Table: "Open_vSwitch", Column: "external_ids", Modify: true},
	}
}
