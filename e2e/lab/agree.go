package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// view is what one place holds: sentences about networks and endpoints, that other places must say too.
type view struct{ networks, endpoints map[string]string }

func newView() view { return view{map[string]string{}, map[string]string{}} }

// Agree proves that Docker, the plugin's files, OVN's northbound database, Open vSwitch and the host's links hold the same
// networks, with their routers, and endpoints, row by row and in both directions.
func (l *Lab) Agree(ctx context.Context) {
	GinkgoHelper()
	Soon(ctx, func(g Gomega) { g.Expect(l.Disagreements(ctx)).To(BeEmpty()) })
}

// Disagreements are the differences, a sentence each. Rows of other plugins do not count.
func (l *Lab) Disagreements(ctx context.Context) []string {
	GinkgoHelper()
	var all []string
	instance, stored, wired, unfinished := l.storeView(ctx)
	all = append(all, unfinished...)
	docker := l.dockerView(ctx)
	all = append(all, compare("Docker", docker, "the state files", stored)...)
	all = append(all, compare("the state files", view{wired, stored.endpoints}, "OVN", l.northView(ctx, instance))...)
	all = append(all, l.hostDisagrees(ctx, instance, stored)...)
	all = append(all, l.viewsDisagree(ctx, stored)...)
	slices.Sort(all)
	return all
}

func compare(first string, a view, second string, b view) []string {
	var all []string
	for _, kind := range []struct {
		name string
		a, b map[string]string
	}{{"network", a.networks, b.networks}, {"endpoint", a.endpoints, b.endpoints}} {
		for id, says := range kind.a {
			if other, there := kind.b[id]; !there {
				all = append(all, fmt.Sprintf("%s %.12s is in %s (%s) and not in %s", kind.name, id, first, says, second))
			} else if other != says {
				all = append(all, fmt.Sprintf("%s %.12s is %q in %s and %q in %s", kind.name, id, says, first, other, second))
			}
		}
		for id, says := range kind.b {
			if _, there := kind.a[id]; !there {
				all = append(all, fmt.Sprintf("%s %.12s is in %s (%s) and not in %s", kind.name, id, second, says, first))
			}
		}
	}
	return all
}

// sentence is what all places say of an endpoint.
func sentence(network, mac string, addresses []string) string {
	var bare []string
	for _, a := range addresses {
		if a, _, _ = strings.Cut(a, "/"); a != "" {
			bare = append(bare, a)
		}
	}
	slices.Sort(bare)
	return fmt.Sprintf("on %.12s with %s %s", network, strings.ToLower(mac), strings.Join(bare, " "))
}

func (l *Lab) dockerView(ctx context.Context) view {
	GinkgoHelper()
	v := newView()
	ids := l.ours(ctx)
	if len(ids) == 0 {
		return v
	}
	var networks []struct {
		ID      string `json:"Id"`
		Options map[string]string
		IPAM    struct {
			Config []struct{ Subnet, Gateway string }
		}
		Containers map[string]struct{ EndpointID, MacAddress, IPv4Address, IPv6Address string }
	}
	Expect(json.Unmarshal([]byte(l.MustDocker(ctx, append([]string{"network", "inspect"}, ids...)...)), &networks)).To(Succeed())
	for _, n := range networks {
		w := wish{Switch: n.Options["ovn.switch"], Router: n.Options["ovn.router"], Role: n.Options["ovn.role"]}
		for _, c := range n.IPAM.Config {
			pool, err := netip.ParsePrefix(c.Subnet)
			if err != nil || pool.Bits() == 0 {
				continue // no pool: Docker gives no addresses
			}
			gateway, _, _ := strings.Cut(c.Gateway, "/")
			if gateway == "" { // Docker shows only what was typed
				gateway = pool.Masked().Addr().Next().String()
			}
			w.Subnets = append(w.Subnets, subnet{pool.Masked().String(), gateway})
		}
		if pool, err := netip.ParsePrefix(n.Options["ovn.subnet"]); err == nil {
			w.Subnets = append(w.Subnets, subnet{pool.String(), pool.Addr().Next().String()})
		}
		v.networks[n.ID] = w.String()
		for _, e := range n.Containers {
			v.endpoints[e.EndpointID] = sentence(n.ID, e.MacAddress, []string{e.IPv4Address, e.IPv6Address})
		}
	}
	return v
}

