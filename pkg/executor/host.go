package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/firewall"
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

// Routes returns the host's routes, default routes left out.
func (e *Executor) Routes(ctx context.Context) ([]link.Route, error) {
	out, err := e.run(ctx, "", "ip", "-json", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	return link.ParseRoutes(out)
}

// HostPrefixes returns the prefixes that the host's own routes cover, default
// routes left out.
func (e *Executor) HostPrefixes(ctx context.Context) ([]netip.Prefix, error) {
	routes, err := e.Routes(ctx)
	var all []netip.Prefix
	for _, r := range routes {
		all = append(all, r.Prefix)
	}
	return all, err
}

// Firewall returns the host's rules, of each backend that the kernel has, and the
// backend for IPv4 to write to: that which Docker has its chains in, else the one
// that iptables itself prefers. IPv6, of which rules are returned with six only, goes
// the same way.
func (e *Executor) Firewall(ctx context.Context, six bool) (firewall.Backend, map[firewall.Backend]firewall.Rules, error) {
	seen := map[firewall.Backend]firewall.Rules{}
	var use firewall.Backend
	var failed []error
	docker := false
	for _, b := range []firewall.Backend{firewall.NFT, firewall.Legacy} {
		out, err := e.run(ctx, "", b.Save())
		if err != nil {
			failed = append(failed, err)
			continue
		}
		seen[b] = firewall.Parse(out)
		if has := seen[b].Has(firewall.Chain{Table: "filter", Name: "DOCKER-USER"}); use == (firewall.Backend{}) || has && !docker {
			use, docker = b, has
		}
		if !six {
			continue
		}
		out, err = e.run(ctx, "", b.Six().Save())
		if err != nil {
			failed = append(failed, err)
			continue
		}
		seen[b.Six()] = firewall.Parse(out)
	}
	if _, ok := seen[use.Six()]; six && !ok {
		return use, nil, fmt.Errorf("reading the host's packet filter for IPv6: %w", errors.Join(failed...))
	}
	if use == (firewall.Backend{}) {
		return use, nil, fmt.Errorf("reading the host's packet filter: %w", errors.Join(failed...))
	}
	return use, seen, nil
}

// Forget has the kernel forget connections; that there are none is no error.
func (e *Executor) Forget(ctx context.Context, flows ...firewall.Flow) error {
	var all []error
	var each []firewall.Flow
	for _, f := range flows {
		if !f.Untranslated {
			each = append(each, f)
			continue
		}
		list, err := e.run(ctx, "", firewall.ConntrackProgram, f.Look()...)
		all = append(all, err)
		each = append(each, f.Narrow(list)...)
	}
	for _, f := range each {
		_, err := e.run(ctx, "", firewall.ConntrackProgram, f.Forget()...)
		var failed *CommandError
		if errors.As(err, &failed) && strings.Contains(failed.Stderr, " 0 flow entries") {
			continue
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// sysctl sets a kernel parameter, "NAME=VALUE", as sysctl(8) does with -w. In a
// managed plugin /proc/sys is read-only: the host's is mounted elsewhere.
func (e *Executor) sysctl(assignment string) error {
	name, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("setting kernel parameter %q: it has no value", assignment)
	}
	path := e.parameter(name)
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil { //nolint:gosec // it is there already
		return fmt.Errorf("setting kernel parameter %q to %q: %w", name, value, err)
	}
	return nil
}

// parameter is the file of a kernel parameter.
func (e *Executor) parameter(name string) string {
	root := e.Sysctl
	if root == "" {
		root = "/proc/sys"
	}
	return filepath.Join(root, strings.NewReplacer(".", "/", "/", ".").Replace(name))
}

// Forwards6 reports whether the host forwards IPv6.
func (e *Executor) Forwards6() (bool, error) {
	const name = "net.ipv6.conf.all.forwarding"
	text, err := os.ReadFile(e.parameter(name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil // nor does it have IPv6
	case err != nil:
		return false, fmt.Errorf("reading kernel parameter %q: %w", name, err)
	}
	return strings.TrimSpace(string(text)) != "0", nil
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
