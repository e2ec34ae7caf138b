package ovsdb_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

func TestColumn(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"plain", `external_ids:k="plain"`},
		{"", `external_ids:k=""`},
		{"a b,c=d", `external_ids:k="a b,c=d"`},
		{`say "hi" \`, `external_ids:k="say \"hi\" \\"`},
		{"<&>", `external_ids:k="<&>"`},
	} {
		if got := ovsdb.Column("external_ids", "k", c.value); got != c.want {
			t.Errorf("value %q: got %s, want %s", c.value, got, c.want)
		}
	}
}

func TestTransactionStep(t *testing.T) {
	step := ovsdb.Transaction{
		Server:   "tcp:192.0.2.5:6641",
		Database: ovsdb.Northbound,
		Operations: []ovsdb.Operation{
			ovsdb.Wait(0, "Logical_Switch", []ovsdb.Condition{ovsdb.Is("name", "s")}, map[string]any{"external_ids": ovsdb.Map(map[string]string{"b": "2", "a": "1"})}),
			ovsdb.Delete("Logical_Switch", ovsdb.Is("name", "s")),
		},
	}.Step()
	want := "ovsdb-client transact tcp:192.0.2.5:6641 '" +
		`["OVN_Northbound",` + "\n  " + `{"columns":["external_ids"],"op":"wait","rows":[{"external_ids":["map",[["a","1"],["b","2"]]]}],"table":"Logical_Switch","timeout":0,"until":"==","where":[["name","==","s"]]},` + "\n  " +
		`{"op":"delete","table":"Logical_Switch","where":[["name","==","s"]]}]` + "'\n"
	if got := step.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestParseReply(t *testing.T) {
	got, err := ovsdb.ParseReply([]byte(`[{"rows":[{"name":"s","tag":["set",[]],"external_ids":["map",[["k","v"]]],"_uuid":["uuid","u1"],"ports":["set",[["uuid","p1"],["uuid","p2"]]],"types":["set",["netdev","system"]]}]},{}]`))
	if err != nil {
		t.Fatal(err)
	}
	r := got[0].Rows[0]
	if r.String("name") != "s" || r.String("tag") != "" || r.String("absent") != "" {
		t.Errorf("strings: %q %q %q", r.String("name"), r.String("tag"), r.String("absent"))
	}
	if m := r.Map("external_ids"); !reflect.DeepEqual(m, map[string]string{"k": "v"}) {
		t.Errorf("map: %v", m)
	}
	if u := r.UUIDs("_uuid"); !reflect.DeepEqual(u, []string{"u1"}) {
		t.Errorf("uuid: %v", u)
	}
	if u := r.UUIDs("ports"); !reflect.DeepEqual(u, []string{"p1", "p2"}) {
		t.Errorf("uuids: %v", u)
	}
}

func TestParseReplyErrors(t *testing.T) {
	if _, err := ovsdb.ParseReply([]byte(`[{},{"error":"timed out","details":"x"},null]`)); !errors.Is(err, ovsdb.ErrTimedOut) {
		t.Errorf("a wait that failed: %v", err)
	}
	if _, err := ovsdb.ParseReply([]byte(`[{"error":"constraint violation","details":"no row"}]`)); err == nil || errors.Is(err, ovsdb.ErrTimedOut) {
		t.Errorf("a refused operation: %v", err)
	}
	if _, err := ovsdb.ParseReply([]byte("nonsense")); err == nil {
		t.Error("nonsense was accepted")
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte(`[{"rows":[{"a":["map",[["k","v"]]]}]}]`))
	f.Fuzz(func(_ *testing.T, out []byte) {
		results, err := ovsdb.ParseReply(out)
		if err != nil {
			return
		}
		for _, res := range results {
			for _, row := range res.Rows {
				for c := range row {
					row.Map(c)
					row.UUIDs(c)
				}
			}
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add(`a"b`)
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal([]byte(ovsdb.Quote(s)), &back); err != nil {
			t.Fatal(err)
		}
	})
}

// The lines are those of ovsdb-client 3.1, of Open vSwitch's and OVN's
// databases.
func TestRows(t *testing.T) {
	var rows ovsdb.Rows
	for _, c := range []struct {
		line string
		want []string
	}{
		{`{"data":[["b9d7","initial","a"],["0d22","initial","b"]],"headings":["row","action","name"]}`, nil},
		{`{"data":[["167d","insert","ocn1"]],"headings":["row","action","name"]}`, nil},
		{`{"data":[["0d22","delete",null],["167d","delete",null]],"headings":["row","action","name"]}`, []string{"b", "ocn1"}},
		{`{"data":[["0d22","delete",null]],"headings":["row","action","name"]}`, []string{""}},
		{`{"data":[["11a2","initial",["map",[["a","b"]]]]],"headings":["row","action","external_ids"]}`, nil},
		{`{"data":[["11a2","modify",["map",[["a","c"],["d","e"]]]]],"headings":["row","action","external_ids"]}`, []string{""}},
		{`{"data":[["b9d7","old","a"],["","new","c"]],"headings":["row","action","name"]}`, []string{"a", ""}},
		{`2026-01-01T00:00:00Z|00001|something|WARN|else`, []string{""}},
		{`{"data":[["x"]]}`, []string{""}},
	} {
		if got := rows.Changes([]byte(c.line)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}
