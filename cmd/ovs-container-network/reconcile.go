package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
)

func reconcileCommand() *cobra.Command {
	var asJSON bool
	var socket string
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare Docker, OVN and Open vSwitch with what the plugin holds, and mend it now",
		Long: "Compare Docker, OVN and Open vSwitch with what the plugin holds, and mend it now.\n" +
			"The plugin does so by itself: at its start, when a database comes back, when somebody deletes what it made, and every few minutes.\n" +
			"Prints what was mended since the plugin started.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := control.Reconcile(cmd.Context(), socket)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			printReport(w, r)
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	socketFlag(cmd, &socket)
	return cmd
}

// printReport writes a line for each thing that recovery did.
func printReport(w io.Writer, r reconcile.Report) {
	if r.Restored != (reconcile.Restored{}) {
		fmt.Fprintf(w, "restored at start\t%d networks, %d endpoints\n", r.Restored.Networks, r.Restored.Endpoints)
	}
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"state file not used", r.Dropped}, {"taken back", r.TakenBack}, {"repaired", r.Repaired}, {"rebuilt", r.Rebuilt}, {"not rebuilt", r.Failed}, {"not as asked", r.Unsettled}, {"collected", r.Collected},
	} {
		for _, line := range part.lines {
			fmt.Fprintf(w, "%s\t%s\n", part.title, line)
		}
	}
}