// storeView is what the state files say, what OVN has to hold of each network for that, and what of it is not finished.
func (l *Lab) storeView(ctx context.Context) (instance string, v view, wired map[string]string, unfinished []string) {
	GinkgoHelper()
	v, wired = newView(), map[string]string{}
	for _, file := range l.StateFiles(ctx) {
		folder := path.Base(path.Dir(file))
		if folder != "networks" && folder != "endpoints" && path.Base(file) != "instance.json" {
			continue
		}
		var have struct {
			Phase string
			Data  record
		}
		text, err := l.Run(ctx, "cat", file)
		if err != nil || json.Unmarshal([]byte(text), &have) != nil {
			unfinished = append(unfinished, "state file "+file+" cannot be read")
			continue
		}
		d := have.Data
		switch folder {
		case "networks":
			v.networks[d.ID], wired[d.ID] = d.wish().String(), d.wiring()
		case "endpoints":
			v.endpoints[d.ID] = sentence(d.NetworkID, d.MAC, d.Addresses)
		default:
			instance = d.UUID
			continue
		}
		if have.Phase != "ready" || d.Deferred {
			unfinished = append(unfinished, fmt.Sprintf("%s %.12s is %s, deferred %t, in the state files", folder, d.ID, have.Phase, d.Deferred))
		}
	}
	return instance, v, wired, unfinished
}

