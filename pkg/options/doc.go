// Package options turns the strings of `docker network create --opt` and of per-endpoint driver options into
// typed, validated values.
//
// One table (see table.go) holds every option once: name, description, default, whether it is required, and its
// parser. Parsing, the search for the nearest name after a typing mistake, the defaults, and the table in the README
// all come from it, so none of them can disagree with another.
//
// A value that passes can become an argument of ovn-nbctl or ovs-vsctl as it is: it holds no white space, no
// quotes and no control characters, and does not begin with a dash. The fuzz tests hold the package to that.
//
// The package is pure: it imports the standard library only, reads nothing, and asks nothing of the host.
package options
