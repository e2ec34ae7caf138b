package topology

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// userPrefix begins the keys, in external_ids of a switch that a plugin made,
// that name the networks using it: "network-<id>" = instance.
const userPrefix = "network-"

// Plan returns what makes the network in OVN: its logical switch, or its use of
// one that is there.
func (n Network) Plan(seen ovn.Seen) (plan.Plan, error) {
	s := n.Switch()
	vlan := ""
	if n.Options.VLAN != 0 {
		vlan = strconv.Itoa(n.Options.VLAN)
	}
	switch len(seen.Switches) {
	case 0:
		made := ids("instance", n.Instance, "host", n.Host, "tenant_id", n.Options.TenantID, "vlan", vlan, userPrefix+n.ID, n.Instance)
		return plan.New(ovn.SwitchInsert(n.NB, s, made)), nil
	case 1:
	default:
		return plan.Plan{}, fmt.Errorf("logical switch %q is there %d times: remove all but one (ovn-nbctl ls-list, then ls-del by UUID)", s, len(seen.Switches))
	}
	have := seen.Switches[0].ExternalIDs
	if have["owner"] != Owner {
		if vlan != "" {
			return plan.Plan{}, fmt.Errorf("vlan %s cannot be recorded on logical switch %q, which was not made by this plugin: leave the option out, or use a switch of its own", vlan, s)
		}
		return plan.Plan{}, nil
	}
	if have["vlan"] != vlan {
		return plan.Plan{}, fmt.Errorf("logical switch %q has %s, and this network asks for %s: one switch has one VLAN, use another ovn.switch", s, vlanText(have["vlan"]), vlanText(vlan))
	}
	if have["tenant_id"] != n.Options.TenantID {
		return plan.Plan{}, fmt.Errorf("logical switch %q belongs to %s, and this network to %s: use another ovn.switch", s, tenantText(have["tenant_id"]), tenantText(n.Options.TenantID))
	}
	use := ovn.SwitchUse(s, userPrefix+n.ID, n.Instance)
	return plan.New(plan.Step{Target: ovn.Northbound(n.NB), Ops: []plan.Op{use}}), nil
}

func vlanText(v string) string {
	if v == "" {
		return "no vlan"
	}
	return "vlan " + v
}

func tenantText(t string) string {
	if t == "" {
		return "no tenant"
	}
	return fmt.Sprintf("tenant %q", t)
}

// Removal returns what takes the network out of OVN: the deletion of its
// switch when nobody else uses it, else the end of its use of it. A switch
// that holds ports of others stays, as does one that a plugin did not make.
func (n Network) Removal(seen ovn.Seen) plan.Plan {
	if len(seen.Switches) != 1 {
		return plan.Plan{}
	}
	row := seen.Switches[0]
	if row.ExternalIDs["owner"] != Owner {
		return plan.Plan{}
	}
	if len(row.Ports) == 0 && n.lastUser(row) {
		return plan.New(ovn.SwitchDelete(n.NB, row).Step())
	}
	use := ovn.SwitchUse(n.Switch(), userPrefix+n.ID, n.Instance)
	return plan.New(plan.Step{Target: ovn.Northbound(n.NB), Ops: []plan.Op{use}}).Reverse()
}

func (n Network) lastUser(row ovn.SwitchRow) bool {
	for key := range row.ExternalIDs {
		if strings.HasPrefix(key, userPrefix) && key != userPrefix+n.ID {
			return false
		}
	}
	return true
}

// Holds reports whether the network has its logical switch, and its mark on it.
func (n Network) Holds(switches []ovn.SwitchRow) bool {
	if len(switches) != 1 {
		return false
	}
	have := switches[0].ExternalIDs
	return have["owner"] != Owner || have[userPrefix+n.ID] == n.Instance
}

// Users returns the networks that the row says use it, and their instances.
func Users(row ovn.SwitchRow) map[string]string {
	users := map[string]string{}
	if row.ExternalIDs["owner"] != Owner {
		return users
	}
	for key, instance := range row.ExternalIDs {
		if id, ok := strings.CutPrefix(key, userPrefix); ok {
			users[id] = instance
		}
	}
	return users
}

// Look returns the read that Plan and Removal take.
func (n Network) Look() ovsdb.Transaction { return ovn.Look(n.NB, n.Switch()) }
