package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// Invitation is what a host needs of an OVN that is another host's. Whoever has it can
// change all of that OVN.
type Invitation struct {
	Name string `json:"name"` // of the host that is invited
	NB   string `json:"northbound"`
	SB   string `json:"southbound"`
	// Identity is empty for databases that are published without TLS.
	Identity *pki.Identity `json:"identity,omitempty"`
}

// version is that of the form; what has another one is for another plugin.
const version = 1

type written struct {
	Version int `json:"ovs-container-network-invitation"`
	Invitation
}

// Text is the invitation as a file.
func (i Invitation) Text() (string, error) {
	text, err := json.MarshalIndent(written{version, i}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing an invitation: %w", err)
	}
	return string(text) + "\n", nil
}

// Read reads an invitation and says what is wrong with it.
func Read(text string, now time.Time) (Invitation, error) {
	var w written
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return Invitation{}, fmt.Errorf("this is not an invitation, which the host with OVN central makes (ovs-container-network invite NAME): %w", err)
	}
	if w.Version != version {
		return Invitation{}, fmt.Errorf("this is not an invitation of version %d: have it made by the same version of the plugin (ovs-container-network invite NAME)", version)
	}
	i := w.Invitation
	for _, c := range []*string{&i.NB, &i.SB} {
		canonical, err := options.ParseConnection(*c)
		if err != nil {
			return Invitation{}, fmt.Errorf("reading the invitation: %w", err)
		}
		*c = canonical
	}
	switch tls := strings.HasPrefix(i.NB, "ssl:"); {
	case tls != strings.HasPrefix(i.SB, "ssl:") || tls != (i.Identity != nil):
		return Invitation{}, errors.New("the invitation has connections without certificates, or the other way round: have it made again")
	case tls:
		if err := i.Identity.Check(now); err != nil {
			return Invitation{}, fmt.Errorf("the invitation cannot be used, have it made again: %w", err)
		}
	}
	return i, nil
}
