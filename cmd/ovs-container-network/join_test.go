package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// Files of an administrator's own authority make an invitation like that of another host.
func TestInvitationOfFiles(t *testing.T) {
	a, err := pki.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Client("h2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := ownDatabases{nb: "ssl:192.0.2.1:6641,ssl:192.0.2.2:6641", sb: "ssl:192.0.2.1:6642", ca: filepath.Join(dir, "ca"), cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key")}
	if _, err := invitation(nil, nil, own); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without files: %v", err)
	}
	for file, text := range map[string][]byte{own.ca: a.Cert(), own.cert: pair.Cert, own.key: pair.Key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := invitation(nil, nil, own)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := membership.Read(text, time.Now()); err != nil || i.NB != own.nb || string(i.Identity.Key) != string(pair.Key) {
		t.Errorf("read %+v (%v)", i, err)
	}
	if got, err := invitation(strings.NewReader("hello"), []string{"-"}, ownDatabases{}); err != nil || got != "hello" {
		t.Errorf("of standard input: %q (%v)", got, err)
	}
	for _, c := range []struct {
		args []string
		own  ownDatabases
	}{{nil, ownDatabases{}}, {[]string{"file"}, own}} {
		if _, err := invitation(nil, c.args, c.own); err == nil {
			t.Errorf("of %q and %+v: no error", c.args, c.own)
		}
	}
}
