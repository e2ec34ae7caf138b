package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// contents are what the hosts of a cluster find in Docker.
type contents struct {
	Suite          string
	Images, Plugin bool
}

// contentsOf picks a host's. One without Docker has no use for any, and takes what another has, which saves a layer.
func contentsOf(spec Spec, o Options) contents {
	suite := o.Suite
	if !o.Docker {
		for _, other := range spec.Hosts {
			if other.Docker {
				o = other
				break
			}
		}
	}
	return contents{Suite: suite, Images: o.Images, Plugin: o.Plugin}
}

// nameCentral gives OVN central's image of a release the name that plugins know.
func nameCentral(ctx context.Context, h Host, suite string) error {
	loaded := centralImage(suite)
	if loaded == ImageCentral {
		return nil
	}
	if _, err := h.Docker(ctx, "tag", loaded, ImageCentral); err != nil {
		return err
	}
	_, err := h.Docker(ctx, "rmi", loaded)
	return err
}

func imageIDs(ctx context.Context, suite string) ([]string, error) {
	images := imagesOf(suite)
	args := append([]string{"image", "inspect", "--format", "{{.Id}}"}, images...)
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("looking up images %v in this machine's Docker: %w", images, err)
	}
	return strings.Fields(string(out)), nil
}

// bringImages brings images of the machine's Docker, the only place they are built in, into a virtual machine's.
func bringImages(ctx context.Context, h interface {
	Host
	feed(ctx context.Context, from *exec.Cmd, argv ...string) error
}, suite string,
) error {
	save := exec.CommandContext(ctx, "docker", append([]string{"save"}, imagesOf(suite)...)...)
	if err := h.feed(ctx, save, "docker", "load"); err != nil {
		return err
	}
	return nameCentral(ctx, h, suite)
}

// bringPlugin makes the plugin in a host's Docker from the folder that `make rootfs` made.
func bringPlugin(ctx context.Context, h Host, suite string) error {
	const dir = "/var/tmp/plugin"
	if err := h.CopyIn(ctx, pluginDir(suite), dir); err != nil {
		return err
	}
	if _, err := h.Docker(ctx, "plugin", "create", PluginName, dir); err != nil {
		return err
	}
	_, err := h.Run(ctx, "rm", "-rf", dir)
	return err
}

// contentsMissing lists what is to be brought into hosts and has not been made.
func contentsMissing(spec Spec) []string {
	var plugin, images bool
	for _, o := range spec.Hosts {
		plugin, images = plugin || o.Plugin, images || o.Images
	}
	var missing []string
	for _, suite := range suites() {
		how := "make images rootfs"
		if suite != usualSuite {
			how = "hack/release.sh " + suite
		}
		if _, err := os.Stat(filepath.Join(pluginDir(suite), "config.json")); plugin && err != nil {
			missing = append(missing, "the plugin is not built: run `"+how+"`")
		}
		if images {
			if _, err := imageIDs(context.Background(), suite); err != nil {
				missing = append(missing, fmt.Sprintf("%v (run `%s`)", err, how))
			}
		}
	}
	return missing
}
