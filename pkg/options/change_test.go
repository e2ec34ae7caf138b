package options

import (
	"reflect"
	"strings"
	"testing"
)

// What was changed is as if it had been given at first.
func TestChange(t *testing.T) {
	n, err := ParseNetwork(with("mirror.ports", "all", "mirror.dest", "m"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		changes map[string]string
		as      map[string]string
	}{
		{map[string]string{"mtu": "1400"}, with("mirror.ports", "all", "mirror.dest", "m", "mtu", "1400")},
		{map[string]string{"com.docker.network.driver.mtu": "1400"}, with("mirror.ports", "all", "mirror.dest", "m", "mtu", "1400")},
		{map[string]string{"mtu": ""}, with("mirror.ports", "all", "mirror.dest", "m")},
		{map[string]string{"mirror.ports": "b,a", "mirror.dest": "gre:192.0.2.1"}, with("mirror.ports", "a,b", "mirror.dest", "gre:192.0.2.1")},
		{map[string]string{"mirror.ports": ""}, with("mirror.dest", "m")},
		{map[string]string{"mirror.ports": "", "mirror.dest": ""}, with()},
	} {
		want, err := ParseNetwork(c.as)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.Change(c.changes); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v\ngot  %+v\nwant %+v", c.changes, err, got, want)
		}
	}
	for name, c := range map[string]struct{ value, says string }{
		"mirror.dest": {"", "mirror.ports needs mirror.dest"},
		"mtu":         {"10", `option "mtu": "10" is not an MTU`},
		"vlan":        {"5", `option "vlan" cannot be changed while the network is there: those that can are mtu, mirror.ports, mirror.dest`},
		"mirror.port": {"all", `did you mean "mirror.ports"?`},
		"":            {"", "unknown option"},
	} {
		if got, err := n.Change(map[string]string{name: c.value}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%s: %v, want %q (%+v)", name, c.value, err, c.says, got)
		}
	}
}
