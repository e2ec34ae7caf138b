package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
)

func TestPrintStatus(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		status control.Status
		want   string
	}{
		"in work": {
			control.Status{
				Version: "1.0", Instance: "uuid", Started: at, Ready: true, OVS: "ok",
				Databases: []control.DB{{Connection: "tcp:10.0.0.1:6641"}, {Connection: "tcp:172.30.0.5:6641", Away: &at}},
				Networks: []control.Network{
					{ID: "0123456789abcdef", Name: "web", Switch: "ls", Router: "lr", Transit: "ls-t", Tenant: "blue", Phase: "ready", MTU: 1442, Endpoints: 3, Deferred: 1, Removing: 2, Mirror: "all > monitor-port"},
					{ID: "123456789abcdef0", Switch: "ls2", Phase: "deleting", MTU: 1500},
				},
				Recovery: reconcile.Report{
					Restored: reconcile.Restored{Networks: 2, Endpoints: 3}, Dropped: []string{"/data/networks/x.json: no checksum; left in place"},
					Repaired: []string{"logical switch ls of network 0123456789ab"},
				},
			},
			`version                         1.0
instance                        uuid
running since                   2026-01-02T03:04:05Z
open vswitch                    ok
northbound tcp:10.0.0.1:6641    ok
northbound tcp:172.30.0.5:6641  does not answer since 2026-01-02T03:04:05Z
restored at start               2 networks, 3 endpoints
state file not used             /data/networks/x.json: no checksum; left in place
repaired                        logical switch ls of network 0123456789ab
networks                        2

NETWORK       NAME  SWITCH  ROUTER  TRANSIT  TENANT  PHASE     MTU   ENDPOINTS  DEFERRED  REMOVING
0123456789ab  web   ls      lr      ls-t     blue    ready     1442  3          1         2
123456789abc        ls2                              deleting  1500  0          0         0

MIRRORED            NETWORK
all > monitor-port  0123456789ab
`,
		},
		"recovering": {
			control.Status{Version: "1.0", Instance: "uuid", Started: at, OVS: "no such file"},
			`version        1.0
instance       uuid
running since  2026-01-02T03:04:05Z
recovery       not over yet
open vswitch   no such file
networks       0
`,
		},
		"refusing": {
			control.Status{Version: "1.0", Started: at, OVS: "ok", Refusal: "in use by another process"},
			`version               1.0
instance              
running since         2026-01-02T03:04:05Z
refuses all requests  in use by another process
open vswitch          ok
networks              0
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := printStatus(&out, c.status); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", &out, c.want)
			}
		})
	}
}

// A plugin that does not run has left a report, and of several the newest
// counts.
func TestStatusOfNoPlugin(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"new", "old"} {
		path := filepath.Join(dir, name, reconcile.ReportFile)
		text := `{"data": {"at": "2026-01-02T03:04:05Z", "restored": {"networks": 2, "endpoints": 3}, "dropped": ["` + name + `"]}}`
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	cmd := statusCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--socket", filepath.Join(dir, "none.sock"), "--reports", filepath.Join(dir, "*", reconcile.ReportFile)})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "is it enabled") {
		t.Errorf("error %v", err)
	}
	want := "last report          2026-01-02T03:04:05Z (" + filepath.Join(dir, "new", reconcile.ReportFile) + ")\n" +
		"restored at start    2 networks, 3 endpoints\n" +
		"state file not used  new\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
