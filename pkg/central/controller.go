package central

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"
)

// controllerWithin bounds the wait for an ovn-controller that was started.
const controllerWithin = 10 * time.Second

// EnsureController makes sure that the host runs an ovn-controller: its own, or
// with autoCreate a container of the same image as OVN central. The container
// needs no capability: it talks to two unix sockets and to the southbound
// database.
func (c *Central) EnsureController(ctx context.Context, autoCreate bool) error {
	if c.controllerRuns(ctx) {
		return nil
	}
	if !autoCreate {
		return errors.New("no ovn-controller runs on this host: start it (systemctl start ovn-controller), or add ovn.auto_create=true")
	}
	work, cancel := spare(ctx)
	defer cancel()
	done, err := c.take(work)
	if err != nil {
		return err
	}
	defer done()
	if c.controllerRuns(work) {
		return nil
	}
	var undo undoList
	if err := c.startController(work, &undo); err != nil {
		return errors.Join(err, undo.run(ctx))
	}
	return nil
}

// Certify gives the host's ovn-controller the certificates that this host has now, where
// it has others, or none. It returns false when ovn-controller is none of ours.
func (c *Central) Certify(ctx context.Context) (bool, error) {
	identity, invitation, joined := c.cfg.Joined()
	if !joined {
		return true, nil
	}
	done, err := c.take(ctx)
	if err != nil {
		return true, err
	}
	defer done()
	have, err := c.find(ctx, controllerName)
	if err != nil || have == nil {
		return have != nil || !c.controllerRuns(ctx), err
	}
	if !ours(*have) {
		return false, nil
	}
	files := certificates(identity, invitation)
	same, err := c.holds(ctx, have.ID, files)
	if err != nil || same {
		return true, err
	}
	c.log.Info("ovn-controller gets the certificates of this host")
	// One of an image that was made before may not look for them.
	if image, err := c.docker.ImageInspect(ctx, c.cfg.Image); err == nil && image.ID != have.Image {
		return true, c.replaceController(ctx, have.ID)
	}
	if err := c.put(ctx, have.ID, files); err != nil {
		return true, c.dockerError(fmt.Sprintf("giving container %q its certificates", controllerName), err)
	}
	if have.State == nil || !have.State.Running {
		return true, nil
	}
	// It reads files again that have changed, but keeps to authorities that it has seen. Its own restarts lose no packet.
	if err := c.docker.ContainerRestart(ctx, have.ID, container.StopOptions{}); err != nil {
		return true, c.dockerError(fmt.Sprintf("starting container %q again, with certificates", controllerName), err)
	}
	return true, nil
}

// replaceController makes the container anew.
func (c *Central) replaceController(ctx context.Context, id string) error {
	if err := c.docker.ContainerStop(ctx, id, container.StopOptions{}); err != nil {
		return c.dockerError(fmt.Sprintf("stopping container %q", controllerName), err)
	}
	if err := c.removeContainer(ctx, id); err != nil {
		return c.dockerError(fmt.Sprintf("removing container %q", controllerName), err)
	}
	var undo undoList
	if err := c.startController(ctx, &undo); err != nil {
		return errors.Join(err, undo.run(ctx))
	}
	return nil
}

// Invitation returns the one that this host's ovn-controller was given, for a plugin that
// has lost its records; "" when there is none.
func (c *Central) Invitation(ctx context.Context) (string, error) {
	done, err := c.take(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	have, err := c.find(ctx, controllerName)
	if err != nil || have == nil || !ours(*have) {
		return "", err
	}
	text, err := c.get(ctx, have.ID, "/"+invitationFile)
	return string(text), err
}

func (c *Central) startController(ctx context.Context, undo *undoList) error {
	have, err := c.find(ctx, controllerName)
	var files folder
	if identity, invitation, joined := c.cfg.Joined(); joined {
		files = certificates(identity, invitation)
	}
	switch {
	case err != nil:
		return err
	case have == nil:
		if err := c.checkImage(ctx); err != nil {
			return err
		}
		err := c.run(ctx, controllerName, &container.Config{Image: c.cfg.Image, Cmd: []string{"ovn-controller"}},
			&container.HostConfig{
				NetworkMode: "host",
				Binds:       []string{"/var/run/openvswitch:/var/run/openvswitch", "/var/run/ovn:/var/run/ovn"},
			}, nil, files, undo)
		// One that another plugin makes just now will answer as well.
		if err != nil && !errors.Is(err, errNameTaken) {
			return err
		}
		c.log.Info("ovn-controller created")
	default:
		if ours(*have) {
			if err := c.put(ctx, have.ID, files); err != nil {
				return c.dockerError(fmt.Sprintf("giving container %q its certificates", controllerName), err)
			}
		}
		if err := c.start(ctx, *have, controllerName); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, controllerWithin)
	defer cancel()
	for !c.controllerRuns(ctx) {
		if err := pause(ctx); err != nil {
			return fmt.Errorf("waiting for ovn-controller to answer, %s; look at docker logs %s: %w", c.describe(ctx, controllerName), controllerName, err)
		}
	}
	return nil
}

// controllerRuns reports whether an ovn-controller listens on its control
// socket, ovn-controller.PID.ctl, of the host (ovn-appctl(8)). The socket of a
// dead one refuses.
func (c *Central) controllerRuns(ctx context.Context) bool {
	sockets, err := filepath.Glob(filepath.Join(c.cfg.HostRun, "ovn", "ovn-controller.*.ctl"))
	if err != nil {
		return false // only a malformed pattern
	}
	for _, s := range sockets {
		d := net.Dialer{Timeout: time.Second}
		conn, err := d.DialContext(ctx, "unix", s)
		if err != nil {
			continue
		}
		if err := conn.Close(); err != nil {
			c.log.Debug("closing a socket", zap.Error(err))
		}
		return true
	}
	return false
}
