package topology

import (
	"maps"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// changedPrefix begins the keys, in external_ids of the integration bridge, that tell
// what was changed of a network since it was made: "changed-<id>" = "KEY=VALUE …". Docker
// does not know of it, and the record may be lost.
const changedPrefix = "changed-"

// Change returns the network with options changed, as it is to be remembered.
func (n Network) Change(changes map[string]string) (Network, error) {
	o, err := n.Options.Change(changes)
	if err != nil {
		return n, err
	}
	n.Options, n.Changed = o, maps.Clone(n.Changed)
	if n.Changed == nil {
		n.Changed = map[string]string{}
	}
	maps.Copy(n.Changed, changes)
	return n, nil
}

// changes is what the bridge is to say of the network; "" for nothing.
func (n Network) changes() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(n.Changed)) {
		words = append(words, name+"="+strings.ReplaceAll(n.Changed[name], " ", ""))
	}
	return strings.Join(words, " ")
}

// Remembered reports whether the bridge says what was changed of the network.
func (n Network) Remembered(on ovs.Inventory) bool {
	return on.Bridges[n.Bridge()].ExternalIDs[changedPrefix+n.ID] == n.changes()
}

// Remember returns what has the bridge say it; a network that is gone was not changed.
func (n Network) Remember(h Host) plan.Plan {
	key := changedPrefix + n.ID
	op := ovs.BridgeMark(n.Bridge(), key, n.changes())
	return plan.New(plan.Step{Target: ovs.LocalNoWait(h.OVSDB), Ops: []plan.Op{op}})
}

// ChangedOf returns the networks that bridges say something of, and what was changed of
// each.
func ChangedOf(on ovs.Inventory) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, b := range on.Bridges {
		for key, text := range b.ExternalIDs {
			id, ok := strings.CutPrefix(key, changedPrefix)
			if !ok {
				continue
			}
			all[id] = map[string]string{}
			for word := range strings.FieldsSeq(text) {
				if name, value, ok := strings.Cut(word, "="); ok {
					all[id][name] = value
				}
			}
		}
	}
	return all
}
