package central

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"go.uber.org/zap"
)

// errNameTaken is returned when somebody else made the container first.
var errNameTaken = errors.New("name is taken")

func ours(have container.InspectResponse) bool {
	return have.Config != nil && have.Config.Labels[labelKey] == labelValue
}

// find returns the container of that name, or nil. Docker takes the argument
// for an id first, then for a name, then for the beginning of an id: neither of
// our names can be an id, they have letters beyond f.
func (c *Central) find(ctx context.Context, name string) (*container.InspectResponse, error) {
	have, err := c.docker.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil, nil //nolint:nilnil // None is an answer.
	}
	if err != nil {
		return nil, c.dockerError(fmt.Sprintf("looking for container %q", name), err)
	}
	return &have, nil
}

// couldMake tells whether the overlay network may be made: not for connections
// that could never lead to it, nor beside an OVN central on another network.
func couldMake(r Request, have *container.InspectResponse) error {
	first, err := centralAddress(candidates[0])
	if err != nil {
		return err
	}
	if _, err := follow(r, first); err != nil {
		return err
	}
	if have == nil || have.NetworkSettings == nil {
		return nil
	}
	on := have.NetworkSettings.Networks
	if _, there := on[r.Overlay]; there || len(on) == 0 {
		return nil
	}
	others := slices.Sorted(maps.Keys(on))
	return fmt.Errorf("container %q is on network %q, and a host has one OVN central: use ovn.transit_overlay_network=%s with its address, or remove the container (docker rm -f %s) to have it made again on %q",
		containerName, others, others[0], containerName, r.Overlay)
}

// container makes OVN central run at its address on the overlay network.
func (c *Central) container(ctx context.Context, overlay overlayNetwork, undo *undoList) error {
	for {
		have, err := c.find(ctx, containerName)
		if err != nil {
			return err
		}
		switch {
		case have == nil:
			if err := c.createContainer(ctx, overlay, undo); !errors.Is(err, errNameTaken) {
				return err
			}
		case have.State == nil || have.State.Status != container.StateRemoving:
			if err := c.attach(ctx, *have, overlay, undo); err != nil {
				return err
			}
			return c.start(ctx, *have, containerName)
		}
		// Another plugin was faster, or somebody is removing it just now.
		if err := pause(ctx); err != nil {
			return fmt.Errorf("waiting for the name of container %q, which is being made or removed by somebody else: %w", containerName, err)
		}
	}
}

// start makes a container run that is there, whatever state it is in.
func (c *Central) start(ctx context.Context, have container.InspectResponse, name string) error {
	state := have.State
	if state == nil {
		state = &container.State{}
	}
	var err error
	switch {
	case state.Paused:
		return fmt.Errorf("container %q is paused: run docker unpause %s", name, name)
	case state.Dead:
		return fmt.Errorf("container %q is dead, Docker could not remove it: run docker rm -f %s", name, name)
	case state.Restarting:
		// It failed before, and Docker waits longer and longer, up to a minute,
		// before it tries again.
		now := 0
		err = c.docker.ContainerRestart(ctx, have.ID, container.StopOptions{Timeout: &now})
	case state.Running:
		return nil
	default:
		err = c.docker.ContainerStart(ctx, have.ID, container.StartOptions{})
	}
	if err != nil {
		return c.dockerError(fmt.Sprintf("starting container %q, which is %s", name, state.Status), err)
	}
	c.log.Info("container started again", zap.String("container", name), zap.String("was", state.Status))
	return nil
}

// attach puts a container that is there on the overlay network, at its
// address.
func (c *Central) attach(ctx context.Context, have container.InspectResponse, overlay overlayNetwork, undo *undoList) error {
	var on *network.EndpointSettings
	if have.NetworkSettings != nil {
		on = have.NetworkSettings.Networks[overlay.name]
	}
	want := overlay.central.String()
	// A stopped container remembers a network that was removed, and cannot be
	// started on another one of the same name.
	gone := on != nil && on.NetworkID != "" && on.NetworkID != overlay.id
	if on != nil && !gone {
		if on.IPAddress == want || on.IPAMConfig != nil && on.IPAMConfig.IPv4Address == want {
			return nil
		}
		return fmt.Errorf("container %q is not at %s on network %q: take it off (docker network disconnect %s %s) and try again", containerName, want, overlay.name, overlay.name, containerName)
	}
	if !ours(have) {
		return fmt.Errorf("container %q is not on network %q, and was not made by this plugin: connect it (docker network connect --ip %s %s %s), or remove it (docker rm -f %s)",
			containerName, overlay.name, want, overlay.name, containerName, containerName)
	}
	if gone {
		if err := c.docker.NetworkDisconnect(ctx, overlay.id, have.ID, true); err != nil {
			return c.dockerError(fmt.Sprintf("taking container %q off a network that was removed", containerName), err)
		}
	}
	undo.add(func(ctx context.Context) error {
		return c.docker.NetworkDisconnect(ctx, overlay.id, have.ID, true)
	})
	if err := c.docker.NetworkConnect(ctx, overlay.id, have.ID, &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: want}}); err != nil {
		return c.dockerError(fmt.Sprintf("connecting container %q to network %q at %s", containerName, overlay.name, want), err)
	}
	return nil
}

