package executor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
)

// Watch calls changed for the changes that the watch tells of, with the rows'
// names as in ovsdb.Rows, until the context ends or the connection to the
// database is lost. It calls it with none when the database has told what is
// there, if there is anything: what changes from then on is told. It notices a server
// that ends, not a machine that falls silent: what is asked of that one next
// notices.
func (e *Executor) Watch(ctx context.Context, w ovsdb.Watch, changed func(names []string)) error {
	// A plugin that is killed must not leave its watches behind. The kernel
	// minds the end of the thread that started them, not of the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "ovsdb-client", e.certified(w.Args())...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("watching table %q at %q: %w", w.Table, w.Server, err)
	}
	lines := bufio.NewReader(out)
	var rows ovsdb.Rows
	for begun := false; ; begun = true {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break // its end, whatever the reason: Wait has it
		}
		if names := rows.Changes(line); len(names) > 0 || !begun {
			changed(names)
		}
	}
	if err := cmd.Wait(); err != nil {
		return &CommandError{Argv: cmd.Args, Stderr: stderr.String(), Err: err}
	}
	return nil
}
