package topology

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
)

// mtuPrefix begins the keys, on a network's port of its router, that tell the MTU of
// its containers: "mtu-<id>". A switch of two networks has that of the smaller.
const mtuPrefix = "mtu-"

// fits sees to it that routers answer packets that are too long for the switch that
// they go to, and do not just lose them there. It costs flows, and the userspace of a
// kernel before 5.2 each packet, so only ports have it that there are larger switches
// beside.
func (w *wiring) fits() {
	mtus := map[string]int{string(w.n.Switch()): w.n.MTU}
	for _, p := range w.seen.RouterPorts {
		for id, text := range users(p.ExternalIDs, mtuPrefix) {
			on := suffix(p.Name)
			if mtu, err := strconv.Atoi(text); err == nil && p.ExternalIDs["owner"] == Owner && id != w.n.ID && (mtus[on] == 0 || mtu < mtus[on]) {
				mtus[on] = mtu
			}
		}
	}
	largest := 0
	for _, mtu := range mtus {
		largest = max(largest, mtu)
	}
	for i := range w.seen.RouterPorts {
		p := &w.seen.RouterPorts[i]
		mtu := mtus[suffix(p.Name)]
		if p.ExternalIDs["owner"] != Owner || mtu == 0 || p.MTU == mtu || mtu == largest && p.MTU == 0 {
			continue
		}
		w.c.RouterPortStill(*p)
		w.c.RouterPortMTU(ovn.At(p.UUID), mtu)
	}
	for _, name := range slices.Sorted(maps.Keys(w.made)) {
		if mtu := mtus[suffix(name)]; mtu > 0 && mtu < largest {
			w.c.RouterPortMTU(w.made[name], mtu)
		}
	}
}

// suffix is the switch's part of the name of a router's port that is ours.
func suffix(p ovn.RouterPort) string {
	_, on, _ := strings.Cut(string(p), ":")
	return on
}

// mtuMark is what the network's port of its router says.
func (w *wiring) mtuMark(marks map[string]string) map[string]string {
	marks[mtuPrefix+w.n.ID] = strconv.Itoa(w.n.MTU)
	return marks
}
