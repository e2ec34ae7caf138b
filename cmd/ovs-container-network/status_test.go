package main

import (
	"bytes"
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
					{ID: "0123456789abcdef", Switch: "ls", Tenant: "blue", Phase: "ready", MTU: 1442, Endpoints: 3, Deferred: 1, Removing: 2},
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

NETWORK       SWITCH  TENANT  PHASE     MTU   ENDPOINTS  DEFERRED  REMOVING
0123456789ab  ls      blue    ready     1442  3          1         2
123456789abc  ls2             deleting  1500  0          0         0
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
