package executor_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// missing skips the test at home, and fails it in CI.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" && os.Getuid() == 0 {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// schema returns the path of a schema file of the OVS or OVN packages.
func schema(t *testing.T, folder, file string) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("OVN_SCHEMA_DIR"), folder} {
		if path := filepath.Join(dir, file); dir != "" {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	missing(t, "no %s in %s, nor in OVN_SCHEMA_DIR: install the package that has it", file, folder)
	return ""
}

// database starts an ovsdb-server of its own and returns its address.
func database(t *testing.T, schemaPath string) string {
	t.Helper()
	for _, program := range []string{"ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovn-nbctl", "ovs-vsctl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "%s is not installed (openvswitch-common, openvswitch-switch, ovn-common)", program)
		}
	}
	// Not t.TempDir: a unix socket's path has room for 107 characters.
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	file, socket := filepath.Join(dir, "db"), filepath.Join(dir, "sock")
	if out, err := exec.Command("ovsdb-tool", "create", file, schemaPath).CombinedOutput(); err != nil {
		t.Fatalf("making the database: %v: %s", err, out)
	}
	server := exec.Command("ovsdb-server", file, "--remote=punix:"+socket, "--unixctl="+filepath.Join(dir, "ctl"), "-vconsole:err", "-vsyslog:off", "-vfile:off")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	for range 200 {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return "unix:" + socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the database server did not come up")
	return ""
}

// dump is everything in a database but the row ids, which change.
func dump(t *testing.T, db, name string) string {
	t.Helper()
	out, err := exec.Command("ovsdb-client", "dump", "--format=csv", db, name).Output()
	if err != nil {
		t.Fatalf("dumping %s: %v", db, err)
	}
	var kept []string
	for line := range strings.Lines(string(out)) {
		kept = append(kept, uuids.ReplaceAllString(line, "ID"))
	}
	return strings.Join(kept, "")
}

// Every plan, on real databases: what it makes is there, making it again
// changes nothing, and taking it back leaves what was there before.
func TestPlansOnRealDatabases(t *testing.T) {
	local := database(t, schema(t, "/usr/share/openvswitch", "vswitch.ovsschema"))
	north := database(t, schema(t, "/usr/share/ovn", "ovn-nb.ovsschema"))
	e := executor.New(zaptest.NewLogger(t))
	ctx := context.Background()
	for _, init := range [][]string{{"ovs-vsctl", "--no-wait", "--db=" + local, "init"}, {"ovn-nbctl", "--db=" + north, "init"}} {
		if out, err := exec.Command(init[0], init[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", init, err, out)
		}
	}
	for _, opts := range []map[string]string{
		{"ovn.switch": "ls-plain"},
		{"ovn.switch": "ls-full", "tenant_id": "t1", "vlan": "100", "mtu": "1400", "ovn.encap": "vxlan", "ovn.encap_ip": "192.0.2.10"},
	} {
		t.Run(opts["ovn.switch"], func(t *testing.T) {
			opts["ovn.nb_connection"], opts["ovn.sb_connection"] = "tcp:127.0.0.1:6641", "tcp:127.0.0.1:6642"
			o, err := options.ParseNetwork(opts)
			if err != nil {
				t.Fatal(err)
			}
			n := topology.Network{ID: strings.Repeat("a", 64), Instance: "i", Options: o, NB: north, SB: o.SB, MTU: 1500, Datapath: topology.Kernel}
			c := topology.Chassis{OVSDB: local, Instance: "i", Bridge: n.Bridge(), SB: o.SB, EncapFrom: "192.0.2.1"}
			settled := func() plan.Plan {
				results, err := e.Transact(ctx, ovs.Look(local, "nobody"))
				if err != nil {
					t.Fatal(err)
				}
				seen := ovs.ReadLook(results, n.Bridge())
				if seen.Bridge != nil {
					seen.Bridge.Open = true // which takes an ovs-vswitchd
				}
				p, s, err := c.Plan(seen)
				if err != nil {
					t.Fatal(err)
				}
				n.Host = s.SystemID
				return withoutWait(p)
			}
			looked := func() ovn.Seen {
				results, err := e.Transact(ctx, n.Look(nil))
				if err != nil {
					t.Fatal(err)
				}
				return n.Seen(results)
			}
			startLocal, startNorth := dump(t, local, ovsdb.Local), dump(t, north, ovsdb.Northbound)

			chassis := settled()
			network, err := n.Plan(looked())
			if err != nil {
				t.Fatal(err)
			}
			addresses := []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")}
			ep := topology.Endpoint{ID: strings.Repeat("e", 64), NetworkID: n.ID, Instance: "i", MAC: topology.MAC(addresses, "e"), Addresses: addresses}
			lanes := ep.Plan(n, topology.Host{OVSDB: local})
			port := plan.Plan{Steps: lanes.Host.Steps[len(lanes.Host.Steps)-1:]} // the step that is a transaction

			all := []plan.Plan{chassis, network, lanes.North, port}
			for _, p := range all {
				if err := e.Apply(ctx, p); err != nil {
					t.Fatal(err)
				}
			}
			madeLocal, madeNorth := dump(t, local, ovsdb.Local), dump(t, north, ovsdb.Northbound)
			if !strings.Contains(madeNorth, "10.0.0.2 fd00::2") || !strings.Contains(madeLocal, ep.HostLink()) {
				t.Fatalf("not made:\n%s\n%s", madeNorth, madeLocal)
			}
			if again := settled(); !again.Empty() {
				t.Errorf("the chassis needs more: %s", again)
			}
			again, err := n.Plan(looked())
			if err != nil {
				t.Fatal(err)
			}
			// Of two that saw no switch, the second finds that there is one now.
			if err := e.Apply(ctx, network); !errors.Is(err, ovsdb.ErrTimedOut) {
				t.Errorf("the switch was made twice: %v", err)
			}
			for _, p := range []plan.Plan{again, lanes.North, port} {
				if err := e.Apply(ctx, p); err != nil {
					t.Errorf("a second time: %v", err)
				}
			}
			if l, n := dump(t, local, ovsdb.Local), dump(t, north, ovsdb.Northbound); l != madeLocal || n != madeNorth {
				t.Errorf("a second time changed something:\n%s\n%s", l, n)
			}
			for _, p := range []plan.Plan{port, lanes.North} {
				if err := e.Undo(ctx, p); err != nil {
					t.Error(err)
				}
			}
			if err := e.Apply(ctx, n.Removal(looked())); err != nil {
				t.Error(err)
			}
			if err := e.Undo(ctx, chassis); err != nil {
				t.Error(err)
			}
			if got := dump(t, local, ovsdb.Local); got != startLocal {
				t.Errorf("local database differs:\n%s\nbefore:\n%s", got, startLocal)
			}
			if got := dump(t, north, ovsdb.Northbound); got != startNorth {
				t.Errorf("northbound database differs:\n%s\nbefore:\n%s", got, startNorth)
			}
		})
	}
}
