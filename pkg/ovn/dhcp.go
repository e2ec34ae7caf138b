package ovn

import (
	"fmt"
	"net/netip"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// DHCPRow are the options of a DHCP server of OVN's.
type DHCPRow struct {
	UUID        string
	CIDR        string // subnet
	Options     map[string]string
	ExternalIDs map[string]string

	row ovsdb.Row
}

func dhcpRow(r ovsdb.Row) DHCPRow {
	return DHCPRow{UUID: first(r.UUIDs("_uuid")), CIDR: r.String("cidr"), Options: r.Map("options"), ExternalIDs: r.Map("external_ids"), row: r}
}

// DHCPInsert makes the options of a DHCP server for a subnet (ovn-nb(5),
// DHCP_Options). Ports refer to them.
func (c *Change) DHCPInsert(subnet netip.Prefix, options, ids map[string]string) {
	c.insert("DHCP_Options", map[string]any{"cidr": subnet.String(), "options": ovsdb.Map(options), "external_ids": ovsdb.Map(ids)})
}

// DHCPOptions changes what a DHCP server tells.
func (c *Change) DHCPOptions(d DHCPRow, options map[string]string) {
	c.ops = append(c.ops, ovsdb.Update("DHCP_Options", d.UUID, map[string]any{"options": ovsdb.Map(options)}))
}

// Advertise has a router port advertise itself, with these options (ovn-nb(5),
// Logical_Router_Port, ipv6_ra_configs).
func (c *Change) Advertise(p Ref, options map[string]string) {
	c.mutate("Logical_Router_Port", p, ovsdb.Remove("ipv6_ra_configs", ovsdb.Set(keys(options)...)), ovsdb.Add("ipv6_ra_configs", ovsdb.Map(options)))
}

// DHCPDelete deletes options of a DHCP server, and all references to them.
func (c *Change) DHCPDelete(d DHCPRow) {
	c.ops = append(c.ops, ovsdb.Delete("DHCP_Options", ovsdb.This(d.UUID)))
}

// NoDHCP makes sure that the network has no options of a DHCP server but those that
// were seen.
func (c *Change) NoDHCP(ids map[string]string, seen []DHCPRow) {
	var rows []map[string]any
	for _, d := range seen {
		rows = append(rows, map[string]any{"cidr": d.CIDR})
	}
	c.guard(fmt.Sprint("dhcp ", ids), ovsdb.Wait(0, "DHCP_Options", []ovsdb.Condition{ovsdb.Includes("external_ids", ids)}, rows...))
}

// SwitchSubnet has ovn-northd choose addresses in the subnet, but its first, for
// ports that ask for one (ovn-nb(5), Logical_Switch, other_config:subnet).
func (c *Change) SwitchSubnet(s Ref, subnet netip.Prefix) {
	c.mutate("Logical_Switch", s, ovsdb.Add("other_config", ovsdb.Map(map[string]string{"subnet": subnet.String()})))
}