func (c *Central) createContainer(ctx context.Context, overlay overlayNetwork, undo *undoList) error {
	if err := c.checkImage(ctx); err != nil {
		return err
	}
	if err := c.ensureVolume(ctx, undo); err != nil {
		return err
	}
	err := c.run(ctx, containerName, &container.Config{Image: c.cfg.Image, Cmd: []string{"ovn-central"}},
		&container.HostConfig{
			Binds: []string{volumeName + ":/var/lib/ovn"}, NetworkMode: container.NetworkMode(overlay.name),
			// Its packets reach the host, and end where the host would forward
			// them: a network that the user made is as closed as one of ours.
			Sysctls: map[string]string{"net.ipv4.ip_default_ttl": "1"},
		},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			overlay.name: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: overlay.central.String()}},
		}}, nil, undo)
	if err != nil {
		return fmt.Errorf("making OVN central at %s on network %q: %w", overlay.central, overlay.name, err)
	}
	c.log.Info("OVN central created", zap.Stringer("address", overlay.central))
	return nil
}

// ensureVolume makes the databases' volume when there is none. Docker would
// make it with the container too, but then nobody could tell whether it was
// there before, and may be removed again.
func (c *Central) ensureVolume(ctx context.Context, undo *undoList) error {
	_, err := c.docker.VolumeInspect(ctx, volumeName)
	if err == nil {
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return c.dockerError(fmt.Sprintf("looking for volume %q", volumeName), err)
	}
	undo.add(func(ctx context.Context) error { return c.removeVolume(ctx, volumeName) })
	if _, err := c.docker.VolumeCreate(ctx, volume.CreateOptions{Name: volumeName, Labels: map[string]string{labelKey: labelValue}}); err != nil {
		return c.dockerError(fmt.Sprintf("creating volume %q", volumeName), err)
	}
	return nil
}

func (c *Central) checkImage(ctx context.Context) error {
	_, err := c.docker.ImageInspect(ctx, c.cfg.Image)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("image %q is not on this host: run \"make images\" in the checkout, or load it with docker load", c.cfg.Image)
	}
	if err != nil {
		return c.dockerError(fmt.Sprintf("looking for image %q", c.cfg.Image), err)
	}
	return nil
}

// run creates and starts a container of ours, with files: no capability, restarted
// unless somebody stops it.
func (c *Central) run(ctx context.Context, name string, cfg *container.Config, host *container.HostConfig, net *network.NetworkingConfig, files folder, undo *undoList) error {
	cfg.Labels = maps.Clone(cfg.Labels)
	if cfg.Labels == nil {
		cfg.Labels = map[string]string{}
	}
	cfg.Labels[labelKey] = labelValue
	host.CapDrop = []string{"ALL"}
	host.SecurityOpt = []string{"no-new-privileges"}
	// Not unless-stopped: a dockerd that was killed takes its containers for
	// stopped by hand when it starts again, and leaves them down.
	host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
	made, err := c.docker.ContainerCreate(ctx, cfg, host, net, nil, name)
	if errdefs.IsConflict(err) {
		return fmt.Errorf("creating container %q: %w", name, errNameTaken)
	}
	if err != nil {
		if ctx.Err() != nil {
			undo.add(func(ctx context.Context) error { return c.removeUnanswered(ctx, name) })
		}
		return c.dockerError(fmt.Sprintf("creating container %q", name), err)
	}
	undo.add(func(ctx context.Context) error { return c.removeContainer(ctx, made.ID) })
	if err := c.put(ctx, made.ID, files); err != nil {
		return c.dockerError(fmt.Sprintf("giving container %q its certificates", name), err)
	}
	if err := c.docker.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return c.dockerError(fmt.Sprintf("starting container %q", name), err)
	}
	return nil
}

// describe tells what became of a container, for an error.
func (c *Central) describe(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), describeWithin)
	defer cancel()
	have, err := c.docker.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return fmt.Sprintf("container %q is gone", name)
	}
	if err != nil || have.State == nil {
		return fmt.Sprintf("container %q cannot be looked at (%v)", name, err)
	}
	text := fmt.Sprintf("container %q is %s", name, have.State.Status)
	if !have.State.Running || have.State.Restarting {
		text += fmt.Sprintf(" with exit code %d", have.State.ExitCode)
	}
	if have.State.OOMKilled {
		text += ", out of memory"
	}
	if have.RestartCount > 0 {
		text += fmt.Sprintf(", restarted %d times", have.RestartCount)
	}
	if have.State.Error != "" {
		text += fmt.Sprintf(", Docker says %q", have.State.Error)
	}
	// Some log drivers cannot be read; the state is worth telling without.
	if lines := c.lastLines(ctx, have.ID); lines != "" {
		text += fmt.Sprintf(" and its last lines are %q", lines)
	}
	return text
}

func (c *Central) lastLines(ctx context.Context, id string) string {
	logs, err := c.docker.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"})
	if err != nil {
		return ""
	}
	var both bytes.Buffer
	_, copyErr := stdcopy.StdCopy(&both, &both, logs)
	if err := errors.Join(copyErr, logs.Close()); err != nil {
		c.log.Debug("container's log ended early", zap.Error(err))
	}
	// An error is read on a terminal: the end of long lines is left.
	text := strings.TrimSpace(both.String())
	return text[max(0, len(text)-1000):]
}
