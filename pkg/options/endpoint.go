package options

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// dockerPrefix begins the keys that Docker itself puts beside a user's driver options: port maps, MAC address,
// interface name. They are not for this package to judge.
const dockerPrefix = "com.docker."

// ParseEndpoint reads the Options of a CreateEndpoint request, with which the driver options of one endpoint come
// (`docker network connect --driver-opt`, or driver_opts under a service's network in Compose). There are none yet. Keys of Docker's own are skipped; any other is refused,
// because a driver option that does nothing misleads whoever wrote it.
func ParseEndpoint(opts map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		if strings.HasPrefix(key, dockerPrefix) {
			continue
		}
		if slices.Contains(names(), key) {
			return fmt.Errorf("driver option %q belongs to a network, not to an endpoint: give it to `docker network create --opt`", key)
		}
		return fmt.Errorf("unknown driver option %s: endpoints have no driver options; leave it out", quote(key))
	}
	return nil
}
