package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// What a recovery of everything has to do: 1,000 endpoints on 20 networks,
// after the northbound database and the bridge were lost.
const (
	lostNetworks  = 20
	lostEndpoints = 1000
)

// timings are what one recovery took.
type timings struct{ Listening, Restored, Again time.Duration }

// BenchmarkRecovery measures, with real databases and 1,000 real links: the
// start of the plugin until it listens, until all is made again, and a second
// start that finds nothing to do. It runs in a network namespace of its own, so
// it needs root.
func BenchmarkRecovery(b *testing.B) {
	if os.Getenv("RECOVERY_NAMESPACE") == "" {
		if os.Getuid() != 0 {
			b.Skip("making 1,000 links needs root")
		}
		for range b.N {
			child := exec.Command("unshare", "--net", os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkRecovery$", "-test.benchtime=1x")
			child.Env = append(os.Environ(), "RECOVERY_NAMESPACE=1")
			out, err := child.CombinedOutput()
			var t timings
			_, text, found := strings.Cut(string(out), "timings ")
			if err == nil && found {
				err = json.NewDecoder(strings.NewReader(text)).Decode(&t)
			}
			if err != nil || !found {
				b.Fatalf("%v: %s", err, out)
			}
			b.ReportMetric(float64(t.Listening.Milliseconds()), "ms-to-listening")
			b.ReportMetric(float64(t.Restored.Milliseconds()), "ms-to-last-port")
			b.ReportMetric(float64(t.Again.Milliseconds()), "ms-nothing-to-do")
		}
		b.ReportMetric(0, "ns/op")
		return
	}
	nb := benchDatabase(b, "ovn-nb.ovsschema", "/usr/share/ovn")
	local := benchDatabase(b, "vswitch.ovsschema", "/usr/share/openvswitch")
	data := filepath.Join(b.TempDir(), "data")
	lose(b, data, nb)
	for name, value := range map[string]string{
		"PLUGIN_DATA_DIR": data, "PLUGIN_LOG_LEVEL": "error", "PLUGIN_OVS_DB": local, "PLUGIN_HOST_RUN": data, "PLUGIN_STATE_BACKUP": "false",
		"DOCKER_HOST": "unix://" + data + "/docker.sock",
	} {
		b.Setenv(name, value)
	}
	var t timings
	t.Listening, t.Restored = recoverOnce(b, nb, local)
	_, t.Again = recoverOnce(b, nb, local)
	text, err := json.Marshal(t)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("timings %s\n", text)
}

// recoverOnce serves until all ports are there.
func recoverOnce(b *testing.B, nb, local string) (listening, restored time.Duration) {
	b.Helper()
	dir, err := os.MkdirTemp("", "ocn")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b.Setenv("PLUGIN_SOCKET", filepath.Join(dir, "plugin.sock"))
	b.Setenv("PLUGIN_CONTROL_SOCKET", filepath.Join(dir, "control.sock"))
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	started := time.Now()
	done.Go(func() {
		if err := serve(ctx); err != nil {
			b.Error(err)
		}
	})
	for {
		if c, err := net.Dial("unix", filepath.Join(dir, "plugin.sock")); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	listening = time.Since(started)
	for count(b, "ovn-nbctl", "--db="+nb, "Logical_Switch_Port") < lostEndpoints || count(b, "ovs-vsctl", "--db="+local, "Interface") < lostEndpoints {
		if time.Since(started) > time.Minute {
			b.Fatal("not all ports are there after a minute")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return listening, time.Since(started)
}

func count(b *testing.B, program, db, table string) int {
	b.Helper()
	out, err := exec.Command(program, db, "--bare", "--columns=name", "find", table, "external_ids:owner="+topology.Owner).Output()
	if err != nil {
		b.Fatal(err)
	}
	return len(strings.Fields(string(out)))
}

// lose makes the records and the links of the endpoints, and nothing of them in
// the databases.
func lose(b *testing.B, data, nb string) {
	b.Helper()
	s, err := store.Open(data, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	networks, err := store.NewCollection[topology.Network](s, "networks")
	if err != nil {
		b.Fatal(err)
	}
	endpoints, err := store.NewCollection[topology.Endpoint](s, "endpoints")
	if err != nil {
		b.Fatal(err)
	}
	var links strings.Builder
	for i := range lostNetworks {
		n := topology.Network{
			ID: fmt.Sprintf("%012x%052d", i+1, 0), Instance: s.Instance(), Host: "h", NB: nb, SB: "tcp:127.0.0.1:6642", MTU: 1500, Datapath: topology.Userspace,
			Options: options.Network{Switch: fmt.Sprint("ls-", i), Bridge: "br-int"},
			Subnets: []topology.Subnet{{Pool: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i))}},
		}
		if err := networks.Put(n.ID, store.Record[topology.Network]{Phase: store.Ready, Data: n}); err != nil {
			b.Fatal(err)
		}
		for j := range lostEndpoints / lostNetworks {
			e := topology.Endpoint{
				ID: fmt.Sprintf("%012x%052d", 4096+i*lostEndpoints+j, 0), NetworkID: n.ID, Instance: n.Instance, Sandbox: "/run/sandbox",
				Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.1.%d/16", i, j))},
			}
			e.MAC = topology.MAC(e.Addresses, e.ID)
			if err := endpoints.Put(e.ID, store.Record[topology.Endpoint]{Phase: store.Ready, Data: e}); err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(&links, "link add name %s type veth peer name %s\n", e.HostLink(), e.PeerLink())
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	links.WriteString("link set lo up\n")
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader(links.String())
	if out, err := batch.CombinedOutput(); err != nil {
		b.Fatalf("making links: %v: %s", err, out)
	}
}

// benchDatabase starts an ovsdb-server and returns its address.
func benchDatabase(b *testing.B, file, folder string) string {
	b.Helper()
	schema := filepath.Join(os.Getenv("OVN_SCHEMA_DIR"), file)
	if _, err := os.Stat(schema); err != nil {
		schema = filepath.Join(folder, file)
	}
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		b.Fatal(err)
	}
	db, socket := filepath.Join(dir, "db"), filepath.Join(dir, "sock")
	if out, err := exec.Command("ovsdb-tool", "create", db, schema).CombinedOutput(); err != nil {
		b.Skipf("making a database of %s: %v: %s", schema, err, out)
	}
	server := exec.Command("ovsdb-server", db, "--remote=punix:"+socket, "--unixctl="+filepath.Join(dir, "ctl"), "-vconsole:err", "-vsyslog:off", "-vfile:off")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	for range 200 {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	first := [][]string{{"ovn-nbctl", "--db=unix:" + socket, "init"}}
	if strings.HasPrefix(file, "vswitch") {
		// The chassis' settings are there: making them waits for ovs-vswitchd.
		settings := []string{"ovs-vsctl", "--db=unix:" + socket, "--no-wait", "init", "--", "add-br", "br-int", "--", "set", "Open_vSwitch", "."}
		for _, k := range []string{"system-id=h", "ovn-bridge=br-int", "ovn-remote=tcp\\:127.0.0.1\\:6642", "ovn-encap-type=geneve", "ovn-encap-ip=127.0.0.1"} {
			settings = append(settings, "external_ids:"+k)
		}
		first = [][]string{settings}
	}
	for _, argv := range first {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	return "unix:" + socket
}
