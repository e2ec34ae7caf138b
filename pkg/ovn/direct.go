package ovn

import (
	"slices"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Direct returns the commands of a chain for a client whose view of the database
// may be a moment old: those that make a switch port and set it up, or remove one.
// They do not say "--may-exist" and "--if-exists", for what is not as they expect
// may only not have been heard of, and must be looked at anew. Ok is false of
// chains with other commands, which could change what is not there any more
// without an error.
func Direct(ops []plan.Op) (direct []plan.Op, ok bool) {
	made := map[string]bool{}
	for _, op := range ops {
		words := op.Do
		if len(words) > 0 && (words[0] == "--may-exist" || words[0] == "--if-exists") {
			words = words[1:]
		}
		switch {
		case len(words) == 3 && words[0] == "lsp-add":
			made[words[2]] = true
		case len(words) == 2 && words[0] == "lsp-del":
		case len(words) > 1 && slices.Contains([]string{"lsp-set-addresses", "lsp-set-port-security"}, words[0]) && made[words[1]]:
		case len(words) > 2 && words[0] == "set" && words[1] == "Logical_Switch_Port" && made[words[2]]:
		default:
			return nil, false
		}
		direct = append(direct, plan.Op{Do: words})
	}
	return direct, len(direct) > 0
}
