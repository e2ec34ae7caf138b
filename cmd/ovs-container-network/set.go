package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
)

func setCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "set NETWORK OPTION=VALUE...",
		Short: "Change options of a network while containers run on it",
		Long: "Change options of a network while containers run on it: " + strings.Join(options.Changeable(), ", ") + ".\n" +
			"OPTION= with nothing behind it takes the option away. An MTU is for containers that come; those that run keep theirs.",
		Example: "  ovs-container-network set my-network mirror.ports=web,db mirror.dest=monitor-port\n" +
			"  ovs-container-network set my-network mirror.ports= mirror.dest=",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := control.Change{Network: args[0], Options: map[string]string{}}
			for _, arg := range args[1:] {
				name, value, ok := strings.Cut(arg, "=")
				if !ok {
					return fmt.Errorf("%q changes nothing: want OPTION=VALUE", arg)
				}
				change.Options[name] = value
			}
			n, err := change.Ask(cmd.Context(), socket)
			if err != nil {
				return err
			}
			mirror := n.Mirror
			if mirror == "" {
				mirror = "none"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "network %s (%.12s): mtu %d of new containers, mirror %s\n", n.Name, n.ID, n.MTU, mirror)
			return err
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}
