package ovn

import (
	"net/netip"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Host is a chassis that the southbound database has, of this host or another one
// (ovn-sb(5), Chassis and Encap).
type Host struct {
	UUID, SystemID, Name string
	Encaps               []Encap
}

// Encap is one of the ways that tunnels to a chassis take.
type Encap struct {
	Kind    string // "geneve" or "vxlan"
	Address netip.Addr
}

// LookAtHosts reads all chassis; ReadHosts reads the answer.
func LookAtHosts(sb string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: sb, Database: ovsdb.Southbound, Operations: []ovsdb.Operation{
		ovsdb.Select("Chassis", nil, "_uuid", "name", "hostname"),
		ovsdb.Select("Encap", nil, "chassis_name", "type", "ip"),
	}}
}

// ReadHosts reads the answer to LookAtHosts, or the beginning of that to LookAtPeers.
func ReadHosts(results []ovsdb.Result) []Host {
	if len(results) < 2 {
		return nil
	}
	var all []Host
	for _, r := range results[0].Rows {
		h := Host{UUID: first(r.UUIDs("_uuid")), SystemID: r.String("name"), Name: r.String("hostname")}
		for _, e := range results[1].Rows {
			if a, err := netip.ParseAddr(e.String("ip")); err == nil && e.String("chassis_name") == h.SystemID {
				h.Encaps = append(h.Encaps, Encap{Kind: e.String("type"), Address: a})
			}
		}
		all = append(all, h)
	}
	return all
}

// LookAtPeers is LookAtHosts, and finds the flows of a logical switch besides;
// LookAtPorts goes on from there.
func LookAtPeers(sb string, s Switch) ovsdb.Transaction {
	t := LookAtHosts(sb)
	t.Operations = append(t.Operations, ovsdb.Select("Datapath_Binding",
		[]ovsdb.Condition{ovsdb.Includes("external_ids", map[string]string{"name": string(s)})}, "_uuid"))
	return t
}

// LookAtPorts reads where ports of containers and the like are that are on the logical
// switch of LookAtPeers. It returns false when that has none that OVN knows of.
func LookAtPorts(sb string, peers []ovsdb.Result) (ovsdb.Transaction, bool) {
	t := ovsdb.Transaction{Server: sb, Database: ovsdb.Southbound}
	if len(peers) < 3 {
		return t, false
	}
	for _, r := range peers[2].Rows {
		t.Operations = append(t.Operations, ovsdb.Select("Port_Binding",
			[]ovsdb.Condition{ovsdb.Is("datapath", ovsdb.Ref(first(r.UUIDs("_uuid")))), ovsdb.Is("type", "")}, "chassis"))
	}
	return t, len(t.Operations) > 0
}

// ReadPorts returns the UUIDs of the chassis that LookAtPorts found.
func ReadPorts(results []ovsdb.Result) map[string]bool {
	all := map[string]bool{}
	for _, result := range results {
		for _, r := range result.Rows {
			if c := first(r.UUIDs("chassis")); c != "" {
				all[c] = true
			}
		}
	}
	return all
}
