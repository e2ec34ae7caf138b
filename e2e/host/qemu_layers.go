//go:build linux

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A layer is a folder of the cache with a disk, made on that of the layer below, and the saved state of a host that runs
// with it. There are at most three: a booted host, the images in its Docker, the plugin. The plugin changes often and the
// images do not, so each is made from the state of the one below, and a boot is needed for the first only.
type layer struct {
	dir   string
	kind  string
	suite string
	fill  func(ctx context.Context, h *qemuHost) error
}

// layersFor returns the folders for these contents from the lowest up, making those that are not there.
func layersFor(ctx context.Context, image, accel string, want contents) ([]string, error) {
	layers, err := plan(ctx, image, accel, want)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return nil, err
	}
	var dirs []string
	below := ""
	for _, l := range layers {
		if err := l.make(ctx, image, accel, below); err != nil {
			return nil, fmt.Errorf("preparing the disk of test hosts: %w", err)
		}
		below = l.dir
		dirs = append(dirs, l.dir)
	}
	return dirs, nil
}

// layerNames are the folders that layersFor would return.
func layerNames(ctx context.Context, image, accel string, want contents) ([]string, error) {
	layers, err := plan(ctx, image, accel, want)
	var dirs []string
	for _, l := range layers {
		dirs = append(dirs, l.dir)
	}
	return dirs, err
}

func plan(ctx context.Context, image, accel string, want contents) ([]layer, error) {
	version, err := exec.CommandContext(ctx, qemuProgram, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("asking QEMU for its version: %w", err)
	}
	keys := layerKeys{Suite: want.Suite, Image: filepath.Base(image), QEMU: string(version), Accel: accel}
	if want.Images {
		ids, err := imageIDs(ctx, want.Suite)
		if err != nil {
			return nil, err
		}
		keys.Images = strings.Join(ids, " ")
	}
	if want.Plugin {
		// it names the hash of all files; their times are new with every `make rootfs`
		text, err := os.ReadFile(filepath.Join(pluginDir(want.Suite), "config.json"))
		if err != nil {
			return nil, err
		}
		keys.Plugin = string(text)
	}
	return keys.layers(), nil
}

// layerKeys are what a layer depends on. A state can be restored only by the QEMU that saved it, with the same devices.
type layerKeys struct {
	Suite              string
	Image, QEMU, Accel string
	Images, Plugin     string // empty for none
}

func (k layerKeys) layers() []layer {
	sum := sha256.New()
	fmt.Fprintln(sum, k.Image, k.QEMU, machine{Accel: k.Accel}.args())
	kind := "qemu" + variant(k.Suite) + "-"
	var layers []layer
	add := func(name, key string, fill func(context.Context, *qemuHost) error) {
		kind += name
		fmt.Fprintln(sum, name, key)
		dir := filepath.Join(cacheDir(), kind+hex.EncodeToString(sum.Sum(nil))[:12])
		layers = append(layers, layer{dir: dir, kind: kind, suite: k.Suite, fill: fill})
	}
	add("", "", func(context.Context, *qemuHost) error { return nil })
	if k.Images != "" {
		add("images-", k.Images, func(ctx context.Context, h *qemuHost) error {
			if err := bringImages(ctx, h, k.Suite); err != nil {
				return err
			}
			return h.warmUp(ctx)
		})
	}
	if k.Plugin != "" {
		add("plugin-", k.Plugin, func(ctx context.Context, h *qemuHost) error { return bringPlugin(ctx, h, k.Suite) })
	}
	return layers
}

// make makes the layer on the one in the folder below, or on the image itself.
func (l layer) make(ctx context.Context, image, accel, below string) (err error) {
	if _, err := os.Stat(l.dir); err == nil {
		return nil // without the lock, which those who use it have
	}
	lock, err := lockFile(ctx, l.dir+".lock", false)
	if err != nil {
		return err
	}
	defer lock.Unlock() //nolint:errcheck // ends with the process anyway
	if _, err := os.Stat(l.dir); err == nil {
		return nil
	}
	name := strings.ReplaceAll(filepath.Base(l.dir), "-", "")
	c := newQemuCluster(name)
	if err := c.sweep(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.sweep(), c.unlock(0)) }()
	if below != "" {
		if err := c.use(ctx, []string{below}); err != nil {
			return err
		}
	}
	h := newQemuHost(Options{Name: "golden", Suite: l.suite, Docker: true, OVS: true}, qemuHost{
		Number: 253, Dir: filepath.Join(c.dir, "golden"), Cluster: name, Image: image, Accel: accel, Layer: below,
	})
	mon, theirs, err := newMonitor()
	if err != nil {
		return err
	}
	defer func() { _ = mon.conn.Close() }()
	defer theirs.Close()
	if err := l.start(ctx, h, theirs); err != nil {
		return err
	}
	if err := mon.hello(ctx); err != nil {
		return err
	}
	if err := l.fill(ctx, h); err != nil {
		return err
	}
	if err := saveHost(ctx, h, mon); err != nil {
		return err
	}
	if err := os.Rename(h.Dir, l.dir); err != nil {
		return err
	}
	return prune(l.kind, l.dir)
}

// start starts the host that becomes the layer.
func (l layer) start(ctx context.Context, h *qemuHost, mon *os.File) error {
	if h.Layer != "" {
		if err := h.restore(ctx, mon); err != nil {
			return err
		}
		// the clock stood still; what is made from now on should not be older than it
		_, err := h.Run(ctx, "date", "-s", "@"+fmt.Sprint(time.Now().Unix()))
		return err
	}
	if err := h.newDisk(ctx); err != nil {
		return err
	}
	if err := h.powerOn(nil, mon); err != nil {
		return err
	}
	if err := h.up(ctx); err != nil {
		return err
	}
	return h.answers(ctx)
}

// saveHost writes the running host's state beside its disk, and ends it.
func saveHost(ctx context.Context, h *qemuHost, mon *monitor) error {
	if _, err := h.Run(ctx, "sync"); err != nil {
		return err
	}
	if err := h.disconnect(); err != nil {
		return err
	}
	state, err := os.Create(filepath.Join(h.Dir, "state"))
	if err != nil {
		return err
	}
	defer state.Close()
	if err := mon.save(ctx, state); err != nil {
		return err
	}
	// without waiting: QEMU may close the connection before it has answered
	_ = mon.do(ctx, nil, "quit", nil, nil)
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return await(short, "QEMU to end", func() error {
		if h.Machine.alive() {
			return errors.New("it is still there")
		}
		return nil
	})
}
