package pki_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

var local = netip.MustParseAddr("127.0.0.1")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// databases answer as an OVSDB server does, with a certificate, to whom an authority knows.
func databases(t *testing.T, show pki.Pair, know []byte, most uint16) string {
	t.Helper()
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(know)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: most, Certificates: []tls.Certificate{must(tls.X509KeyPair(show.Cert, show.Key))},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				buffer := make([]byte, 1024)
				if n, err := conn.Read(buffer); err == nil && strings.Contains(string(buffer[:n]), `"echo"`) {
					_, _ = conn.Write([]byte(`{"id":"echo","result":[],"error":null}`))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// What is wrong with either side's certificate is said; with the one that was made for it, all is well.
func TestGreet(t *testing.T) {
	now := time.Now()
	ours, theirs := must(pki.New(now)), must(pki.New(now))
	old := must(pki.New(now.Add(-11 * 365 * 24 * time.Hour)))
	as := func(a pki.Authority, p pki.Pair) pki.Identity { return pki.Identity{CA: a.Cert(), Pair: p} }
	host := must(ours.Client("h2", now))
	server := must(ours.Server(local, now))
	for _, c := range []struct {
		name   string
		who    pki.Identity
		server pki.Pair
		know   []byte
		says   string
	}{
		{"good", as(ours, host), server, ours.Cert(), ""},
		{"databases of another authority", as(ours, host), must(theirs.Server(local, now)), ours.Cert(), `"databases at 127.0.0.1" was signed by an authority that is not this host's`},
		{"databases that are a host", as(ours, host), must(ours.Client("h3", now)), ours.Cert(), `"h3" was made for something else`},
		{"databases of long ago", as(old, host), must(old.Server(local, now)), ours.Cert(), "and not now"},
		{"a host of another authority", as(ours, must(theirs.Client("h2", now))), server, ours.Cert(), "signed by an authority that is not"},
		{"a host that shows the databases' certificate", as(ours, server), server, ours.Cert(), "made for something else"},
		{"a host of long ago", as(ours, must(old.Client("h2", now))), server, old.Cert(), "and not now"},
		{"a host that the databases do not know", as(ours, host), server, theirs.Cert(), "refused"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+" "+tls.VersionName(version), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				err := c.who.Greet(ctx, []string{databases(t, c.server, c.know, version)})
				switch {
				case c.says == "" && err != nil:
					t.Error(err)
				case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
					t.Errorf("says %v, want %q", err, c.says)
				}
			})
		}
	}
}

// One of several databases that answers is enough, and none is an error that names all.
func TestGreetSeveral(t *testing.T) {
	a := must(pki.New(time.Now()))
	i := pki.Identity{CA: a.Cert(), Pair: must(a.Client("h", time.Now()))}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	nobody := l.Addr().String()
	_ = l.Close()
	there := databases(t, must(a.Server(local, time.Now())), a.Cert(), tls.VersionTLS13)
	if err := i.Greet(t.Context(), []string{nobody, there}); err != nil {
		t.Error(err)
	}
	if err := i.Greet(t.Context(), []string{nobody}); err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("says %v", err)
	}
}

func TestCheck(t *testing.T) {
	now := time.Now()
	a, b := must(pki.New(now)), must(pki.New(now))
	host, other := must(a.Client("h2", now)), must(a.Client("h3", now))
	for _, c := range []struct {
		who  pki.Identity
		at   time.Time
		says string
	}{
		{pki.Identity{CA: a.Cert(), Pair: host}, now, ""},
		{pki.Identity{CA: a.Cert(), Pair: host}, now.AddDate(9, 11, 0), ""},
		{pki.Identity{CA: a.Cert(), Pair: host}, now.AddDate(10, 1, 0), `"h2" is valid from`},
		{pki.Identity{CA: b.Cert(), Pair: host}, now, "an authority that is not"},
		{pki.Identity{CA: a.Cert(), Pair: pki.Pair{Cert: host.Cert, Key: other.Key}}, now, "not that of the certificate"},
		{pki.Identity{CA: a.Cert(), Pair: must(a.Server(local, now))}, now, "made for something else"},
		{pki.Identity{CA: []byte("?"), Pair: host}, now, "no certificate in PEM"},
		{pki.Identity{CA: a.Cert()}, now, "no certificate in PEM"},
	} {
		err := c.who.Check(c.at)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("says %v, want %q", err, c.says)
		}
	}
	if until := (pki.Identity{Pair: host}).Until(); until.Before(now.AddDate(9, 11, 0)) || until.After(now.AddDate(10, 1, 0)) {
		t.Errorf("until %s", until)
	}
}

// An authority that was written down is the same one.
func TestRead(t *testing.T) {
	a := must(pki.New(time.Now()))
	p := must(a.Pair())
	b := must(pki.Read(p))
	if err := (pki.Identity{CA: a.Cert(), Pair: must(b.Client("h", time.Now()))}).Check(time.Now()); err != nil {
		t.Error(err)
	}
	for _, wrong := range []pki.Pair{{}, {Cert: p.Cert}, {Cert: p.Key, Key: p.Key}, must(a.Client("h", time.Now())), {Cert: p.Cert, Key: must(a.Client("h", time.Now())).Key}} {
		if _, err := pki.Read(wrong); err == nil {
			t.Errorf("read %s", wrong.Cert)
		}
	}
}

// While one authority takes another's place, databases and hosts of either know each other, and afterwards the new ones alone.
func TestTwoAuthorities(t *testing.T) {
	now := time.Now()
	old, next := must(pki.New(now)), must(pki.New(now))
	both := slices.Concat(next.Cert(), old.Cert())
	before := pki.Identity{CA: old.Cert(), Pair: must(old.Client("h2", now))}
	meanwhile := pki.Identity{CA: both, Pair: must(next.Client("h3", now))}
	after, narrowed := meanwhile.Narrow()
	if !narrowed || string(after.CA) != string(next.Cert()) {
		t.Errorf("narrowed: %v", narrowed)
	}
	if _, again := after.Narrow(); again {
		t.Error("narrowed twice")
	}
	rotating := databases(t, must(old.Server(local, now)), both, tls.VersionTLS13)
	done := databases(t, must(next.Server(local, now)), next.Cert(), tls.VersionTLS13)
	for _, c := range []struct {
		name string
		who  pki.Identity
		at   string
		ok   bool
	}{
		{"one of before, meanwhile", before, rotating, true},
		{"one of meanwhile, meanwhile", meanwhile, rotating, true},
		{"one of after, meanwhile", after, rotating, false},
		{"one of before, after", before, done, false},
		{"one of meanwhile, after", meanwhile, done, true},
		{"one of after, after", after, done, true},
	} {
		if err := c.who.Greet(t.Context(), []string{c.at}); (err == nil) != c.ok {
			t.Errorf("%s: says %v", c.name, err)
		}
		if err := c.who.Check(now); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
