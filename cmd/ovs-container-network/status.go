package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
)

// hostSocket is where the installed plugin's control socket is on the host.
const hostSocket = "/run/ovs-container-network/control.sock"

func statusCommand() *cobra.Command {
	var asJSON bool
	var socket, reports, tenant string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running plugin holds, and whether OVS and OVN answer",
		Long: "Show what the running plugin holds, and whether OVS and OVN answer.\n" +
			"When it does not run: what its last recovery found and did.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := control.Ask(cmd.Context(), socket)
			if err != nil {
				if asJSON {
					return err
				}
				return errors.Join(err, printLeft(cmd.OutOrStdout(), reports))
			}
			if cmd.Flags().Changed("tenant") {
				s = s.Of(tenant)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&tenant, "tenant", "", "show the networks and published ports of one tenant; \"\" stands for those of none")
	cmd.Flags().StringVar(&reports, "reports", hostReports, "where plugins leave "+reconcile.ReportFile)
	socketFlag(cmd, &socket)
	return cmd
}

// socketFlag takes the same variable that the plugin reads, so that both agree.
func socketFlag(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "socket", cmp.Or(os.Getenv("PLUGIN_CONTROL_SOCKET"), hostSocket), "the plugin's control socket")
}

func printStatus(out io.Writer, s control.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "version\t%s\n", s.Version)
	fmt.Fprintf(w, "instance\t%s\n", s.Instance)
	fmt.Fprintf(w, "running since\t%s\n", s.Started.Format(time.RFC3339))
	if s.Refusal != "" {
		fmt.Fprintf(w, "refuses all requests\t%s\n", s.Refusal)
	}
	if !s.Ready && s.Refusal == "" {
		fmt.Fprintln(w, "recovery\tnot over yet")
	}
	fmt.Fprintf(w, "open vswitch\t%s\n", s.OVS)
	for _, db := range s.Databases {
		state := "ok"
		if db.Away != nil {
			state = "does not answer since " + db.Away.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "northbound %s\t%s\n", db.Connection, state)
	}
	if s.Certificate != "" {
		fmt.Fprintf(w, "certificate\t%s\n", s.Certificate)
	}
	if s.Published != "" {
		fmt.Fprintf(w, "published\t%s\n", s.Published)
	}
	printReport(w, s.Recovery)
	fmt.Fprintf(w, "networks\t%d\n", len(s.Networks))
	if len(s.Networks) > 0 {
		fmt.Fprintln(w, "\nNETWORK\tNAME\tSWITCH\tROUTER\tTRANSIT\tTENANT\tPHASE\tMTU\tENDPOINTS\tDEFERRED\tREMOVING")
	}
	for _, n := range s.Networks {
		fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", n.ID, n.Name, n.Switch, n.Router, n.Transit, n.Tenant, n.Phase, n.MTU, n.Endpoints, n.Deferred, n.Removing)
	}
	mirrored := slices.DeleteFunc(slices.Clone(s.Networks), func(n control.Network) bool { return n.Mirror == "" })
	if len(mirrored) > 0 {
		fmt.Fprintln(w, "\nMIRRORED\tNETWORK")
	}
	for _, n := range mirrored {
		fmt.Fprintf(w, "%s\t%.12s\n", n.Mirror, n.ID)
	}
	if len(s.Ports) > 0 {
		fmt.Fprintln(w, "\nPUBLISHED\tENDPOINT\tNETWORK")
	}
	for _, p := range s.Ports {
		fmt.Fprintf(w, "%s\t%.12s\t%.12s\n", p.Port, p.Endpoint, p.Network)
	}
	return w.Flush()
}
