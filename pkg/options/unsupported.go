package options

import (
	"errors"
	"fmt"
)

// ErrNotSupported is behind every refusal of an option that is known and well-formed but has no effect yet.
var ErrNotSupported = errors.New("not supported yet")

// unsupported lists what is refused with ErrNotSupported. Whoever makes one of these work deletes its row, and the
// README's table follows. note is for that table; what is the option, with the value when only some values are refused.
var unsupported = []struct {
	option string
	note   string
	what   func(Network) string
}{
	{"ovn.nb_connection", "`ssl:` not supported yet", func(n Network) string { return when(scheme(n.NB) == "ssl", "ovn.nb_connection=ssl:") }},
	{"ovn.sb_connection", "`ssl:` not supported yet", func(n Network) string { return when(scheme(n.SB) == "ssl", "ovn.sb_connection=ssl:") }},
}

func when(condition bool, what string) string {
	if condition {
		return what
	}
	return ""
}

func checkSupported(n Network) error {
	for _, u := range unsupported {
		if what := u.what(n); what != "" {
			return fmt.Errorf("option %q: %w", what, ErrNotSupported)
		}
	}
	return nil
}

func supportNote(option string) string {
	for _, u := range unsupported {
		if u.option == option {
			return u.note
		}
	}
	return ""
}
