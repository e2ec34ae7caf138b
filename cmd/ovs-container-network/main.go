// Command ovs-container-network is the plugin that dockerd runs ("serve"), and
// the command with which the host's administrator looks at it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is linked.
var version = "dev"

func main() {
	root := &cobra.Command{
		Use:           "ovs-container-network",
		Short:         "OVN and Open vSwitch networks for Docker",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), statusCommand(), reconcileCommand(), setCommand(), inviteCommand(), joinCommand(), rotateCommand(), hostsCommand(), forgetCommand(), versionCommand())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ovs-container-network:", err)
		os.Exit(1)
	}
}
