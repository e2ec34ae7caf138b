package executor

import (
	"errors"
	"os/exec"
	"strings"
)

// What the programs print when a database cannot be reached, with the source
// that prints it.
var unreachable = []string{
	"database connection failed",   // ovn-nbctl, ovs-vsctl: db-ctl-base
	"failed to connect",            // ovsdb-client
	"Connection refused",           // stream-tcp, stream-unix
	"No route to host",             // stream-tcp
	"Network is unreachable",       // stream-tcp
	"Connection reset by peer",     // jsonrpc
	"clustered database server is", // "not cluster leader", "disconnected from cluster"
	"End of file",                  // jsonrpc: the server went away in the call
	"receiving reply",              // ovsdb-client: the same
}

// IsUnreachable reports whether a command failed because its database did not
// answer: refused, gone, or silent until the deadline. What it sent may have
// been committed all the same.
func IsUnreachable(err error) bool {
	var failed *CommandError
	if !errors.As(err, &failed) || !programs[failed.Argv[0]] {
		return false
	}
	if failed.Stopped {
		return true
	}
	for _, text := range unreachable {
		if strings.Contains(failed.Stderr, text) {
			return true
		}
	}
	return false
}

// IsDuplicateAddress reports whether ovn-nbctl refused an address that another
// port of the switch has.
func IsDuplicateAddress(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && strings.Contains(failed.Stderr, "duplicate IPv")
}

// IsSwitchMissing reports whether ovn-nbctl did not find the logical switch of a
// port (utilities/ovn-nbctl.c, ls_by_name_or_uuid).
func IsSwitchMissing(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && strings.Contains(failed.Stderr, "switch name not found")
}

// isDaemonGone reports whether ovn-nbctl did not find its daemon
// (utilities/ovn-dbctl.c, dbctl_client).
func isDaemonGone(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && strings.Contains(failed.Stderr, "could not connect to ovn-nbctl daemon")
}

// onlyMissing reports whether all that ip(8) complained about was that what it
// should remove is not there.
func onlyMissing(err error) bool {
	var failed *CommandError
	var exit *exec.ExitError
	if !errors.As(err, &failed) || failed.Stopped || !errors.As(err, &exit) {
		return false
	}
	missing := false
	for line := range strings.Lines(failed.Stderr) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Cannot find device"):
			missing = true
		case line != "" && !strings.HasPrefix(line, "Command failed"):
			return false
		}
	}
	return missing
}

// firstFailed reports whether ip(8) stopped at the first command of a batch:
// then it did nothing.
func firstFailed(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && !failed.Stopped && strings.Contains(failed.Stderr, "Command failed -:1\n")
}
