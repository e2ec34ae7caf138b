package ovn

import (
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
	return plan.Target{Program: "ovn-nbctl", Args: []string{"--db=" + conn}, Form: plan.Chain}
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

// SwitchPortSecurity lets a port send only with these addresses.
func SwitchPortSecurity(p SwitchPort, address string) plan.Op {
	return plan.Op{Do: []string{"lsp-set-port-security", string(p), address}}
}

// SwitchPortUnguarded lets a port send with any address, as one that forwards for
// others must.
func SwitchPortUnguarded(p SwitchPort) plan.Op {
	return plan.Op{Do: []string{"lsp-set-port-security", string(p)}}
}

// SwitchPortSet sets external_ids of a port.
func SwitchPortSet(p SwitchPort, ids map[string]string) plan.Op {
	return plan.Op{Do: append([]string{"set", "Logical_Switch_Port", string(p)}, ovsdb.Columns("external_ids", ids)...)}
}