// table reads a table as the ctl programs print it in JSON.
func (l *Lab) table(ctx context.Context, argv ...string) []ovsdb.Row {
	GinkgoHelper()
	var t struct {
		Headings []string
		Data     [][]any
	}
	Expect(json.Unmarshal([]byte(l.Must(ctx, argv...)), &t)).To(Succeed())
	var rows []ovsdb.Row
	for _, cells := range t.Data {
		row := ovsdb.Row{}
		for i, name := range t.Headings {
			row[name] = cells[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func (l *Lab) northView(ctx context.Context, instance string) view {
	GinkgoHelper()
	v := newView()
	if _, err := l.Docker(ctx, "container", "inspect", "ovn-central"); err != nil {
		return v
	}
	list := func(table string) []ovsdb.Row {
		return l.table(ctx, "docker", "exec", "ovn-central", "ovn-nbctl", "--format=json", "list", table)
	}
	self := func(row ovsdb.Row) string { return row.UUIDs("_uuid")[0] }
	says := map[string][]string{}                        // of a network
	on, home := map[string]string{}, map[string]string{} // the switch of a port, and of a network
	transits := map[string][]string{}                    // the networks of a transit switch
	for _, row := range list("Logical_Switch") {
		name := row.String("name")
		for id := range users(row, instance) {
			says[id] = append(says[id], "switch "+name)
			home[id] = name
			if _, is := row.Map("external_ids")["transit-"+id]; is {
				transits[name] = append(transits[name], id)
			}
		}
		for _, port := range row.UUIDs("ports") {
			on[port] = name
		}
	}
	peers := map[string]string{} // the switch of a router's port
	for _, row := range list("Logical_Switch_Port") {
		ids := row.Map("external_ids")
		switch {
		case row.String("type") == "router":
			peers[row.Map("options")["router-port"]] = on[self(row)]
			continue
		case row.String("type") != "": // no endpoint's
			continue
		case ids["owner"] != Owner || ids["instance"] != instance:
			continue
		}
		addresses := strings.Fields(strings.Join(row.Strings("addresses"), " "))
		if len(addresses) == 0 {
			addresses = []string{"no MAC"}
		}
		text := sentence(ids["network_id"], addresses[0], addresses[1:])
		if home[ids["network_id"]] != on[self(row)] {
			text += ", on the switch of another network"
		}
		v.endpoints[row.String("name")] += text
	}
	of, gateway := map[string]string{}, map[string]string{} // the router of a port or route, the transit switch of a router
	for _, row := range list("Logical_Router") {
		name := row.String("name")
		gateway[name] = row.Map("external_ids")["transit"]
		for id := range users(row, instance) {
			says[id] = append(says[id], "router "+name)
		}
		for _, held := range slices.Concat(row.UUIDs("ports"), row.UUIDs("static_routes"), row.UUIDs("nat")) {
			of[held] = name
		}
	}
	for _, row := range list("Logical_Router_Port") {
		router, at, has := of[self(row)], peers[row.String("name")], row.Strings("networks")
		needs := users(row, instance)
		if at != "" && gateway[router] == at { // a gateway router's port goes with the switch, and is marked by nobody
			for _, id := range transits[at] {
				needs[id] = has
			}
		}
		for id, addresses := range needs {
			for _, a := range addresses {
				text := place(router, a, at)
				if !slices.Contains(has, a) {
					text += " by its mark only"
				}
				says[id] = append(says[id], text)
			}
		}
	}
	for _, row := range list("Logical_Router_Static_Route") {
		for id := range users(row, instance) {
			says[id] = append(says[id], route(of[self(row)], row.String("ip_prefix"), row.String("nexthop")))
		}
	}
	for _, row := range list("NAT") {
		for id := range users(row, instance) {
			if row.String("type") == "snat" {
				says[id] = append(says[id], hides(of[self(row)], row.String("external_ip")))
			}
		}
	}
	for id, all := range says {
		v.networks[id] = sentences(all)
	}
	return v
}

// hostDisagrees compares the files with OVS ports and links.
func (l *Lab) hostDisagrees(ctx context.Context, instance string, stored view) []string {
	GinkgoHelper()
	var all []string
	links := map[string]bool{}
	for _, name := range l.LinksOwned(ctx) {
		if strings.HasPrefix(name, "ocn") {
			links[name] = true
		}
	}
	ports := map[string]string{}
	for _, row := range l.table(ctx, "ovs-vsctl", "--format=json", "--columns=name,external_ids,error", "list", "Interface") {
		ids, name := row.Map("external_ids"), row.String("name")
		if ids["owner"] != Owner || ids["endpoint_id"] == "" { // the host's own interface is no endpoint's
			continue
		}
		if ids["instance"] != instance {
			delete(links, name) // another plugin's
			continue
		}
		ports[ids["iface-id"]] = name
		if e := row.String("error"); e != "" {
			all = append(all, fmt.Sprintf("OVS cannot use port %s: %s", name, e))
		}
		if _, known := stored.endpoints[ids["iface-id"]]; !known {
			all = append(all, fmt.Sprintf("OVS port %s is of endpoint %.12s, which has no state file", name, ids["iface-id"]))
		}
	}
	wanted := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(stored.endpoints)) {
		name := "ocn" + id[:12]
		wanted[name] = true
		if ports[id] != name {
			all = append(all, fmt.Sprintf("endpoint %.12s has no OVS port", id))
		}
		if !links[name] {
			all = append(all, fmt.Sprintf("endpoint %.12s has no link", id))
		}
	}
	for name := range links {
		if !wanted[name] {
			all = append(all, "link "+name+" is of no endpoint")
		}
	}
	return all
}

// viewsDisagree compares the files for people with those that count.
func (l *Lab) viewsDisagree(ctx context.Context, stored view) []string {
	GinkgoHelper()
	var all []string
	pools, ports := map[string]bool{}, map[string]bool{}
	for _, file := range l.StateFiles(ctx) {
		if id, is := strings.CutSuffix(path.Base(file), "-pool.json"); is {
			pools[id] = true
		}
		if path.Base(file) != "port-bindings.json" {
			continue
		}
		var bindings struct {
			Data []struct {
				Endpoint string `json:"endpoint_id"`
			}
		}
		Expect(json.Unmarshal([]byte(l.Must(ctx, "cat", file)), &bindings)).To(Succeed())
		for _, b := range bindings.Data {
			ports[b.Endpoint] = true
		}
	}
	for what, both := range map[string][2]map[string]bool{"an address pool": {pools, keys(stored.networks)}, "a port binding": {ports, keys(stored.endpoints)}} {
		for id := range both[0] {
			if !both[1][id] {
				all = append(all, fmt.Sprintf("there is %s for show of %.12s, which is gone", what, id))
			}
		}
		for id := range both[1] {
			if !both[0][id] {
				all = append(all, fmt.Sprintf("there is not %s for show of %.12s", what, id))
			}
		}
	}
	return all
}

func keys(m map[string]string) map[string]bool {
	all := map[string]bool{}
	for k := range m {
		all[k] = true
	}
	return all
}
