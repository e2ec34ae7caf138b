package ovn

import (
	"net/netip"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Host is a chassis that the southbound database has, of this host or another one
// (ovn-sb(5), Chassis and Encap).
type Host struct {
	SystemID, Name string
	Encaps         []netip.Addr
}

// LookAtHosts reads all chassis; ReadHosts reads the answer.
func LookAtHosts(sb string) ovsdb.Transaction {
	return ovsdb.Transaction{Server: sb, Database: ovsdb.Southbound, Operations: []ovsdb.Operation{
		ovsdb.Select("Chassis", nil, "name", "hostname"),
		ovsdb.Select("Encap", nil, "chassis_name", "ip"),
	}}
}

// ReadHosts reads the answer to LookAtHosts.
func ReadHosts(results []ovsdb.Result) []Host {
	if len(results) < 2 {
		return nil
	}
	var all []Host
	for _, r := range results[0].Rows {
		h := Host{SystemID: r.String("name"), Name: r.String("hostname")}
		for _, e := range results[1].Rows {
			if a, err := netip.ParseAddr(e.String("ip")); err == nil && e.String("chassis_name") == h.SystemID {
				h.Encaps = append(h.Encaps, a)
			}
		}
		all = append(all, h)
	}
	return all
}
