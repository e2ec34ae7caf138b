package ovs

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Direct returns a chain of ovs-vsctl as a transaction that needs to read nothing:
// one that adds ports with their external_ids, to bridges that are there. Ports that
// are there already make it fail, by the schema's indexes (ovs-vswitchd.conf.db(5),
// Port and Interface, name). Ok is false of chains with other commands.
func Direct(db string, ops []plan.Op) (t ovsdb.Transaction, ok bool) {
	t = ovsdb.Transaction{Server: db, Database: ovsdb.Local}
	rows := map[string]map[string]any{} // of Interface
	for _, op := range ops {
		switch words := op.Do; {
		case len(words) == 4 && words[0] == "--may-exist" && words[1] == "add-port" && rows[words[3]] == nil:
			bridge, port, n := words[2], words[3], len(rows)
			row := map[string]any{"name": port}
			rows[port] = row
			iface, added := fmt.Sprint("interface", n), fmt.Sprint("port", n)
			there := []ovsdb.Condition{ovsdb.Is("name", bridge)}
			add := ovsdb.Mutate("Bridge", nil, ovsdb.Add("ports", ovsdb.Named(added)))
			add["where"] = there
			t.Operations = append(t.Operations,
				ovsdb.Wait(0, "Bridge", there, map[string]any{"name": bridge}),
				ovsdb.InsertAs(iface, "Interface", row),
				ovsdb.InsertAs(added, "Port", map[string]any{"name": port, "interfaces": ovsdb.Named(iface)}),
				add)
		case len(words) > 3 && words[0] == "set" && words[1] == "Interface" && rows[words[2]] != nil:
			ids, only := marks(words[3:])
			if !only {
				return t, false
			}
			rows[words[2]]["external_ids"] = ovsdb.Map(ids)
		default:
			return t, false
		}
	}
	return t, len(rows) > 0
}

// marks reads what ovsdb.Columns has written for external_ids.
func marks(columns []string) (ids map[string]string, only bool) {
	ids = map[string]string{}
	for _, c := range columns {
		pair, external := strings.CutPrefix(c, "external_ids:")
		key, quoted, both := strings.Cut(pair, "=")
		var value string
		if !external || !both || json.Unmarshal([]byte(quoted), &value) != nil {
			return nil, false
		}
		ids[key] = value
	}
	return ids, true
}
