package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/config"
	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/driver"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the plugin (dockerd does this)",
		Long:  "Run the plugin: answer dockerd on PLUGIN_SOCKET until SIGTERM.\nThe README lists the environment variables.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context()) },
	}
}

// How long a stop waits for requests that are being worked on: dockerd kills
// the plugin 10 s after SIGTERM.
const drainWithin = 8 * time.Second

// serve listens before anything else is tried, and goes on whatever fails
// behind the socket: dockerd disables a plugin that is late, and one that
// exits cannot say why.
func serve(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		// It waits most of its life, on a host whose memory is for containers.
		debug.SetGCPercent(50)
	}
	cfg, configErr := config.Load()
	log := newLog(cfg.LogLevel)
	defer func() { _ = log.Sync() }()
	started := time.Now()
	listener, err := control.Listen(cfg.Socket, 0o755)
	if err != nil {
		// dockerd does not start a plugin again that ended in its first half
		// second.
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(started.Add(time.Second))):
		}
		return err
	}
	a := newApp(cfg, configErr, log)
	defer a.close()

	var background sync.WaitGroup
	defer background.Wait()
	// It goes on until the last request has been answered.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	a.start(work, &background)
	server := driver.NewServer(a.driver, log, a.refusal)
	if c, err := control.Listen(cfg.ControlSocket, 0o700); err != nil {
		log.Warn("no control socket: the status command will not work", zap.Error(err))
	} else {
		defer c.Close()
		background.Go(func() {
			if err := control.Serve(c, a); err != nil {
				log.Warn("control socket", zap.Error(err))
			}
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", zap.String("socket", cfg.Socket), zap.String("version", version), zap.String("data", cfg.DataDir))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping")
	// Closing removes the socket: dockerd must not find a dead one.
	err = listener.Close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	return errors.Join(err, server.Drain(drain))
}
