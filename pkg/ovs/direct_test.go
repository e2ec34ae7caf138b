package ovs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

func TestDirect(t *testing.T) {
	ids := map[string]string{"iface-id": "lsp", "tenant_id": `a "b", c=d`}
	got, ok := Direct("unix:/s", []plan.Op{PortAdd("br-int", "p"), InterfaceSet("p", ids), PortAdd("br-int", "q")})
	if !ok || got.Server != "unix:/s" || len(got.Operations) != 8 {
		t.Fatalf("%v: %v", ok, got)
	}
	text, err := json.Marshal(got.Operations)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"columns":["name"],"op":"wait","rows":[{"name":"br-int"}],"table":"Bridge","timeout":0,"until":"==","where":[["name","==","br-int"]]}`,
		`{"op":"insert","row":{"external_ids":["map",[["iface-id","lsp"],["tenant_id","a \"b\", c=d"]]],"name":"p"},"table":"Interface","uuid-name":"interface0"}`,
		`{"op":"insert","row":{"interfaces":["named-uuid","interface1"],"name":"q"},"table":"Port","uuid-name":"port1"}`,
		`{"mutations":[["ports","insert",["named-uuid","port0"]]],"op":"mutate","table":"Bridge","where":[["name","==","br-int"]]}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for name, ops := range map[string][]plan.Op{
		"nothing":                 {},
		"a removal":               {PortDelete("p")},
		"another setting":         {PortAdd("br-int", "p"), InternalSet("p", "02:00:00:00:00:01", 1500)},
		"a port that is there":    {InterfaceSet("p", ids)},
		"one twice":               {PortAdd("br-int", "p"), PortAdd("br-int", "p")},
		"a removal after a port":  {PortAdd("br-int", "p"), PortDelete("q")},
		"external_ids as a whole": {PortAdd("br-int", "p"), {Do: []string{"set", "Interface", "p", `external_ids={a="b"}`}}},
		"a value without quotes":  {PortAdd("br-int", "p"), {Do: []string{"set", "Interface", "p", "external_ids:a=b"}}},
	} {
		if got, ok := Direct("unix:/s", ops); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
