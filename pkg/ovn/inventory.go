package ovn

import "github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"

// PortRow is a logical switch port that is there.
type PortRow struct {
	Switch      Switch // that it is on
	Addresses   []string
	ExternalIDs map[string]string
}

// Inventory is one read of all switches, and of the ports that one owner made.
type Inventory struct {
	Database string // as in Seen
	Switches map[Switch][]SwitchRow
	Ports    map[SwitchPort]PortRow
}

// TakeInventory is the read; ReadInventory reads its answer. It costs the
// database a pass over its switches and ports, so no request makes it.
func TakeInventory(conn, owner string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: conn, Database: ovsdb.Northbound, Operations: []ovsdb.Operation{
		ovsdb.Select("NB_Global", nil, "_uuid"),
		ovsdb.Select("Logical_Switch", nil, append([]string{"name"}, switchColumns...)...),
		ovsdb.Select("Logical_Switch_Port", []ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"owner": owner})},
			"_uuid", "name", "addresses", "external_ids"),
	}}
}

// ReadInventory reads the answer to TakeInventory.
func ReadInventory(results []ovsdb.Result) Inventory {
	i := Inventory{Switches: map[Switch][]SwitchRow{}, Ports: map[SwitchPort]PortRow{}}
	if len(results) < 3 {
		return i
	}
	for _, r := range results[0].Rows {
		i.Database = first(r.UUIDs("_uuid"))
	}
	on := map[string]Switch{}
	for _, r := range results[1].Rows {
		name, row := Switch(r.String("name")), switchRow(r)
		i.Switches[name] = append(i.Switches[name], row)
		for _, port := range row.Ports {
			on[port] = name
		}
	}
	for _, r := range results[2].Rows {
		i.Ports[SwitchPort(r.String("name"))] = PortRow{
			Switch: on[first(r.UUIDs("_uuid"))], Addresses: r.Strings("addresses"), ExternalIDs: r.Map("external_ids"),
		}
	}
	return i
}

// Watches are what has to be watched to notice that somebody deleted a switch
// of the owner, or a port of one of its instances.
func Watches(conn, owner, instance string) []ovsdb.Watch {
	on := func(table string, ids map[string]string) ovsdb.Watch {
		return ovsdb.Watch{
			Server: conn, Database: ovsdb.Northbound, Table: table, Column: "name",
			Where: []ovsdb.Condition{ovsdb.Includes("external_ids", ids)},
		}
	}
	return []ovsdb.Watch{
		on("Logical_Switch", map[string]string{"owner": owner}),
		on("Logical_Switch_Port", map[string]string{"owner": owner, "instance": instance}),
	}
}
