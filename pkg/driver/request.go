package driver

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/ovs-container-lab/ovs-container-network/pkg/hostport"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// Keys of dockerd in the Options of its requests
// (daemon/libnetwork/netlabel/labels.go).
const (
	keyOptions  = "com.docker.network.generic"
	keyInternal = "com.docker.network.internal"
	keyPortMap  = "com.docker.network.portmap"
)

// driverOptions returns the --opt pairs of "docker network create", and
// whether the network is --internal.
func driverOptions(options map[string]any) (map[string]string, bool, error) {
	internal, _ := options[keyInternal].(bool)
	generic, ok := options[keyOptions]
	if !ok || generic == nil {
		return nil, internal, nil
	}
	pairs, ok := generic.(map[string]any)
	if !ok {
		return nil, internal, fmt.Errorf("reading dockerd's request: options are %T, not pairs of text", generic)
	}
	opts := make(map[string]string, len(pairs))
	for k, v := range pairs {
		s, ok := v.(string)
		if !ok {
			return nil, internal, fmt.Errorf("reading dockerd's request: option %q is %T, not text", k, v)
		}
		opts[k] = s
	}
	return opts, internal, nil
}

// subnets reads the address pools of a network. A pool of the null IPAM driver,
// 0.0.0.0/0, is none.
func subnets(lists ...[]*network.IPAMData) ([]topology.Subnet, string, error) {
	var all []topology.Subnet
	space := ""
	for _, d := range slices.Concat(lists...) {
		if d == nil || d.Pool == "" {
			continue
		}
		pool, err := netip.ParsePrefix(d.Pool)
		if err != nil {
			return nil, "", fmt.Errorf("reading the network's subnet %q: %w", d.Pool, err)
		}
		space = d.AddressSpace
		if pool.Bits() == 0 {
			continue
		}
		s := topology.Subnet{Pool: pool.Masked()}
		if d.Gateway != "" {
			gateway, err := netip.ParsePrefix(d.Gateway)
			if err != nil {
				return nil, "", fmt.Errorf("reading the network's gateway %q: %w", d.Gateway, err)
			}
			s.Gateway = gateway.Addr()
		}
		for name, v := range d.AuxAddresses {
			aux, err := netip.ParsePrefix(fmt.Sprint(v))
			if err != nil {
				return nil, "", fmt.Errorf("reading the network's auxiliary address %q: %w", name, err)
			}
			if s.Aux == nil {
				s.Aux = map[string]netip.Addr{}
			}
			s.Aux[name] = aux.Addr()
		}
		all = append(all, s)
	}
	// dockerd sends several subnets in the random order of a map.
	slices.SortFunc(all, func(a, b topology.Subnet) int { return a.Pool.Addr().Compare(b.Pool.Addr()) })
	return all, space, nil
}

// addresses reads the addresses that dockerd gave to an endpoint.
func addresses(i *network.EndpointInterface) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range []string{i.Address, i.AddressIPv6} {
		if text == "" {
			continue
		}
		a, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("reading the endpoint's address %q: %w", text, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// ports reads the port map of a container: what "docker run -p" asks for.
func ports(options map[string]any) ([]hostport.Request, error) {
	text, err := json.Marshal(options[keyPortMap])
	if err != nil {
		return nil, fmt.Errorf("reading dockerd's request: the port map: %w", err)
	}
	var list []struct {
		Proto                       uint8
		Port, HostPort, HostPortEnd uint16
		HostIP                      string
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading dockerd's request: the port map %s: %w", text, err)
	}
	var all []hostport.Request
	for _, p := range list {
		r := hostport.Request{Port: topology.Port{Protocol: p.Proto, HostPort: p.HostPort, Container: p.Port}, Last: p.HostPortEnd}
		if p.HostIP != "" {
			if r.Host, err = netip.ParseAddr(p.HostIP); err != nil {
				return nil, fmt.Errorf("reading dockerd's request: the host's address of port %d: %w", p.Port, err)
			}
		}
		switch {
		case r.Name() == "":
			return nil, fmt.Errorf("protocol %d cannot be published: tcp, udp and sctp can", p.Proto)
		}
		all = append(all, r)
	}
	return all, nil
}
