package link

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// Batch is the ip(8) invocation that reads its commands from standard input.
func Batch() plan.Target {
	return plan.Target{Program: "ip", Args: []string{"-batch", "-"}, Form: plan.Batch}
}

// Ethtool is the ethtool(8) invocation, one for each command.
func Ethtool() plan.Target {
	return plan.Target{Program: "ethtool", Form: plan.Each}
}

// VethAdd makes a veth pair, both ends with one MTU, the peer with the MAC
// address that the container will have. Deleting one end deletes both.
func VethAdd(host, peer, mac string, mtu int) plan.Op {
	m := strconv.Itoa(mtu)
	return plan.Op{
		Do:   []string{"link", "add", "name", host, "mtu", m, "type", "veth", "peer", "name", peer, "mtu", m, "address", mac},
		Undo: []string{"link", "del", "dev", host},
	}
}

// Delete deletes a link, and with it the other end of a veth pair, for good.
func Delete(name string) plan.Op {
	return plan.Op{Do: []string{"link", "del", "dev", name}}
}

// NoLinkLocal keeps the kernel from giving the link an IPv6 address of its
// own when it comes up: the host would be a neighbour of the container. The
// kernel wants it before the link is up, and not in the same message.
func NoLinkLocal(name string) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "addrgenmode", "none"}}
}

// Up sets the link up.
func Up(name string) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "up"}}
}

// TxOff makes the kernel fill in checksums before a frame leaves the link. The
// userspace datapath hands frames on as they are, and the receiver drops what
// the sender left for hardware to complete.
func TxOff(name string) plan.Op {
	return plan.Op{Do: []string{"-K", name, "tx", "off"}}
}

// Into moves the link into the network namespace that a file is of (ip-link(8)), up,
// silent, and with another name.
func Into(name, namespace, as string) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "netns", namespace, "name", as, "arp", "off", "up"}}
}

// NoARP has the link answer no questions of others.
func NoARP(name string) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "arp", "off"}}
}

// Hardware sets the MAC address of a link.
func Hardware(name, mac string) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "address", mac}}
}

// MTU sets the largest packet of a link.
func MTU(name string, mtu int) plan.Op {
	return plan.Op{Do: []string{"link", "set", "dev", name, "mtu", strconv.Itoa(mtu)}}
}

// AddressReplace gives the link an address, which it may have. Nobody is asked
// whether it is another one's.
func AddressReplace(name string, address netip.Prefix) plan.Op {
	words := []string{"address", "replace", address.String(), "dev", name}
	if address.Addr().Is6() {
		words = append(words, "nodad")
	}
	return plan.Op{Do: words}
}

// RouteAdd makes a route. It fails where there is another one to the same prefix.
func RouteAdd(name string, to netip.Prefix, via netip.Addr) plan.Op {
	return plan.Op{Do: []string{"route", "add", to.String(), "via", via.String(), "dev", name}}
}

// RouteDelete deletes the route that leads through the link.
func RouteDelete(name string, to netip.Prefix) plan.Op {
	return plan.Op{Do: []string{"route", "del", to.String(), "dev", name}}
}

// Sysctl is the sysctl(8) invocation, one for each command.
func Sysctl() plan.Target {
	return plan.Target{Program: "sysctl", Args: []string{"-w"}, Form: plan.Each}
}

// RouteLocalnet lets packets from 127.0.0.0/8 leave through the link
// (Documentation/networking/ip-sysctl.rst, route_localnet).
func RouteLocalnet(name string) plan.Op {
	return plan.Op{Do: []string{"net.ipv4.conf." + name + ".route_localnet=1"}}
}

// StrictReverse has the kernel take no packets on the link but from senders that it
// would reach through it (Documentation/networking/ip-sysctl.rst, rp_filter).
func StrictReverse(name string) plan.Op {
	return plan.Op{Do: []string{"net.ipv4.conf." + inParameter(name) + ".rp_filter=1"}}
}

