package central

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
)

const (
	realImage = "ovn-central:latest"
	demoImage = "ovs-container-network-demo:latest"
)

// skip skips the test at home, and fails it in CI. Not being root is never a
// defect of the machine.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" && os.Getuid() == 0 {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// bench is a real Docker with nothing of ours on it, and an overlay network
// name that is the test's own.
type bench struct {
	*testing.T
	c       *Central
	overlay string
	ctx     context.Context
}

// never is a Prober whose databases do not answer.
type never struct{ Prober }

func (never) DatabaseReady(context.Context, string, string) error {
	return errors.New("this test's databases never answer")
}

func newBench(t *testing.T) *bench {
	if os.Getuid() != 0 {
		skip(t, "needs root, to reach Docker and the networks of containers")
	}
	for _, program := range []string{"ovsdb-client", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "needs %s: %v", program, err)
		}
	}
	c, err := New(Config{Image: realImage}, executor.New(zap.NewNop()), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	if _, err := c.docker.Ping(ctx); err != nil {
		skip(t, "needs Docker: %v", err)
	}
	for _, image := range []string{realImage, demoImage} {
		if _, err := c.docker.ImageInspect(ctx, image); err != nil {
			skip(t, "needs image %q, run \"make images\": %v", image, err)
		}
	}
	b := &bench{T: t, c: c, overlay: fmt.Sprintf("ovn-central-test-%d", os.Getpid()), ctx: ctx}
	if left := b.left(); left != "" {
		skip(t, "this host's OVN central is in use, or was: %s", left)
	}
	t.Cleanup(b.clean)
	return b
}

// left describes what of ours is on the host, "" for nothing.
func (b *bench) left() string {
	b.Helper()
	var all []string
	if _, err := b.c.docker.ContainerInspect(b.ctx, containerName); !errdefs.IsNotFound(err) {
		all = append(all, fmt.Sprintf("container %q (%v)", containerName, err))
	}
	if _, err := b.c.docker.VolumeInspect(b.ctx, volumeName); !errdefs.IsNotFound(err) {
		all = append(all, fmt.Sprintf("volume %q (%v)", volumeName, err))
	}
	if list, err := b.c.networks(b.ctx, b.overlay); err != nil || len(list) > 0 {
		all = append(all, fmt.Sprintf("network %q (%v)", b.overlay, err))
	}
	return strings.Join(all, ", ")
}

// clean removes what the test made, and nothing of another user's: the
// container only when it is on the test's network.
func (b *bench) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if have, err := b.c.docker.ContainerInspect(ctx, containerName); err == nil {
		if _, on := have.NetworkSettings.Networks[b.overlay]; !on {
			b.Logf("container %q is not the test's any more", containerName)
			return
		}
		b.gone(b.c.removeContainer(ctx, have.ID))
	}
	b.gone(b.c.docker.VolumeRemove(ctx, volumeName, false))
	b.gone(b.c.docker.NetworkRemove(ctx, b.overlay))
}

func (b *bench) gone(err error) {
	b.Helper()
	if err != nil && !errdefs.IsNotFound(err) {
		b.Errorf("removing what the test made: %v", err)
	}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) ensure() Connections {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 25*time.Second)
	defer cancel()
	started := time.Now()
	conns, err := b.c.Ensure(ctx, Request{NB: asked.NB, SB: asked.SB, Overlay: b.overlay, AutoCreate: true})
	b.must(err)
	b.Logf("ready after %s: %v", time.Since(started).Round(time.Millisecond), conns)
	return conns
}

func (b *bench) central() container.InspectResponse {
	b.Helper()
	have, err := b.c.docker.ContainerInspect(b.ctx, containerName)
	b.must(err)
	return have
}

// answers checks from the host that both databases do.
func (b *bench) answers(conns Connections) {
	b.Helper()
	if away := b.c.unreachable(b.ctx, conns, answerWithin); away != "" {
		b.Fatalf("%s does not answer", away)
	}
}

