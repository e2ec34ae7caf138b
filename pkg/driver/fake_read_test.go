package driver_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
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
	if t.Database == ovsdb.Northbound {
		return h.north.Transact(t)
	}
	var results []ovsdb.Result
	for _, o := range t.Operations {
		var rows []ovsdb.Row
		switch o["table"] {
		case "Open_vSwitch":
			rows = append(rows, ovsdb.Row{"external_ids": text(ovsdb.Map(h.config))})
		case "Interface":
			for name, ids := range h.ports {
				rows = append(rows, ovsdb.Row{"name": text(name), "external_ids": text(ovsdb.Map(ids))})
			}
		case "Port":
			for name := range h.ports {
				rows = append(rows, ovsdb.Row{"name": text(name), "_uuid": text([]string{"uuid", "port-" + name})})
			}
		case "Bridge":
			for name := range h.bridges {
				ports := []any{}
				for port := range h.ports {
					ports = append(ports, []string{"uuid", "port-" + port})
				}
				row := ovsdb.Row{"name": text(name), "ports": text([]any{"set", ports}), "datapath_id": "1"}
				if h.closed {
					row["datapath_id"] = text([]any{"set", []any{}})
				}
				rows = append(rows, row)
			}
		}
		results = append(results, ovsdb.Result{Rows: rows})
	}
	return results, nil
}

// text is the value as it comes out of a database's answer.
func text(v any) any {
	var read any
	t, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(t, &read)
	}
	if err != nil {
		panic(err)
	}
	return read
}

// Links are those of plans.
func (h *host) Links(ctx context.Context) (map[string]bool, error) {
	if err := h.before(ctx, "ip", false, []string{"link"}); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	names := map[string]bool{}
	for thing := range h.things {
		if name, ok := strings.CutPrefix(thing, "link "); ok {
			names[name] = true
		}
	}
	return names, nil
}

// Watch tells of what a test says was deleted, of any table.
func (h *host) Watch(ctx context.Context, _ ovsdb.Watch, changed func(names []string)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case name := <-h.deleted:
			changed([]string{name})
		}
	}
}

// docker is what Docker has.
type docker struct {
	mu      sync.Mutex
	have    central.Snapshot
	err     error
	lists   int // asked for
	revived int // times
}

func (d *docker) Snapshot(context.Context) (central.Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lists++
	return d.have, d.err
}

// Names are those that the snapshot has.
func (d *docker) Names(_ context.Context, network string) (name, compose string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, there := d.have.Networks[network]
	if !there {
		return "", "", central.ErrNoNetwork
	}
	return n.Name, n.Compose, d.err
}

// Containers are those that the snapshot has.
func (d *docker) Containers(_ context.Context, network string) (map[string]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[string]string{}
	for id, e := range d.have.Networks[network].Endpoints {
		names[id] = e.Name
	}
	return names, d.err
}

func (d *docker) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lists
}

func (d *docker) revivals() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.revived
}

func (d *docker) Revive(_ context.Context, r central.Request) (central.Connections, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revived++
	return central.Connections{NB: r.NB, SB: r.SB}, nil
}

func (d *docker) ControllerRuns(context.Context) bool { return true }
