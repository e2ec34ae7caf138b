package central

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// ControllerRuns reports whether the host runs an ovn-controller.
func (c *Central) ControllerRuns(ctx context.Context) bool { return c.controllerRuns(ctx) }

// Revive makes OVN central and ovn-controller again where their containers are
// gone, for a network that asked for auto_create. What is there, and stopped,
// was stopped by somebody: it stays so.
func (c *Central) Revive(ctx context.Context, r Request) (Connections, error) {
	asked := Connections{NB: r.NB, SB: r.SB}
	noCentral, noController, err := c.missing(ctx)
	if err != nil {
		return asked, err
	}
	conns := asked
	if noCentral && !tls(r.NB) { // that is another host's
		if conns, err = c.Ensure(ctx, r); err != nil {
			return asked, err
		}
	}
	if noController {
		err = c.EnsureController(ctx, r.AutoCreate)
	}
	return conns, err
}

// missing tells which of the two containers Docker does not have, or has not
// started yet.
func (c *Central) missing(ctx context.Context) (central, controller bool, _ error) {
	docker, err := client.NewClientWithOpts(c.opts...)
	if err != nil {
		return false, false, fmt.Errorf("preparing for the Docker API: %w", err)
	}
	defer func() { _ = docker.Close() }() // its connections are idle
	gone := map[string]bool{}
	for _, name := range []string{containerName, controllerName} {
		have, err := docker.ContainerInspect(ctx, name)
		if err != nil && !errdefs.IsNotFound(err) {
			return false, false, c.dockerError(fmt.Sprintf("looking for container %q", name), err)
		}
		// One that was never started was stopped by nobody: its maker was killed.
		gone[name] = err != nil || have.State != nil && have.State.Status == container.StateCreated
	}
	return gone[containerName], gone[controllerName], nil
}
