package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func measureStart(ctx context.Context, p *plugin) ([]row, error) {
	if p.cmd == nil {
		return nil, nil // it runs
	}
	var took []time.Duration
	for range rounds(p.setting, 20, 5) {
		p.stop(syscall.SIGTERM)
		d, err := p.start(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		if err := p.recovered(ctx); err != nil {
			return nil, err
		}
	}
	memory, _, files, err := p.held()
	if err != nil {
		return nil, err
	}
	rows := []row{
		{Name: "start to listening", Unit: "ms", Value: milliseconds(medianTime(took)), Bar: 100, Goal: 20},
		{Name: "memory at start", Unit: "MiB", Value: memory},
		{Name: "open files at start", Unit: "", Value: float64(files)},
	}
	if p.Plugin == "" {
		return rows, nil
	}
	size, err := folderSize(filepath.Join(p.Plugin, "rootfs"))
	if err != nil {
		return rows, err
	}
	created, err := createPlugin(ctx, p.setting)
	return append(rows,
		row{Name: "rootfs", Unit: "MiB", Value: size / (1 << 20), Bar: 60, Goal: 30},
		row{Name: "docker plugin create", Unit: "s", Value: created.Seconds(), Bar: 4, Goal: 2},
	), err
}

// folderSize is the size of the files in a folder, in bytes; one with several names counts once.
func folderSize(dir string) (size float64, _ error) {
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && seen[st.Ino] {
			return nil
		} else if ok {
			seen[st.Ino] = true
		}
		size += float64(info.Size())
		return nil
	})
	return size, err
}

func createPlugin(ctx context.Context, s setting) (time.Duration, error) {
	const name = "ovs-bench-create:latest"
	// Docker refuses what it has already, and what it has of another plugin it would not have to take in again.
	mark := filepath.Join(s.Plugin, "rootfs", "etc", "bench")
	defer os.Remove(mark) //nolint:errcheck // of a copy
	var took []time.Duration
	for range rounds(s, 5, 3) {
		if err := os.WriteFile(mark, []byte(time.Now().String()), 0o600); err != nil {
			return 0, err
		}
		began := time.Now()
		if _, err := command(ctx, "docker", "plugin", "create", name, s.Plugin); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
		if _, err := command(ctx, "docker", "plugin", "rm", name); err != nil {
			return 0, err
		}
	}
	if len(took) == 0 {
		return 0, errors.New("nothing was measured")
	}
	return medianTime(took), nil
}
