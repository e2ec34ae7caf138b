package executor

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Addresses returns the addresses of the host's links.
func (e *Executor) Addresses(ctx context.Context) ([]link.Address, error) {
	out, err := e.run(ctx, "", "ip", "-json", "address", "show")
	if err != nil {
		return nil, err
	}
	return link.ParseAddresses(out)
}

// Links returns the names of the host's links.
func (e *Executor) Links(ctx context.Context) (map[string]bool, error) {
	out, err := e.run(ctx, "", "ip", "-json", "link", "show")
	if err != nil {
		return nil, err
	}
	return link.ParseNames(out)
}

// RouteSource returns the address that the host sends from to reach another.
func (e *Executor) RouteSource(ctx context.Context, to netip.Addr) (netip.Addr, error) {
	out, err := e.run(ctx, "", "ip", "-json", "route", "get", to.String())
	if err != nil {
		return netip.Addr{}, err
	}
	return link.ParseRouteSource(out)
}

// HostPrefixes returns the prefixes that the host's own routes cover, default
// routes left out.
func (e *Executor) HostPrefixes(ctx context.Context) ([]netip.Prefix, error) {
	out, err := e.run(ctx, "", "ip", "-json", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	return link.ParseRoutes(out)
}

// identity is a table of each database that always has a row once the server
// serves it; OVN_Southbound has one from northd's first run on.
var identity = map[string]string{ovsdb.Northbound: "NB_Global", ovsdb.Southbound: "SB_Global", ovsdb.Local: "Open_vSwitch"}

// DatabaseReady returns nil when the server at conn serves the database and
// answers a read of it.
func (e *Executor) DatabaseReady(ctx context.Context, conn, db string) error {
	table, known := identity[db]
	if !known {
		return fmt.Errorf("asking for database %q: not one of %q", db, slices.Sorted(maps.Keys(identity)))
	}
	results, err := e.Transact(ctx, ovsdb.Transaction{Server: conn, Database: db, Operations: []ovsdb.Operation{ovsdb.Select(table, nil, "_uuid")}})
	if err != nil {
		return err
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return fmt.Errorf("database %s at %q is empty: ovn-northd has not run yet", db, conn)
	}
	return nil
}
