package ovn

import (
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Direct returns the commands of a chain for a client whose view of the database
// may be a moment old: those that make a switch port and set it up, or remove one.
// They do not say "--may-exist" and "--if-exists", for what is not as they expect
// may only not have been heard of, and must be looked at anew. Ok is false of
// chains with other commands, which could change what is not there any more
// without an error. That an address is taken, or that a switch was deleted, such a
// client may hear too late as well, as any ovn-nbctl may between its look and its
// commit: the next comparison sets that right.
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

// Claims returns the addresses that a chain gives to new ports, each with its
// switch. Of two that one transaction gives, ovn-nbctl does not notice that they are
// the same: it looks at the ports that the switch has (ovn-nbctl.c,
// lsp_contains_duplicates), and not at those that are being added.
func Claims(ops []plan.Op) (all []string) {
	on := map[string]string{}
	for _, op := range ops {
		words := op.Do
		if len(words) > 0 && words[0] == "--may-exist" {
			words = words[1:]
		}
		switch {
		case len(words) == 3 && words[0] == "lsp-add":
			on[words[2]] = words[1]
		case len(words) > 2 && words[0] == "lsp-set-addresses":
			for _, addresses := range words[2:] {
				for i, a := range strings.Fields(addresses) {
					if i > 0 { // after the MAC
						all = append(all, on[words[1]]+" "+a)
					}
				}
			}
		}
	}
	return all
}
