package driver_test

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Transact answers the reads that the driver makes.
func (h *host) Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error) {
	if o := t.Operations[0]; o["op"] == "wait" {
		if h.wait != nil {
			if err := h.wait(ctx, time.Duration(o["timeout"].(int))*time.Millisecond); err != nil {
				return nil, err
			}
		}
		return []ovsdb.Result{{}}, nil
	}
	if err := h.before(ctx, "ovsdb-client", strings.HasPrefix(t.Server, "tcp:"), []string{"read", t.Database}); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var results []ovsdb.Result
	for _, o := range t.Operations {
		var rows []ovsdb.Row
		named := func() string { return o["where"].([]ovsdb.Condition)[0][2].(string) }
		switch o["table"] {
		case "NB_Global":
			rows = append(rows, ovsdb.Row{"_uuid": json.RawMessage(`["uuid","nb"]`)})
		case "Open_vSwitch":
			rows = append(rows, ovsdb.Row{"external_ids": text(ovsdb.Map(h.config))})
		case "Bridge":
			if h.bridges[named()] {
				opened := `"1"`
				if h.closed {
					opened = `["set",[]]`
				}
				rows = append(rows, ovsdb.Row{"datapath_id": json.RawMessage(opened)})
			}
		case "Logical_Switch":
			if ids, ok := h.sw[named()]; ok {
				ports := []any{}
				for port, has := range h.address {
					if has[0] == named() {
						ports = append(ports, []string{"uuid", port})
					}
				}
				rows = append(rows, ovsdb.Row{"_uuid": json.RawMessage(`["uuid","uuid-of-` + named() + `"]`), "external_ids": text(ovsdb.Map(ids)), "ports": text([]any{"set", ports})})
			}
		}
		results = append(results, ovsdb.Result{Rows: rows})
	}
	return results, nil
}

func text(v any) json.RawMessage {
	t, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return t
}
