package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/link"
	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

func inviteCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "invite NAME FILE",
		Short: "Make what another host needs to join this one's OVN central, as a file (- for standard output)",
		Long: "Make what another host needs to join this one's OVN central: connections, a certificate and its key.\n" +
			"Whoever has the file can change all of OVN: keep it from others on its way, and remove it after it was used.",
		Example: "  ovs-container-network invite host2 host2.invitation",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "-" {
				text, err := control.Invite(cmd.Context(), socket, args[0])
				if err == nil {
					_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				}
				return err
			}
			// Made first, and for its owner alone: what is there may be read by others, or be another host's.
			f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("writing the invitation: %w", err)
			}
			text, err := control.Invite(cmd.Context(), socket, args[0])
			if err == nil {
				_, err = f.WriteString(text)
			}
			if err = errors.Join(err, f.Close()); err != nil {
				return errors.Join(err, os.Remove(args[1]))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is for host %s, and for nobody else: whoever has it can change all of OVN; there: sudo scripts/join.sh %s\n", args[1], args[0], filepath.Base(args[1]))
			return err
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func hostsCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Show the other hosts of the same OVN, and whether packets as long as this host's tunnels send get there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hosts, err := control.Hosts(cmd.Context(), socket)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tADDRESS\tTUNNELS\tWAY")
			for _, h := range hosts {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.Name, h.Address, h.Tunnels, h.Way)
			}
			return w.Flush()
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func forgetCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "forget HOST",
		Short: "Remove what a host has in OVN that is gone for good",
		Long: "Remove what a host, given by its name or system-id, has in OVN that is gone for good: ports and their addresses, leases, its chassis.\n" +
			"One that comes back makes its own again, but for addresses that others have taken meanwhile.",
		Example: "  ovs-container-network forget host3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := control.Forget(cmd.Context(), socket, args[0])
			for _, line := range done {
				fmt.Fprintln(cmd.OutOrStdout(), "removed", line)
			}
			return err
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

// lookAgain is how often the containers by which hosts share an OVN are looked at.
const lookAgain = 30 * time.Second

// share keeps OVN central published where that is asked for, and only there, sees to the
// certificates of this host, and has ovn-controller have them.
func (a *app) share(ctx context.Context) {
	said, again := "", true
	for {
		bounded, cancel := context.WithTimeout(ctx, lookAgain)
		var err error
		if again || a.cfg.CentralPublish.IsValid() {
			if err = a.central.Publish(bounded, again); errors.Is(err, central.ErrNoCentral) {
				err = nil
			}
			again = again && err != nil
		}
		kept := errors.Join(a.membership.Keep(bounded, time.Now()), a.central.Aging(bounded, time.Now()))
		_, certified := a.central.Certify(bounded)
		cancel()
		switch err = errors.Join(err, kept, certified); {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			a.log.Warn("what hosts share OVN by is not as it should be, this will be tried again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAgain):
		}
	}
}

// joined is what this host shows to databases, and the invitation that it has that from.
func (a *app) joined() (pki.Identity, string, bool) {
	i, ok := a.membership.Current()
	if !ok || i.Identity == nil {
		return pki.Identity{}, "", false
	}
	text, err := i.Text()
	return *i.Identity, text, err == nil
}

// rebuild makes a network again that Docker has and the records have not. Where they were
// lost, so was what this host has joined: ovn-controller has it too.
func (a *app) rebuild(ctx context.Context, n topology.Network) error {
	if _, joined := a.membership.Current(); !joined && strings.HasPrefix(n.Options.NB, "ssl:") {
		text, err := a.central.Invitation(ctx)
		if err == nil && text != "" {
			err = a.membership.Restore(text)
		}
		if err != nil {
			return fmt.Errorf("looking for what this host had joined: %w", err)
		}
	}
	return a.driver.Rebuild(ctx, n)
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
	if err != nil {
		return control.Joined{}, err
	}
	done := control.Joined{Name: i.Name, NB: i.NB, SB: i.SB}
	switch own, err := a.central.Certify(ctx); {
	case err != nil:
		done.Note = fmt.Sprintf("ovn-controller has not got the certificates yet, this will be tried again: %v", err)
	case !own && i.Identity != nil:
		done.Note = "this host's ovn-controller was not made by the plugin: give it the certificates (ovn-controller(8), --private-key, --certificate, --ca-cert); the README says where they are"
	}
	a.log.Info("joined OVN central of another host", zap.String("nb", i.NB), zap.String("sb", i.SB), zap.String("as", i.Name))
	a.reconciler.Wake()
	return done, nil
}

// Hosts answers the hosts command.
func (a *app) Hosts(ctx context.Context) ([]control.Host, error) {
	if a.refusal != nil {
		return nil, a.refusal
	}
	peers, err := a.records.Hosts(ctx)
	all := []control.Host{}
	for _, p := range peers {
		h := control.Host{Name: p.Name, Tunnels: strings.Join(p.Kinds, ",")}
		if p.Bad != nil {
			h.Way = strings.ReplaceAll(p.Bad.Error(), "\n", "; ")
		}
		for _, l := range p.Legs {
			if h.Address = strings.TrimPrefix(h.Address+","+l.Address.String(), ","); p.Bad == nil && h.Way != "ok" {
				h.Way = wayOf(l.Way)
			}
		}
		all = append(all, h)
	}
	if err != nil && len(all) > 0 { // of one OVN of several
		all, err = append(all, control.Host{Way: err.Error()}), nil
	}
	return all, err
}

// wayOf is what is known of a way on which nothing is known to be wrong.
func wayOf(w link.Way) string {
	switch {
	case w.Answered:
		return "ok"
	case w.Looked:
		return "no answer"
	}
	return "not looked at"
}

// Forget answers the forget command.
func (a *app) Forget(ctx context.Context, host string) ([]string, error) {
	if a.refusal != nil {
		return nil, a.refusal
	}
	done, err := a.reconciler.Forget(ctx, host)
	a.log.Info("a host was forgotten", zap.String("host", host), zap.Strings("removed", done), zap.Error(err))
	return done, err
}
