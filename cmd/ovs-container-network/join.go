package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

func joinCommand() *cobra.Command {
	var socket string
	var own ownDatabases
	cmd := &cobra.Command{
		Use:   "join FILE | join --nb CONNECTION --sb CONNECTION --ca-cert FILE --certificate FILE --private-key FILE",
		Short: "Join the OVN central of another host, which has made an invitation (- for standard input), or one with certificates of your own",
		Example: "  ovs-container-network join host2.invitation\n" +
			"  ovs-container-network join --nb ssl:192.0.2.1:6641,ssl:192.0.2.2:6641 --sb ssl:192.0.2.1:6642,ssl:192.0.2.2:6642 \\\n" +
			"    --ca-cert cacert.pem --certificate host2-cert.pem --private-key host2-privkey.pem",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := invitation(cmd.InOrStdin(), args, own)
			if err != nil {
				return err
			}
			joined, err := control.Join(cmd.Context(), socket, text)
			if err != nil {
				return err
			}
			if joined.Note != "" {
				fmt.Fprintln(cmd.OutOrStdout(), joined.Note)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "joined; the invitation has done its work, remove it; networks of this host are made with:\n"+
				"  --opt ovn.nb_connection=%s --opt ovn.sb_connection=%s --opt ovn.auto_create=true\n", joined.NB, joined.SB)
			return err
		},
	}
	cmd.Flags().StringVar(&own.nb, "nb", "", "connection of the northbound database, ssl:HOST:PORT[,…]")
	cmd.Flags().StringVar(&own.sb, "sb", "", "connection of the southbound database")
	cmd.Flags().StringVar(&own.ca, "ca-cert", "", "certificate of the authority that has signed those of the databases")
	cmd.Flags().StringVar(&own.cert, "certificate", "", "certificate of this host")
	cmd.Flags().StringVar(&own.key, "private-key", "", "its private key")
	cmd.MarkFlagsRequiredTogether("nb", "sb", "ca-cert", "certificate", "private-key")
	socketFlag(cmd, &socket)
	return cmd
}

// ownDatabases are an administrator's, and the files of the certificates for them.
type ownDatabases struct{ nb, sb, ca, cert, key string }

// invitation returns the text of the one that a command names, or that its flags make.
func invitation(stdin io.Reader, args []string, own ownDatabases) (string, error) {
	switch {
	case len(args) == 1 && own.nb != "":
		return "", errors.New("an invitation has all that --nb and the other options give: name either")
	case len(args) == 0 && own.nb == "":
		return "", errors.New("name the file with the invitation, or databases of your own by --nb, --sb, --ca-cert, --certificate and --private-key")
	case len(args) == 0:
		return own.invitation()
	}
	if args[0] == "-" {
		text, err := io.ReadAll(stdin)
		if err != nil {
			return "", fmt.Errorf("reading the invitation: %w", err)
		}
		return string(text), nil
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return "", fmt.Errorf("reading the invitation: %w", err)
	}
	return string(text), nil
}

func (o ownDatabases) invitation() (string, error) {
	var i pki.Identity
	for file, into := range map[string]*[]byte{o.ca: &i.CA, o.cert: &i.Cert, o.key: &i.Key} {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading certificates: %w", err)
		}
		*into = text
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("looking for this host's name: %w", err)
	}
	return membership.Invitation{Name: name, NB: o.nb, SB: o.sb, Identity: &i}.Text()
}
