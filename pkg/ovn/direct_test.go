package ovn

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

func TestDirect(t *testing.T) {
	ids := map[string]string{"owner": "x"}
	attach := []plan.Op{
		SwitchPortAdd("ls", "p"), SwitchPortAddresses("p", "02:00:00:00:00:01 10.0.0.2"), SwitchPortSecurity("p", "02:00:00:00:00:01"),
		SwitchPortSet("p", ids), SwitchPortDHCP("p", "", ""),
	}
	got, ok := Direct(attach)
	if !ok || fmt.Sprint(got[0].Do) != "[lsp-add ls p]" || len(got) != len(attach) {
		t.Errorf("a port: %v, %q", ok, got)
	}
	if fmt.Sprint(attach[0].Do) != "[--may-exist lsp-add ls p]" {
		t.Errorf("the chain itself was changed: %q", attach[0].Do)
	}
	got, ok = Direct([]plan.Op{SwitchPortDelete("p"), SwitchPortDelete("q")})
	if !ok || fmt.Sprint(got[1].Do) != "[lsp-del q]" {
		t.Errorf("removals: %v, %q", ok, got)
	}
	for name, ops := range map[string][]plan.Op{
		"nothing":                 {},
		"a port made before":      {SwitchPortAddresses("p", "unknown")},
		"marks of a port of that": {SwitchPortAdd("ls", "p"), SwitchPortSet("q", ids)},
		"an empty command":        {{}},
		"anything else":           {SwitchPortAdd("ls", "p"), {Do: []string{"lr-add", "r"}}},
	} {
		if got, ok := Direct(ops); ok {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestClaims(t *testing.T) {
	ops := []plan.Op{
		{Do: []string{"--may-exist", "lsp-add", "ls", "p"}},
		{Do: []string{"lsp-set-addresses", "p", "0a:00:00:00:00:01 10.0.0.2 fd00::2"}},
		{Do: []string{"lsp-set-port-security", "p", "0a:00:00:00:00:01 10.0.0.2"}},
	}
	if got, want := Claims(ops), []string{"ls 10.0.0.2", "ls fd00::2"}; !slices.Equal(got, want) {
		t.Errorf("claims: %q, want %q", got, want)
	}
}
