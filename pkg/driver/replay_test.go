package driver_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// recorded is one call that a Docker engine made to a plugin.
type recorded struct {
	Call    string         `json:"call"`
	At      float64        `json:"at"` // seconds
	Ms      float64        `json:"ms"` // how long the answer took
	Request map[string]any `json:"request"`
}

func load(t *testing.T, path string) []recorded {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recorded
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// Every call that two Docker engines were seen to make, in the order and with
// the overlaps that they made them with: networks of all kinds, containers,
// restarts of the engine, a plugin killed in the middle of a call, Compose.
func TestRecordedCalls(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded calls (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			p := newPlugin(t)
			send := p.serve(t, nil)
			calls := load(t, file)
			ended := make([]chan struct{}, len(calls))
			for i := range calls {
				ended[i] = make(chan struct{})
			}
			var all sync.WaitGroup
			for i, c := range calls {
				all.Go(func() {
					defer close(ended[i])
					for j := range i {
						if calls[j].At+calls[j].Ms/1000 <= c.At {
							<-ended[j]
						}
					}
					replay(t, p, send, c)
				})
			}
			all.Wait()
			if got, want := p.list(), p.wanted(); !slices.Equal(got, want) {
				t.Errorf("there is\n%q\nwant\n%q", got, want)
			}
		})
	}
}

// wanted is what must be there according to the records.
func (p *plugin) wanted() []string {
	all := []string{}
	for _, e := range p.records.Endpoints.List() {
		all = append(all, "link "+e.Data.HostLink(), "port "+e.Data.HostLink(), "lsp "+e.Data.ID)
	}
	for _, n := range p.records.Networks.List() {
		all = append(all, "ls "+string(n.Data.Switch()))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func replay(t *testing.T, p *plugin, send func(string, []byte) (int, map[string]any), c recorded) {
	var body []byte
	id, _ := c.Request["EndpointID"].(string)
	nid, _ := c.Request["NetworkID"].(string)
	if c.Request != nil {
		if c.Call == "CreateNetwork" {
			// The recording plugin had options of its own.
			c.Request["Options"].(map[string]any)["com.docker.network.generic"] = map[string]string{
				"ovn.switch": "ls-" + nid[:8], "ovn.nb_connection": "tcp:172.30.0.5:6641", "ovn.sb_connection": "tcp:172.30.0.5:6642",
			}
		}
		if opts, ok := c.Request["Options"].(map[string]any); ok && c.Call == "CreateEndpoint" {
			maps.DeleteFunc(opts, func(k string, _ any) bool { return !strings.HasPrefix(k, "com.docker.") })
		}
		var err error
		if body, err = json.Marshal(c.Request); err != nil {
			t.Error(err)
		}
	}
	_, known := p.records.Networks.Get(nid)
	status, answer := send(c.Call, body)
	text, _ := answer["Err"].(string)
	switch {
	case c.Call == "GwAllocCheck":
		if status != http.StatusNotFound {
			t.Errorf("GwAllocCheck, which the capabilities do not offer: %d", status)
		}
	case c.Call == "GetCapabilities":
		if answer["Scope"] != "local" {
			t.Errorf("capabilities %v", answer)
		}
	case c.Request == nil:
		if status != http.StatusInternalServerError || !strings.Contains(text, "without its body") {
			t.Errorf("%s without a body: %d %v", c.Call, status, answer)
		}
	case c.Call == "CreateEndpoint" && !known, c.Call == "Join" && !p.has(id):
		if status == http.StatusOK {
			t.Errorf("%s of something unknown was answered %v", c.Call, answer)
		}
	case status != http.StatusOK:
		t.Errorf("%s %.12s: %d %s", c.Call, id+nid, status, text)
	case c.Call == "CreateEndpoint":
		checkEndpoint(t, c.Request, answer)
	case c.Call == "Join":
		checkJoin(t, answer)
	}
}

func (p *plugin) has(endpoint string) bool {
	e, ok := p.records.Endpoints.Get(endpoint)
	return ok && e.Phase == store.Ready
}

// checkEndpoint: dockerd fails when a field that it filled in is answered, and
// shows no MAC address unless one is.
func checkEndpoint(t *testing.T, request, answer map[string]any) {
	asked, _ := request["Interface"].(map[string]any)
	got, _ := answer["Interface"].(map[string]any)
	for _, field := range []string{"Address", "AddressIPv6", "MacAddress"} {
		if have, _ := asked[field].(string); have != "" && got[field] != "" {
			t.Errorf("%s %q was asked for, and %q answered", field, have, got[field])
		}
	}
	if have, _ := asked["MacAddress"].(string); have == "" {
		if mac, err := net.ParseMAC(got["MacAddress"].(string)); err != nil || mac[0]&3 != 2 {
			t.Errorf("MAC address %v is not a unicast, locally administered one", got["MacAddress"])
		}
	}
}

// checkJoin: a device name that fits, and no gateway, so that Docker adds
// docker_gwbridge.
func checkJoin(t *testing.T, answer map[string]any) {
	name, _ := answer["InterfaceName"].(map[string]any)
	src, _ := name["SrcName"].(string)
	if src == "" || len(src) > 15 || name["DstPrefix"] != "eth" {
		t.Errorf("interface %v", name)
	}
	if answer["Gateway"] != "" || answer["GatewayIPv6"] != "" || answer["DisableGatewayService"] != false {
		t.Errorf("gateway %v", answer)
	}
}