// connects runs a container on a network, and returns whether it can connect.
func (b *bench) connects(networkName, host, port string) bool {
	b.Helper()
	made, err := b.c.docker.ContainerCreate(b.ctx, &container.Config{Image: demoImage, Cmd: []string{"nc", "-w", "2", host, port, "-e", "true"}},
		&container.HostConfig{NetworkMode: container.NetworkMode(networkName)}, nil, nil, "")
	b.must(err)
	defer func() { b.gone(b.c.removeContainer(context.WithoutCancel(b.ctx), made.ID)) }()
	ended, failed := b.c.docker.ContainerWait(b.ctx, made.ID, container.WaitConditionNextExit)
	b.must(b.c.docker.ContainerStart(b.ctx, made.ID, container.StartOptions{}))
	select {
	case end := <-ended:
		return end.StatusCode == 0
	case err := <-failed:
		b.Fatal(err)
		return false
	}
}

// TestCentralOnDocker is the life of OVN central on this machine's Docker.
func TestCentralOnDocker(t *testing.T) {
	b := newBench(t)
	conns := b.ensure()
	b.answers(conns)
	first := b.central()

	t.Run("containers cannot connect", func(t *testing.T) {
		b := &bench{T: t, c: b.c, overlay: b.overlay, ctx: b.ctx}
		other := b.overlay + "-other"
		made, err := b.c.docker.NetworkCreate(b.ctx, other, network.CreateOptions{Driver: "bridge"})
		b.must(err)
		t.Cleanup(func() { b.gone(b.c.docker.NetworkRemove(context.WithoutCancel(b.ctx), made.ID)) })
		host, _, err := net.SplitHostPort(strings.TrimPrefix(conns.NB, "tcp:"))
		b.must(err)
		for _, from := range []string{other, b.overlay} {
			// What the container can reach, a listener of the host on that very network, shows that the attempt is a real one.
			inspect, err := b.c.docker.NetworkInspect(b.ctx, from, network.InspectOptions{})
			b.must(err)
			l, err := net.Listen("tcp", net.JoinHostPort(inspect.IPAM.Config[0].Gateway, "0"))
			b.must(err)
			_, port, err := net.SplitHostPort(l.Addr().String())
			b.must(err)
			if !b.connects(from, inspect.IPAM.Config[0].Gateway, port) {
				t.Errorf("a container on %s cannot connect to the host: the attempts below prove nothing", from)
			}
			b.must(l.Close())
			for _, port := range []string{northPort, southPort} {
				if b.connects(from, host, port) {
					t.Errorf("a container on %s connects to %s:%s", from, host, port)
				}
			}
		}
	})

	if again := b.ensure(); again != conns || b.central().State.StartedAt != first.State.StartedAt {
		t.Errorf("a second call is not a no-op: %v, started at %s and %s", again, first.State.StartedAt, b.central().State.StartedAt)
	}

	now := 0
	stop := func() { b.must(b.c.docker.ContainerStop(b.ctx, first.ID, container.StopOptions{Timeout: &now})) }
	stop()
	b.answers(b.ensure())
	if id := b.central().ID; id != first.ID {
		t.Errorf("the stopped container %s was replaced by %s", first.ID, id)
	}

	// "docker network prune" takes the network of a stopped container.
	stop()
	b.must(b.c.docker.NetworkRemove(b.ctx, b.overlay))
	b.answers(b.ensure())
	if id := b.central().ID; id != first.ID {
		t.Errorf("the container %s was replaced by %s", first.ID, id)
	}
}

// TestFailureOnDockerLeavesNothing lets a call fail at its very end.
func TestFailureOnDockerLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.c.probe = never{b.c.probe}
	fail := func() {
		ctx, cancel := context.WithTimeout(b.ctx, 2*spareTime)
		defer cancel()
		_, err := b.c.Ensure(ctx, Request{NB: asked.NB, SB: asked.SB, Overlay: b.overlay, AutoCreate: true})
		wantError(t, err, `container "ovn-central" is running`, "last lines")
		if strings.Contains(err.Error(), "taking it back") {
			t.Errorf("undo failed: %v", err)
		}
		if ctx.Err() != nil {
			t.Error("the caller's time was used up")
		}
	}
	fail()
	if left := b.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
	b.must(b.c.ensureVolume(b.ctx, &undoList{}))
	fail()
	if left := b.left(); !strings.HasPrefix(left, "volume ") || strings.Contains(left, ",") {
		t.Errorf("there is %q, want the volume that was there before and nothing else", left)
	}
}
