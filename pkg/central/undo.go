package central

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// What a call keeps of its caller's time for the case that it fails: to look at
// what became of the container, to take back what was made, and to answer.
const (
	describeWithin = time.Second
	undoWithin     = 3 * time.Second
	spareTime      = describeWithin + undoWithin + time.Second
)

// spare returns a context that ends spareTime before its parent, or after half
// of what is left when that is little.
func spare(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(spareTime, time.Until(deadline)/2)))
}

// undoList is what a failed call takes back, newest first.
type undoList []func(context.Context) error

func (u *undoList) add(f func(context.Context) error) { *u = append(*u, f) }

func (u *undoList) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	var all []error
	for i := len(*u) - 1; i >= 0; i-- {
		if err := (*u)[i](ctx); err != nil && !errdefs.IsNotFound(err) {
			all = append(all, fmt.Errorf("taking it back: %w", err))
		}
	}
	return errors.Join(all...)
}

// removeContainer takes back a container that this call made.
func (c *Central) removeContainer(ctx context.Context, id string) error {
	return c.docker.ContainerRemove(ctx, id, container.RemoveOptions{Force: true})
}

// removeUnanswered takes back a container whose creation was not answered, so
// that nobody knows whether it was made. One that has been started is not it.
func (c *Central) removeUnanswered(ctx context.Context, name string) error {
	have, err := c.docker.ContainerInspect(ctx, name)
	if err != nil {
		return err
	}
	if !ours(have) || have.State == nil || have.State.Status != container.StateCreated {
		return nil
	}
	return c.removeContainer(ctx, have.ID)
}

// removeVolume takes back the volume, unless another plugin's container has it
// by now.
func (c *Central) removeVolume(ctx context.Context, name string) error {
	if err := c.docker.VolumeRemove(ctx, name, false); !errdefs.IsConflict(err) {
		return err
	}
	return nil
}

// removeNetwork takes back a network, unless another plugin's container is on
// it by now. Docker calls that forbidden, and not a conflict.
func (c *Central) removeNetwork(ctx context.Context, id string) error {
	if err := c.docker.NetworkRemove(ctx, id); !errdefs.IsPermissionDenied(err) {
		return err
	}
	return nil
}

// removeUnansweredNetwork is removeUnanswered for a network.
func (c *Central) removeUnansweredNetwork(ctx context.Context, name string) error {
	have, err := c.docker.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return err
	}
	if have.Name != name || have.Labels[labelKey] != labelValue || len(have.Containers) > 0 {
		return nil
	}
	return c.removeNetwork(ctx, have.ID)
}
