package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// relayName is the container that other hosts reach OVN central by. OVN central itself
// stays where nobody but its host gets; the relay (ovsdb(7), "Relay Service Model") is
// told by the host's own address, with TLS, and has no database of its own.
const relayName = "ovn-relay"

// relayOf is the label that says what a relay was made for.
const relayOf = "ovs-container-network.relay"

// authorityFile is beside OVN central's databases, in their volume: whoever has those
// needs no certificate, and what backs up the one backs up the other.
const authorityFile = "/var/lib/ovn/authority.json"

// ErrNoCentral is returned when this host has no OVN central of this plugin's.
var ErrNoCentral = errors.New("this host has no OVN central that the plugin made: create a network with ovn.auto_create=true first")

// Publish offers OVN central to other hosts where that is asked for. Without one it
// returns ErrNoCentral.
func (c *Central) Publish(ctx context.Context) error {
	if !c.cfg.Publish.IsValid() {
		return nil
	}
	done, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	var undo undoList
	if err := c.publish(ctx, &undo); err != nil {
		return errors.Join(err, undo.run(ctx))
	}
	return nil
}

func (c *Central) publish(ctx context.Context, undo *undoList) error {
	central, at, err := c.own(ctx)
	if err != nil {
		return err
	}
	scheme := "pssl"
	if c.cfg.Insecure {
		scheme = "ptcp"
	}
	what := fmt.Sprintf("%s %s %s", scheme, c.cfg.Publish, at)
	have, err := c.find(ctx, relayName)
	switch {
	case err != nil:
		return err
	case have == nil:
	case !ours(*have):
		return fmt.Errorf("container %q was not made by this plugin, and its name is needed to publish OVN central: rename it (docker rename)", relayName)
	case have.Config.Labels[relayOf] == what:
		return c.start(ctx, *have, relayName)
	default:
		if err := c.removeContainer(ctx, have.ID); err != nil {
			return c.dockerError(fmt.Sprintf("removing container %q, which was for %q", relayName, have.Config.Labels[relayOf]), err)
		}
	}
	var files folder
	if !c.cfg.Insecure {
		authority, err := c.authority(ctx, central, true)
		if err != nil {
			return err
		}
		pair, err := authority.Server(c.cfg.Publish, time.Now())
		if err != nil {
			return err
		}
		files = certificates(pki.Identity{CA: authority.Cert(), Pair: pair})
	}
	err = c.run(ctx, relayName, &container.Config{
		Image: c.cfg.Image, Cmd: []string{"ovn-relay", scheme, bracketed(c.cfg.Publish), at}, Labels: map[string]string{relayOf: what},
	}, &container.HostConfig{NetworkMode: "host"}, nil, files, undo)
	if err != nil {
		return err
	}
	c.log.Info("OVN central is published to other hosts", zap.Stringer("address", c.cfg.Publish), zap.Bool("tls", !c.cfg.Insecure))
	return nil
}

// bracketed is an address as ovsdb(7) has it.
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// own returns the container and the address of this plugin's OVN central.
func (c *Central) own(ctx context.Context) (id, address string, err error) {
	have, err := c.find(ctx, containerName)
	if err != nil {
		return "", "", err
	}
	if have == nil || !ours(*have) || have.NetworkSettings == nil {
		return "", "", ErrNoCentral
	}
	on := have.NetworkSettings.Networks
	for _, name := range slices.Sorted(maps.Keys(on)) {
		if cfg := on[name].IPAMConfig; cfg != nil && cfg.IPv4Address != "" {
			return have.ID, cfg.IPv4Address, nil
		}
	}
	return "", "", ErrNoCentral
}

// authority returns the one of OVN central, and makes it if need be.
func (c *Central) authority(ctx context.Context, central string, create bool) (pki.Authority, error) {
	text, err := c.get(ctx, central, authorityFile)
	if err != nil {
		return pki.Authority{}, err
	}
	if text != nil {
		var p pki.Pair
		err := json.Unmarshal(text, &p)
		if err == nil {
			var a pki.Authority
			if a, err = pki.Read(p); err == nil {
				return a, nil
			}
		}
		return pki.Authority{}, fmt.Errorf("reading %s in container %q, which signs the certificates of hosts (remove it to have another one made, and invite all hosts again): %w", authorityFile, containerName, err)
	}
	if !create {
		return pki.Authority{}, errors.New("OVN central is not published yet: look at the plugin's log (make logs)")
	}
	a, err := pki.New(time.Now())
	if err != nil {
		return a, err
	}
	p, err := a.Pair()
	if err != nil {
		return a, err
	}
	if text, err = json.Marshal(p); err != nil {
		return a, fmt.Errorf("writing %s: %w", authorityFile, err)
	}
	if err := c.put(ctx, central, folder{authorityFile[1:]: text}); err != nil {
		return a, c.dockerError(fmt.Sprintf("writing %s in container %q", authorityFile, containerName), err)
	}
	return a, nil
}

// Invite makes what another host needs to use this host's OVN central: connections, and
// an identity unless it is published without TLS.
func (c *Central) Invite(ctx context.Context, name string) (Connections, *pki.Identity, error) {
	if !c.cfg.Publish.IsValid() {
		return Connections{}, nil, errors.New("this host's OVN central is not published: set PLUGIN_CENTRAL_PUBLISH to the address that other hosts reach this one at (docker plugin disable, set, enable)")
	}
	if err := c.Publish(ctx); err != nil {
		return Connections{}, nil, err
	}
	at := func(scheme, port string) string { return scheme + ":" + net.JoinHostPort(c.cfg.Publish.String(), port) }
	if c.cfg.Insecure {
		return Connections{NB: at("tcp", northPort), SB: at("tcp", southPort)}, nil, nil
	}
	done, err := c.take(ctx)
	if err != nil {
		return Connections{}, nil, err
	}
	defer done()
	central, _, err := c.own(ctx)
	if err != nil {
		return Connections{}, nil, err
	}
	authority, err := c.authority(ctx, central, false)
	if err != nil {
		return Connections{}, nil, err
	}
	pair, err := authority.Client(name, time.Now())
	if err != nil {
		return Connections{}, nil, err
	}
	return Connections{NB: at("ssl", northPort), SB: at("ssl", southPort)}, &pki.Identity{CA: authority.Cert(), Pair: pair}, nil
}
