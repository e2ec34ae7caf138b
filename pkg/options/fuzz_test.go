package options

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// FuzzParseNetwork adds one option from outside to options that are right. Whatever is accepted must be safe as an argument.
func FuzzParseNetwork(f *testing.F) {
	for _, seed := range []struct{ option, value string }{
		{"ovn.switch", "-x"},
		{"ovn.switch", "ls-1"},
		{"bridge", "br int"},
		{"ovn.nb_connection", "tcp:[fd00::1]:6641, tcp:a:1"},
		{"ovn.sb_connection", "tcp:a\u00a0b:1"},
		{"ovn.encap_ip", "fe80::1%-x"},
		{"tenant_id", "'"},
		{"dhcp.domain", "a\"; b"},
		{"dhcp.dns", "fe80::1%-x"},
		{"ovn.subnet", "10.0.0.0/24 "},
		{"mtu", "1400"},
		{"-x", "y"},
	} {
		f.Add(seed.option, seed.value)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		opts := with()
		opts[key] = value
		n, err := ParseNetwork(opts)
		if err == nil {
			checkSafe(t, key, reflect.ValueOf(n))
		} else if len(err.Error()) > 2000 {
			t.Fatalf("the error has %d bytes", len(err.Error()))
		}
	})
}

// FuzzEveryOption puts one value through all parsers: a value harmless to one may be harmful to another.
func FuzzEveryOption(f *testing.F) {
	for _, seed := range []string{"-x", "a b", `"`, "tcp:h:1", "tcp:h:1,tcp:-h:1", "all", "1500", "true", "fe80::1%a b", "::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, o := range networkOptions {
			var n Network
			if o.parse(&n, value) == nil {
				checkSafe(t, o.name, reflect.ValueOf(n))
			}
		}
	})
}

func FuzzParseConnection(f *testing.F) {
	for _, seed := range []string{"tcp:172.30.0.5:6641", "ssl:[fd00::1]:1", "tcp:a:1, tcp:b:2", "tcp:h:1,ssl:h:1", "tcp:[::ffff:1.2.3.4]:5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseConnection(value)
		if err != nil {
			return
		}
		again, err := ParseConnection(c)
		if err != nil || again != c {
			t.Fatalf("%q gives %q, which gives %q, %v", value, c, again, err)
		}
		if len(DialAddresses(c)) != strings.Count(c, ",")+1 {
			t.Fatalf("%q gives the addresses %q", c, DialAddresses(c))
		}
	})
}

// checkSafe visits every string that parsing produced.
func checkSafe(t *testing.T, option string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "'\"`\\$;&|<>()*?!#~{}=@%") ||
			strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r > unicode.MaxASCII }) {
			t.Fatalf("%s accepted %q", option, s)
		}
	case reflect.Struct:
		if p, ok := v.Interface().(netip.Prefix); ok {
			if p.IsValid() {
				checkSafe(t, option, reflect.ValueOf(p.String()))
			}
			return
		}
		if a, ok := v.Interface().(addr); ok {
			if a.IsValid() {
				checkSafe(t, option, reflect.ValueOf(a.String()))
			}
			return
		}
		for i := range v.NumField() {
			checkSafe(t, option, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkSafe(t, option, v.Index(i))
		}
	}
}
