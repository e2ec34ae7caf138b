package central

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"
	"go.uber.org/zap"
)

// container makes OVN central run at its address on the overlay network.
func (c *Central) container(ctx context.Context, overlay overlayNetwork, undo *undoList) error {
	have, err := c.docker.ContainerInspect(ctx, containerName)
	if errdefs.IsNotFound(err) {
		return c.createContainer(ctx, overlay, undo)
	}
	if err != nil {
		return c.dockerError("looking for OVN central", err)
	}
	if err := c.attach(ctx, have, overlay); err != nil {
		return err
	}
	return c.start(ctx, have)
}

func (c *Central) start(ctx context.Context, have container.InspectResponse) error {
	if have.State != nil && have.State.Paused {
		return fmt.Errorf("container %q is paused: run docker unpause %s", have.Name, strings.TrimPrefix(have.Name, "/"))
	}
	if have.State != nil && have.State.Running {
		return nil
	}
	if err := c.docker.ContainerStart(ctx, have.ID, container.StartOptions{}); err != nil {
		return c.dockerError(fmt.Sprintf("starting container %q", strings.TrimPrefix(have.Name, "/")), err)
	}
	c.log.Info("container started again", zap.String("container", have.Name))
	return nil
}

// attach puts a container that is there on the overlay network, at its
// address.
func (c *Central) attach(ctx context.Context, have container.InspectResponse, overlay overlayNetwork) error {
	var on *network.EndpointSettings
	if have.NetworkSettings != nil {
		on = have.NetworkSettings.Networks[overlay.name]
	}
	want := overlay.central.String()
	if on != nil && (on.IPAddress == want || on.IPAMConfig != nil && on.IPAMConfig.IPv4Address == want) {
		return nil
	}
	if have.Config == nil || have.Config.Labels[labelKey] != labelValue {
		return fmt.Errorf("container %q is not on network %q with address %s, and was not made by this plugin: connect it (docker network connect --ip %s %s %s), or remove it",
			containerName, overlay.name, want, want, overlay.name, containerName)
	}
	if on != nil {
		if err := c.docker.NetworkDisconnect(ctx, overlay.id, have.ID, true); err != nil {
			return c.dockerError("taking OVN central off a wrong address", err)
		}
	}
	if err := c.docker.NetworkConnect(ctx, overlay.id, have.ID, &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: want}}); err != nil {
		return c.dockerError(fmt.Sprintf("connecting OVN central to network %q", overlay.name), err)
	}
	return nil
}

func (c *Central) createContainer(ctx context.Context, overlay overlayNetwork, undo *undoList) error {
	err := c.run(ctx, containerName, &container.Config{Image: c.cfg.Image, Cmd: []string{"ovn-central"}},
		&container.HostConfig{Binds: []string{volumeName + ":/var/lib/ovn"}, NetworkMode: container.NetworkMode(overlay.name)},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			overlay.name: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: overlay.central.String()}},
		}}, undo)
	if err != nil {
		return err
	}
	c.log.Info("OVN central created", zap.Stringer("address", overlay.central))
	return nil
}

// run creates and starts a container of ours: no capability, restarted unless
// somebody stops it.
func (c *Central) run(ctx context.Context, name string, cfg *container.Config, host *container.HostConfig, net *network.NetworkingConfig, undo *undoList) error {
	if _, err := c.docker.ImageInspect(ctx, cfg.Image); errdefs.IsNotFound(err) {
		return fmt.Errorf("image %q is not on this host: run \"make images\" in the checkout, or load it with docker load", cfg.Image)
	} else if err != nil {
		return c.dockerError(fmt.Sprintf("looking for image %q", cfg.Image), err)
	}
	cfg.Labels = map[string]string{labelKey: labelValue}
	host.CapDrop = []string{"ALL"}
	host.SecurityOpt = []string{"no-new-privileges"}
	host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyUnlessStopped}
	made, err := c.docker.ContainerCreate(ctx, cfg, host, net, nil, name)
	if errdefs.IsConflict(err) {
		return nil // another plugin was faster: whoever waits for readiness will see
	}
	if err != nil {
		return c.dockerError(fmt.Sprintf("creating container %q", name), err)
	}
	undo.add(func(ctx context.Context) error {
		return c.docker.ContainerRemove(ctx, made.ID, container.RemoveOptions{Force: true})
	})
	if err := c.docker.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return c.dockerError(fmt.Sprintf("starting container %q", name), err)
	}
	return nil
}

// describe tells what became of OVN central, for an error.
func (c *Central) describe(ctx context.Context) string {
	return c.describeContainer(ctx, containerName)
}

func (c *Central) describeContainer(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	have, err := c.docker.ContainerInspect(ctx, name)
	if err != nil || have.State == nil {
		return fmt.Sprintf("container %q cannot be looked at (%v)", name, err)
	}
	text := fmt.Sprintf("container %q is %s", name, have.State.Status)
	if lines, err := c.lastLines(ctx, have.ID); err == nil && lines != "" {
		text += fmt.Sprintf(" and says %q", lines)
	}
	return text
}

func (c *Central) lastLines(ctx context.Context, id string) (string, error) {
	logs, err := c.docker.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "3"})
	if err != nil {
		return "", err
	}
	var both bytes.Buffer
	_, err = stdcopy.StdCopy(&both, &both, logs)
	return strings.TrimSpace(both.String()), errors.Join(err, logs.Close())
}
