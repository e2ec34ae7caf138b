package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// wish is what was asked for of a network: Docker and the state files both have it.
type wish struct {
	Switch, Router, Role string
	Subnets              []subnet
}

type subnet struct{ Pool, Gateway string }

// on is the network's logical switch. That of a transit network may have no name but that of its subnet.
func (w wish) on() string {
	if w.Switch != "" || len(w.Subnets) == 0 {
		return w.Switch
	}
	return "ls-transit-" + strings.NewReplacer("/", "-", ":", "-").Replace(w.Subnets[0].Pool)
}

func (w wish) routed() bool { return w.Router != "" || w.Role == "transit" }

// gateways are the addresses that the network's router owns, with the length of their subnets.
func (w wish) gateways() []string {
	var all []string
	for _, s := range w.Subnets {
		if _, bits, _ := strings.Cut(s.Pool, "/"); s.Gateway != "" {
			all = append(all, s.Gateway+"/"+bits)
		}
	}
	return all
}

func (w wish) String() string {
	text := "switch " + w.on()
	if w.routed() {
		text += fmt.Sprintf(", role %q, router %q, gateways %s", w.Role, w.Router, strings.Join(slices.Sorted(slices.Values(w.gateways())), " "))
	}
	return text
}

// record is what a state file holds.
type record struct {
	UUID, ID, MAC string
	NetworkID     string `json:"network_id"`
	Addresses     []string
	Deferred      bool
	Options       struct {
		Switch, Router, Role string
		NextHop              string `json:"external_gateway"`
	}
	Subnets       []subnet
	GatewayRouter string `json:"gateway_router"`
	Exit          []string
	Uplink        *struct {
		Switch, Address string
		NextHop         string `json:"next_hop"`
	}
	Transit *struct {
		Switch              string
		GatewayRouter       string `json:"gateway_router"`
		Gateways, Addresses []string
	}
}

func (r record) wish() wish {
	return wish{r.Options.Switch, r.Options.Router, r.Options.Role, r.Subnets}
}

// What OVN holds of routers, in sentences.
func place(router, address, on string) string { return router + " has " + address + " on " + on }

func route(router, to, via string) string {
	via, _, _ = strings.Cut(via, "/")
	return router + " sends " + to + " to " + via
}

func hides(router, behind string) string {
	behind, _, _ = strings.Cut(behind, "/")
	return router + " hides what leaves behind " + behind
}

// anywhere is the prefix of a default route in the family of its next hop.
func anywhere(via string) string {
	if isSix(via) {
		return "::/0"
	}
	return "0.0.0.0/0"
}

func isSix(address string) bool { return strings.Contains(address, ":") }

func sentences(all []string) string { return strings.Join(slices.Sorted(slices.Values(all)), "; ") }

// wiring is all that OVN has to hold of a network.
func (r record) wiring() string {
	w := r.wish()
	all := []string{"switch " + w.on()}
	router, next := w.Router, r.Options.NextHop
	switch {
	case w.Role == "transit":
		router = r.GatewayRouter
		if next != "" && !slices.ContainsFunc(w.Subnets, func(s subnet) bool { return s.Gateway == next }) {
			all = append(all, route(router, anywhere(next), next))
		}
	case w.routed():
		all = append(all, "router "+router)
	default:
		return sentences(all)
	}
	for _, a := range w.gateways() {
		all = append(all, place(router, a, w.on()))
	}
	if u := r.Uplink; u != nil {
		all = append(all, place(router, u.Address, u.Switch), route(router, anywhere(u.NextHop), u.NextHop), hides(router, u.Address))
	}
	for _, a := range r.Exit {
		all = append(all, place(router, a, "ls-join"))
		if r.Transit == nil && r.Uplink == nil { // which is the way out otherwise
			host := "100.64.0.1"
			if isSix(a) {
				host = "fd64::1"
			}
			all = append(all, route(router, anywhere(a), host))
		}
	}
	if r.Transit == nil {
		return sentences(all)
	}
	for _, a := range r.Transit.Addresses {
		all = append(all, place(router, a, r.Transit.Switch))
		for _, g := range r.Transit.Gateways {
			if isSix(a) == isSix(g) {
				all = append(all, route(router, anywhere(g), g))
			}
		}
		for _, s := range w.Subnets {
			if isSix(a) == isSix(s.Pool) {
				all = append(all, route(r.Transit.GatewayRouter, s.Pool, a))
			}
		}
	}
	return sentences(all)
}

// users are the networks of a plugin that a row is marked with, and the addresses that each needs of it.
func users(row ovsdb.Row, instance string) map[string][]string {
	all := map[string][]string{}
	for key, value := range row.Map("external_ids") {
		words := strings.Fields(value)
		if id, is := strings.CutPrefix(key, "network-"); is && len(words) > 0 && words[0] == instance {
			all[id] = words[1:]
		}
	}
	return all
}
