package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
)

func inviteCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Make what another host needs to join this one's OVN central",
		Long: "Make what another host needs to join this one's OVN central, and print it: connections, a certificate and its key.\n" +
			"Whoever has that can change all of OVN: keep it from others on its way, and remove it after it was used.",
		Example: "  ovs-container-network invite host2 >host2.invitation",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := control.Invite(cmd.Context(), socket, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func joinCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:     "join FILE",
		Short:   "Join the OVN central of another host, which has made an invitation (- for standard input)",
		Example: "  ovs-container-network join host2.invitation",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("reading the invitation: %w", err)
				}
				defer f.Close()
				from = f
			}
			text, err := io.ReadAll(from)
			if err != nil {
				return fmt.Errorf("reading the invitation: %w", err)
			}
			joined, err := control.Join(cmd.Context(), socket, string(text))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "joined; networks of this host are made with:\n  --opt ovn.nb_connection=%s --opt ovn.sb_connection=%s --opt ovn.auto_create=true\n", joined.NB, joined.SB)
			return err
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

// publishAgain is how often the container that publishes OVN central is looked for.
const publishAgain = 20 * time.Second

// publish keeps OVN central published, where that is asked for.
func (a *app) publish(ctx context.Context) {
	if !a.cfg.CentralPublish.IsValid() {
		return
	}
	said := ""
	for {
		bounded, cancel := context.WithTimeout(ctx, publishAgain)
		err := a.central.Publish(bounded)
		cancel()
		switch {
		case err == nil, errors.Is(err, central.ErrNoCentral), ctx.Err() != nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			a.log.Warn("OVN central is not published, this will be tried again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(publishAgain):
		}
	}
}

// hostForm is that of names of hosts that are invited.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Invite answers the invite command.
func (a *app) Invite(ctx context.Context, name string) (string, error) {
	if a.refusal != nil {
		return "", a.refusal
	}
	if !hostForm.MatchString(name) {
		return "", fmt.Errorf("%q is not a name for a host: want letters, digits, dots, dashes and underscores, 63 at most", name)
	}
	conns, identity, err := a.central.Invite(ctx, name)
	if err != nil {
		return "", err
	}
	a.log.Info("another host was invited", zap.String("host", name))
	return membership.Invitation{Name: name, NB: conns.NB, SB: conns.SB, Identity: identity}.Text()
}

// Join answers the join command.
func (a *app) Join(ctx context.Context, invitation string) (control.Joined, error) {
	if a.refusal != nil {
		return control.Joined{}, a.refusal
	}
	var inUse []string
	for _, n := range a.records.Networks.List() {
		inUse = append(inUse, n.Data.NB)
	}
	i, err := a.membership.Join(ctx, invitation, inUse)
	if err == nil {
		err = a.central.Certify(ctx)
	}
	if err != nil {
		return control.Joined{}, err
	}
	a.log.Info("joined OVN central of another host", zap.String("nb", i.NB), zap.String("sb", i.SB), zap.String("as", i.Name))
	a.reconciler.Wake()
	return control.Joined{Name: i.Name, NB: i.NB, SB: i.SB}, nil
}
