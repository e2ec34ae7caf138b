//go:build linux

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// golden gives a host, before its first boot, a Docker folder that has images and plugin in it already. The folder is
// made once, on a host of its own, and kept by the hash of what is in it; copying it costs a tenth of loading the images and
// creating the plugin again. The plugin is created there but not enabled, so that each host's plugin has its first start.
func golden(ctx context.Context, h *localHost) error {
	if !h.Options.Images && !h.Options.Plugin {
		return nil
	}
	dir, err := goldenDir(ctx, h.Options.Suite, h.Options.Images, h.Options.Plugin)
	if err != nil {
		return err
	}
	// keeps another suite from taking it for outdated while it is copied
	use := flock.New(dir + ".lock")
	if err := use.RLock(); err != nil {
		return err
	}
	defer use.Unlock() //nolint:errcheck // ends with the process anyway
	if h.Options.Plugin {
		if h.PluginHash, err = pluginHash(h.Options.Suite); err != nil {
			return err
		}
	}
	target := filepath.Join(h.Dir, "fs", "var/lib/docker")
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return copyTree(ctx, dir, target)
}

// goldenDir returns the folder for these contents, making it when it is not there. Building on the images' folder keeps the
// plugin's quick to make: the plugin changes often, the images do not.
func goldenDir(ctx context.Context, suite string, images, plugin bool) (string, error) {
	tree, err := rootTree(suite)
	if err != nil {
		return "", err
	}
	key := sha256.New()
	fmt.Fprintln(key, tree)
	var base, tarball string
	kind := "docker" + variant(suite) + "-"
	if images {
		kind += "images-"
		ids, err := imageIDs(ctx, suite)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(key, ids)
		tarball = filepath.Join(cacheDir(), "images"+variant(suite)+"-"+hash(strings.Join(ids, " "))+".tar")
	}
	if plugin {
		kind += "plugin-"
		id, err := pluginHash(suite)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(key, id)
		if images {
			if base, err = goldenDir(ctx, suite, true, false); err != nil {
				return "", err
			}
		}
	}
	dir := filepath.Join(cacheDir(), kind+hex.EncodeToString(key.Sum(nil))[:12])

	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return "", err
	}
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock() //nolint:errcheck // ends with the process anyway
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := makeGolden(ctx, suite, dir, func(h *localHost) error {
		if base != "" {
			return copyTree(ctx, base, filepath.Join(h.Dir, "fs", "var/lib/docker"))
		}
		return nil
	}, func(h *localHost) error {
		if images && base == "" {
			if err := loadImages(ctx, h, tarball); err != nil {
				return err
			}
		}
		if plugin {
			return createPlugin(ctx, h)
		}
		return nil
	}); err != nil {
		return "", fmt.Errorf("preparing Docker's folder for test hosts: %w", err)
	}
	return dir, prune(kind, dir)
}

// prune removes the folders of the same kind that dir has replaced and nobody is copying.
func prune(kind, dir string) error {
	var failed []error
	old, err := filepath.Glob(filepath.Join(cacheDir(), kind+"????????????"))
	for _, other := range old {
		if other == dir {
			continue
		}
		lock := flock.New(other + ".lock")
		if free, err := lock.TryLock(); err != nil || !free {
			continue
		}
		failed = append(failed, removeAll(other), os.Remove(other+".lock"), lock.Unlock())
	}
	return errors.Join(append(failed, err)...)
}

// makeGolden runs fill on a host that has only Docker, and keeps its Docker folder as dir.
func makeGolden(ctx context.Context, suite, dir string, start, fill func(*localHost) error) (err error) {
	name := "golden" + strings.ReplaceAll(filepath.Base(dir), "-", "")
	c := &localCluster{name: name, dir: filepath.Join(stateDir(), name)}
	if err := c.sweep(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.sweep()) }()
	h, err := c.newHost(Options{Name: "golden", Suite: suite, Docker: true}, 1)
	if err != nil {
		return err
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	docker := filepath.Join(h.Dir, "fs", "var/lib/docker")
	if err := os.RemoveAll(docker); err != nil {
		return err
	}
	if err := start(h); err != nil {
		return err
	}
	if err := os.MkdirAll(docker, 0o711); err != nil {
		return err
	}
	if err := h.Boot(ctx); err != nil {
		return err
	}
	if err := fill(h); err != nil {
		return err
	}
	if err := h.StopDocker(ctx); err != nil {
		return err
	}
	if err := h.PowerOff(ctx); err != nil {
		return err
	}
	return os.Rename(docker, dir)
}

// loadImages brings images of the machine's Docker, the only place they are built in, into the host's.
func loadImages(ctx context.Context, h *localHost, tarball string) error {
	if _, err := os.Stat(tarball); err != nil {
		part := tarball + ".part"
		out, err := exec.CommandContext(ctx, "docker", append([]string{"save", "-o", part}, imagesOf(h.Options.Suite)...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("saving images: %w: %s", err, out)
		}
		if err := os.Rename(part, tarball); err != nil {
			return err
		}
		old, _ := filepath.Glob(filepath.Join(cacheDir(), "images"+variant(h.Options.Suite)+"-????????????.tar"))
		for _, other := range old {
			if other != tarball {
				_ = os.Remove(other) // of images that are no more
			}
		}
	}
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := h.RunInput(ctx, f, "docker", "load"); err != nil {
		return err
	}
	return nameCentral(ctx, h, h.Options.Suite)
}

// createPlugin makes the plugin and notes which it is.
func createPlugin(ctx context.Context, h *localHost) error {
	if err := bringPlugin(ctx, h, h.Options.Suite); err != nil {
		return err
	}
	id, err := pluginHash(h.Options.Suite)
	if err != nil {
		return err
	}
	h.PluginHash = id
	return h.record()
}

// renewPlugin replaces the plugin of a running host if it was built anew.
func renewPlugin(ctx context.Context, h *localHost) error {
	if !h.Options.Plugin {
		return nil
	}
	id, err := pluginHash(h.Options.Suite)
	if err != nil || id == h.PluginHash {
		return err
	}
	if _, err := h.Docker(ctx, "plugin", "rm", "-f", PluginName); err != nil && !strings.Contains(err.Error(), "not found") {
		return err
	}
	if err := createPlugin(ctx, h); err != nil {
		return err
	}
	_, err = h.Docker(ctx, "plugin", "enable", PluginName)
	return err
}

// pluginHash changes when a file of the built plugin does.
func pluginHash(suite string) (string, error) {
	var list strings.Builder
	err := filepath.WalkDir(pluginDir(suite), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			fmt.Fprintln(&list, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return hash(list.String()), err
}
