package ovn

import (
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// SwitchRow is what a request needs to know of a logical switch that is there.
type SwitchRow struct {
	UUID        string
	ExternalIDs map[string]string
	Ports       []string // UUIDs of its ports

	row ovsdb.Row
}

// Seen is one read of the northbound database.
type Seen struct {
	// Database identifies the database whatever address it is reached by: the
	// UUID of its one NB_Global row, which all members of a cluster share.
	Database string
	Switches []SwitchRow // all rows of the name asked for
}

var switchColumns = []string{"_uuid", "external_ids", "ports"}

// Look is the read of what is there under a switch name; ReadLook reads its
// answer.
func Look(conn string, s Switch) ovsdb.Transaction {
	return ovsdb.Transaction{Server: conn, Database: ovsdb.Northbound, Operations: []ovsdb.Operation{
		ovsdb.Select("NB_Global", nil, "_uuid"),
		ovsdb.Select("Logical_Switch", []ovsdb.Condition{ovsdb.Is("name", string(s))}, switchColumns...),
	}}
}

// ReadLook reads the answer to Look.
func ReadLook(results []ovsdb.Result) Seen {
	var seen Seen
	if len(results) < 2 {
		return seen
	}
	for _, r := range results[0].Rows {
		seen.Database = first(r.UUIDs("_uuid"))
	}
	for _, r := range results[1].Rows {
		seen.Switches = append(seen.Switches, switchRow(r))
	}
	return seen
}

func switchRow(r ovsdb.Row) SwitchRow {
	return SwitchRow{UUID: first(r.UUIDs("_uuid")), ExternalIDs: r.Map("external_ids"), Ports: r.UUIDs("ports"), row: r}
}

// SwitchInsert makes the switch if there is none of that name, and fails with
// ovsdb.ErrTimedOut, changing nothing, when there is: the schema would let two
// clients make it twice. It is taken back while nobody else has touched it.
func SwitchInsert(conn string, s Switch, ids map[string]string) plan.Step {
	named := []ovsdb.Condition{ovsdb.Is("name", string(s))}
	on := func(ops ...ovsdb.Operation) plan.Step {
		return ovsdb.Transaction{Server: conn, Database: ovsdb.Northbound, Operations: ops}.Step()
	}
	step := on(
		ovsdb.Wait(0, "Logical_Switch", named),
		ovsdb.Insert("Logical_Switch", map[string]any{"name": string(s), "external_ids": ovsdb.Map(ids)}),
	)
	step.Ops[0].Undo = on(
		ovsdb.Wait(0, "Logical_Switch", named, map[string]any{"external_ids": ovsdb.Map(ids), "ports": []any{"set", []any{}}}),
		ovsdb.Delete("Logical_Switch", named...),
	).Ops[0].Do
	return step
}

// SwitchDelete deletes the switch if its owners and its ports are still as
// seen, and fails with ovsdb.ErrTimedOut, changing nothing, when they are not:
// then somebody has begun to use it.
func SwitchDelete(conn string, s SwitchRow) ovsdb.Transaction {
	self := ovsdb.Is("_uuid", []any{"uuid", s.UUID})
	return ovsdb.Transaction{Server: conn, Database: ovsdb.Northbound, Operations: []ovsdb.Operation{
		ovsdb.Wait(0, "Logical_Switch", []ovsdb.Condition{self}, map[string]any{
			"external_ids": s.row.Value("external_ids"), "ports": s.row.Value("ports"),
		}),
		ovsdb.Delete("Logical_Switch", self),
	}}
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
