//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
)

// PowerOff kills QEMU, which is all that the host's hardware consists of.
func (h *qemuHost) PowerOff(context.Context) error {
	if err := h.cut(); err != nil {
		return err
	}
	return h.record()
}

func (h *qemuHost) Boot(ctx context.Context) error {
	if h.Machine.alive() {
		return fmt.Errorf("booting host %s: it is running", h.Name())
	}
	if err := h.powerOn(nil, nil); err != nil {
		return err
	}
	if err := h.up(ctx); err != nil {
		return fmt.Errorf("booting host %s: %w", h.Name(), err)
	}
	return h.answers(ctx)
}

func (h *qemuHost) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if err := h.reboot(ctx); err != nil {
		return err
	}
	if err := h.started(ctx, anyUnit); err != nil {
		return fmt.Errorf("rebooting host %s: %w", h.Name(), err)
	}
	return errors.Join(h.answers(ctx), h.record())
}
