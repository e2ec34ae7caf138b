package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
)

func rotateCommand() *cobra.Command {
	var socket string
	var end bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Put another authority in the place of the one that signs the certificates of hosts",
		Long: "Put another authority in the place of the one that signs the certificates of hosts, on the host of OVN central.\n" +
			"Without --end it begins: both authorities are good, and hosts that are invited get certificates of the new one.\n" +
			"With --end the old one is good no more, and hosts that have not joined again since are cut off; their containers' traffic goes on.",
		Example: "  ovs-container-network rotate\n" +
			"  ovs-container-network invite host2 host2.invitation   # each host, and there: ovs-container-network join host2.invitation\n" +
			"  ovs-container-network rotate --end",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := control.Rotate(cmd.Context(), socket, end); err != nil {
				return err
			}
			said := "begun; invite all hosts again (ovs-container-network invite NAME FILE), and when all have joined: ovs-container-network rotate --end"
			if end {
				said = "done; certificates of the old authority are worth nothing any more"
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "end the rotation that was begun")
	socketFlag(cmd, &socket)
	return cmd
}

// Rotate answers the rotate command.
func (a *app) Rotate(ctx context.Context, end bool) error {
	if a.refusal != nil {
		return a.refusal
	}
	return a.central.Rotate(ctx, end)
}

// certificate says whose this host's certificate is, and until when; "" without one.
func (a *app) certificate(now time.Time) string {
	i, ok := a.membership.Current()
	if !ok || i.Identity == nil {
		return ""
	}
	if err := i.Identity.Check(now); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q until %s", i.Name, i.Identity.Until().UTC().Format(time.DateOnly))
}