// Forwarding has the kernel forward IPv6, on all links
// (Documentation/networking/ip-sysctl.rst, conf/all/forwarding).
func Forwarding() plan.Op {
	return plan.Op{Do: []string{"net.ipv6.conf.all.forwarding=1"}}
}

// SpeakIPv6 has the link have IPv6, or not, whatever the host's links have by default.
func SpeakIPv6(name string, yes bool) plan.Op {
	value := "1"
	if yes {
		value = "0"
	}
	return plan.Op{Do: []string{"net.ipv6.conf." + inParameter(name) + ".disable_ipv6=" + value}}
}

// inParameter is the link's name in that of a parameter, where dots are written as
// slashes (sysctl(8)).
func inParameter(name string) string { return strings.ReplaceAll(name, ".", "/") }

// NoAdvertisements has the link take no addresses and routes from router
// advertisements.
func NoAdvertisements(name string) plan.Op {
	return plan.Op{Do: []string{"net.ipv6.conf." + name + ".accept_ra=0"}}
}

// Route is a route of the host.
type Route struct {
	Prefix netip.Prefix
	Via    netip.Addr // not valid where it needs no next hop
	Device string
}

// Address is one address of a link of the host.
type Address struct {
	Link   string
	MTU    int
	Prefix netip.Prefix // address with the length of its subnet
}

// ParseAddresses reads "ip -json address show".
func ParseAddresses(out []byte) ([]Address, error) {
	var links []struct {
		Name  string `json:"ifname"`
		MTU   int    `json:"mtu"`
		Addrs []struct {
			Local  string `json:"local"`
			Length int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(out, &links); err != nil {
		return nil, fmt.Errorf("reading the host's addresses from %q: %w", out, err)
	}
	var all []Address
	for _, l := range links {
		for _, a := range l.Addrs {
			ip, err := netip.ParseAddr(a.Local)
			if err != nil {
				continue // a link without IP addresses lists empty entries
			}
			all = append(all, Address{Link: l.Name, MTU: l.MTU, Prefix: netip.PrefixFrom(ip, a.Length)})
		}
	}
	return all, nil
}

// ParseNames reads "ip -json link show": the names of the host's links.
func ParseNames(out []byte) (map[string]bool, error) {
	var links []struct {
		Name string `json:"ifname"`
	}
	if err := json.Unmarshal(out, &links); err != nil {
		return nil, fmt.Errorf("reading the host's links from %q: %w", out, err)
	}
	names := make(map[string]bool, len(links))
	for _, l := range links {
		names[l.Name] = true
	}
	return names, nil
}

// ParseRouteSource reads "ip -json route get ADDRESS": the address that the
// host sends from.
func ParseRouteSource(out []byte) (netip.Addr, error) {
	var routes []struct {
		Source string `json:"prefsrc"`
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return netip.Addr{}, fmt.Errorf("reading the host's route from %q: %w", out, err)
	}
	for _, r := range routes {
		if ip, err := netip.ParseAddr(r.Source); err == nil {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("reading the host's route: no source address in %q", out)
}

// ParseRoutes reads "ip -json route show table all": the host's routes, default
// routes left out.
func ParseRoutes(out []byte) ([]Route, error) {
	var routes []struct {
		Destination string `json:"dst"`
		Gateway     string `json:"gateway"`
		Device      string `json:"dev"`
		Type        string `json:"type"`
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("reading the host's routes from %q: %w", out, err)
	}
	var all []Route
	for _, r := range routes {
		if r.Type == "multicast" || r.Type == "broadcast" || r.Type == "anycast" {
			continue
		}
		via, _ := netip.ParseAddr(r.Gateway)
		if p, err := netip.ParsePrefix(r.Destination); err == nil && p.Bits() > 0 {
			all = append(all, Route{Prefix: p, Via: via, Device: r.Device})
		} else if ip, err := netip.ParseAddr(r.Destination); err == nil {
			all = append(all, Route{Prefix: netip.PrefixFrom(ip, ip.BitLen()), Via: via, Device: r.Device})
		}
	}
	return all, nil
}
