package executor_test

import (
	"context"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// watching runs watches until the test ends, and returns how to wait for one to
// tell of a name; "" stands for what has none.
func watching(t *testing.T, watches []ovsdb.Watch) (tells func(name string)) {
	t.Helper()
	e := executor.New(zaptest.NewLogger(t))
	ctx, stop := context.WithCancel(context.Background())
	told := make(chan []string, 100)
	var all sync.WaitGroup
	for _, w := range watches {
		all.Go(func() {
			if err := e.Watch(ctx, w, func(names []string) { told <- names }); err != nil && ctx.Err() == nil {
				t.Errorf("watching %s: %v", w.Table, err)
			}
		})
	}
	t.Cleanup(func() { stop(); all.Wait() })
	return func(name string) {
		t.Helper()
		for {
			select {
			case names := <-told:
				if slices.Contains(names, name) {
					return
				}
			case <-time.After(10 * time.Second):
				t.Errorf("no watch tells of %q", name)
				return
			}
		}
	}
}

func do(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

// What somebody deletes of the northbound database is told, by name.
func TestWatchNorthbound(t *testing.T) {
	north := database(t, schema(t, "/usr/share/ovn", "ovn-nb.ovsschema"))
	nbctl := func(args ...string) { do(t, append([]string{"ovn-nbctl", "--db=" + north}, args...)...) }
	ours := []string{"external_ids:owner=o", "external_ids:instance=i"}
	port := func(name string) []string {
		return append([]string{"--", "lsp-add", "ls", name, "--", "set", "Logical_Switch_Port", name}, ours...)
	}
	nbctl(append([]string{"ls-add", "ls", "--", "set", "Logical_Switch", "ls", "external_ids:owner=o"}, port("before")...)...)
	tells := watching(t, ovn.Watches(north, "o", "i", ovn.Kinds{Routing: true, NAT: true, DHCP: true}))
	<-time.After(time.Second)
	nbctl(port("after")[1:]...)
	nbctl("lsp-del", "after")
	tells("after")
	nbctl("lsp-del", "before")
	tells("before")
	nbctl("--", "--id=@d", "create", "DHCP_Options", "cidr=192.0.2.0/24", "external_ids:owner=o")
	nbctl("--all", "destroy", "DHCP_Options")
	tells("192.0.2.0/24")
	nbctl("lr-add", "lr", "--", "--id=@n", "create", "NAT", "type=snat", `external_ip="192.0.2.9"`, `logical_ip="10.0.0.0/24"`, "external_ids:owner=o", "--", "add", "Logical_Router", "lr", "nat", "@n")
	nbctl("lr-nat-del", "lr")
	tells("192.0.2.9")
	nbctl("ls-del", "ls")
	tells("ls")
}

// Of Open vSwitch's database, changed and removed settings are told, and
// removed ports.
func TestWatchOpenVSwitch(t *testing.T) {
	local := database(t, schema(t, "/usr/share/openvswitch", "vswitch.ovsschema"))
	vsctl := func(args ...string) {
		do(t, append([]string{"ovs-vsctl", "--no-wait", "--db=" + local}, args...)...)
	}
	vsctl("init", "--", "add-br", "br", "--", "add-port", "br", "p", "--", "set", "Interface", "p", "external_ids:owner=o", "--",
		"set", "Open_vSwitch", ".", "external_ids:a=1", "external_ids:b=1")
	tells := watching(t, ovs.Watches(local, map[string]string{"owner": "o"}, false))
	<-time.After(time.Second)
	vsctl("remove", "Open_vSwitch", ".", "external_ids", "a")
	tells("")
	vsctl("set", "Open_vSwitch", ".", "external_ids:b=2")
	tells("")
	vsctl("del-port", "p")
	tells("p")
	vsctl("add-port", "br", "q", "--", "set", "Interface", "q", "external_ids:owner=o")
	vsctl("del-br", "br")
	tells("q")
}
