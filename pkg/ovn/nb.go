package ovn

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Switch is the name of a logical switch. The schema does not make it unique:
// two clients that add the same name at once make two rows.
type Switch string

// SwitchPort is the name of a logical switch port, unique in the database. It
// is also the iface-id of the OVS interface that is bound to it.
type SwitchPort string

// Router is the name of a logical router. As with Switch, the schema does not
// make it unique.
type Router string

// RouterPort is the name of a logical router port, unique in the database.
type RouterPort string

// Northbound is the ovn-nbctl invocation on the database at conn
// ("tcp:host:port[,…]").
func Northbound(conn string) plan.Target {
	args := []string{"--db=" + conn}
	if !strings.Contains(conn, ",") {
		// One server is taken as it is: a relay is never a leader (ovsdb(7), "Relay Service Model"), and there is no other to look for.
		args = append(args, "--no-leader-only")
	}
	return plan.Target{Program: "ovn-nbctl", Args: args, Form: plan.Chain}
}

// SwitchPortAdd makes a port on a logical switch.
func SwitchPortAdd(s Switch, p SwitchPort) plan.Op {
	return plan.Op{
		Do:   []string{"--may-exist", "lsp-add", string(s), string(p)},
		Undo: []string{"--if-exists", "lsp-del", string(p)},
	}
}

// SwitchPortDelete deletes a port, for good.
func SwitchPortDelete(p SwitchPort) plan.Op {
	return plan.Op{Do: []string{"--if-exists", "lsp-del", string(p)}}
}

// SwitchPortAddresses sets what a port is reached by. An address is
// "MAC [IP]…" (ovn-nb(5), Logical_Switch_Port, addresses). The command refuses
// an IPv4 or IPv6 address that another port of the switch has.
func SwitchPortAddresses(p SwitchPort, address string) plan.Op {
	return plan.Op{Do: []string{"lsp-set-addresses", string(p), address}}
}

// SwitchPortDynamic has ovn-northd choose the port's IPv4 address, in the subnet of
// the switch (ovn-nb(5), Logical_Switch_Port, addresses, "dynamic").
func SwitchPortDynamic(p SwitchPort, mac string) plan.Op {
	return plan.Op{Do: []string{"lsp-set-addresses", string(p), mac + " dynamic"}}
}

// Allocated waits, inside the database server, until ovn-northd has chosen the
// port's address, for at most timeout milliseconds; ReadAllocated reads the answer.
func Allocated(conn string, p SwitchPort, timeout int) ovsdb.Transaction {
	where := []ovsdb.Condition{ovsdb.Is("name", string(p))}
	return northbound(conn,
		ovsdb.WaitOther(timeout, "Logical_Switch_Port", where, map[string]any{"dynamic_addresses": ovsdb.Set[string]()}),
		ovsdb.Select("Logical_Switch_Port", where, "dynamic_addresses"))
}

// ReadAllocated reads the answer to Allocated.
func ReadAllocated(results []ovsdb.Result) []netip.Addr {
	if len(results) < 2 {
		return nil
	}
	var all []string
	for _, r := range results[1].Rows {
		all = append(all, r.String("dynamic_addresses"))
	}
	return Addresses(all)
}

// SwitchPortSecurity lets a port send only with these addresses.
func SwitchPortSecurity(p SwitchPort, address string) plan.Op {
	return plan.Op{Do: []string{"lsp-set-port-security", string(p), address}}
}

// SwitchPortUnguarded lets a port send with any address, as one that forwards for
// others must.
func SwitchPortUnguarded(p SwitchPort) plan.Op {
	return plan.Op{Do: []string{"lsp-set-port-security", string(p)}}
}

// SwitchPortDHCP has OVN answer the DHCP requests of a port, with the options of
// these rows of DHCP_Options; "" for those of a family that it does not answer
// (ovn-nb(5), Logical_Switch_Port, dhcpv4_options). The row's own command,
// lsp-set-dhcpv4-options, knows no row that the same invocation has made.
func SwitchPortDHCP(p SwitchPort, v4, v6 string) plan.Op {
	column := func(name, row string) string { return name + "=" + cmp.Or(row, "[]") }
	return plan.Op{Do: []string{"set", "Logical_Switch_Port", string(p), column("dhcpv4_options", v4), column("dhcpv6_options", v6)}}
}

// SwitchPortSet sets external_ids of a port.
func SwitchPortSet(p SwitchPort, ids map[string]string) plan.Op {
	return plan.Op{Do: append([]string{"set", "Logical_Switch_Port", string(p)}, ovsdb.Columns("external_ids", ids)...)}
}
