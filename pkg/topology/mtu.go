package topology

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
)

// DefaultMTU is the MTU of a network that names none and whose traffic does
// not leave the host.
const DefaultMTU = 1500

// overhead is what a tunnel adds to a packet over IPv4, in bytes; IPv6 adds 20
// more.
var overhead = map[string]int{"geneve": 58, "vxlan": 50}

// dockerBridge matches the links that Docker makes for its own networks.
var dockerBridge = regexp.MustCompile(`^(docker0|br-[0-9a-f]{12})$`)

// MTU returns the MTU of a network's containers. Asked is 0 when the network
// names none. While the encap address lies on a bridge of Docker's, no other
// chassis can be reached through it, no packet is tunnelled and none needs
// room for the tunnel.
func MTU(asked int, s Settled, addresses []link.Address, subnets []Subnet) (int, error) {
	mtu, err := fitting(asked, s, addresses)
	if err != nil {
		return 0, err
	}
	for _, n := range subnets {
		if n.Pool.Addr().Is6() && mtu < minimumIPv6 {
			return 0, fmt.Errorf("mtu %d is too small for subnet %s: IPv6 needs %d", mtu, n.Pool, minimumIPv6)
		}
	}
	return mtu, nil
}

// minimumIPv6 is the smallest MTU that the kernel runs IPv6 on (RFC 8200, 5).
const minimumIPv6 = 1280

func fitting(asked int, s Settled, addresses []link.Address) (int, error) {
	room := 0
	if ip, err := netip.ParseAddr(s.EncapIP); err == nil {
		for _, a := range addresses {
			if a.Prefix.Addr() != ip || dockerBridge.MatchString(a.Link) || a.Link == "lo" {
				continue
			}
			room = a.MTU - tunnelOverhead(s.Encap)
			if ip.Is6() {
				room -= 20
			}
		}
	}
	switch {
	case room == 0 && asked == 0:
		return DefaultMTU, nil
	case room == 0:
		return asked, nil
	case asked == 0:
		return min(room, DefaultMTU), nil
	case asked > room:
		return 0, fmt.Errorf("mtu %d does not fit: the link of the encap address %s leaves %d for packets inside %s", asked, s.EncapIP, room, s.Encap)
	}
	return asked, nil
}

// tunnelOverhead returns that of the largest of a chassis' tunnel types, of
// which an administrator may list several.
func tunnelOverhead(encaps string) int {
	most := 0
	for e := range strings.SplitSeq(encaps, ",") {
		most = max(most, overhead[e])
	}
	return most
}
