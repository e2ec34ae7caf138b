package options

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// dockerPrefix begins the keys that Docker itself puts beside a user's driver options: port maps, MAC address,
// interface name. They are not for this package to judge.
const dockerPrefix = "com.docker."

// Endpoint is what the driver options of one endpoint ask for.
type Endpoint struct {
	// FloatingIP is an address on a provider network that is the endpoint's own there; invalid for none.
	FloatingIP netip.Addr

	// Mirror says whether the endpoint is mirrored to its network's mirror.dest, whatever mirror.ports says; nil leaves it
	// to that.
	Mirror *bool
}

// The driver options of an endpoint.
const (
	floatingIP = "ovn.floating_ip"
	mirror     = "mirror"
)

// ParseEndpoint reads the Options of a CreateEndpoint request, with which the driver options of one endpoint come
// (`docker network connect --driver-opt`, or driver_opts under a service's network in Compose). Keys of Docker's own
// are skipped; any other that is not known is refused, because a driver option that does nothing misleads whoever
// wrote it.
func ParseEndpoint(opts map[string]any) (Endpoint, error) {
	var e Endpoint
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		if strings.HasPrefix(key, dockerPrefix) {
			continue
		}
		if key == floatingIP {
			value, _ := opts[key].(string)
			a, err := parseAddr(value)
			if err != nil || !a.Is4() {
				return e, fmt.Errorf("driver option %q: %s is not the IPv4 address of one host", key, quote(value))
			}
			e.FloatingIP = a
			continue
		}
		if key == mirror {
			value, _ := opts[key].(string)
			is, err := strconv.ParseBool(value)
			if err != nil {
				return e, fmt.Errorf("driver option %q: %s is neither true nor false", key, quote(value))
			}
			e.Mirror = &is
			continue
		}
		if slices.Contains(names(), key) {
			return e, fmt.Errorf("driver option %q belongs to a network, not to an endpoint: give it to `docker network create --opt`", key)
		}
		return e, fmt.Errorf("unknown driver option %s: those of an endpoint are %q and %q; leave it out", quote(key), floatingIP, mirror)
	}
	return e, nil
}
