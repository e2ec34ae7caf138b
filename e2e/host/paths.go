package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Top is the folder of the checkout, found upwards from the working directory (a Go test runs in its package's folder).
func Top() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return "."
}

// stateDir is where hosts and caches live. Docker's overlay2 does not work on an overlay, which a checkout in a container may be.
func stateDir() string {
	if dir := os.Getenv("E2E_DIR"); dir != "" {
		return dir
	}
	dir := filepath.Join(Top(), "build", "e2e")
	var fs unix.Statfs_t
	if err := unix.Statfs(Top(), &fs); err == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		dir = "/var/tmp/ovs-container-network-e2e"
	}
	return dir
}

// usualSuite is the Debian release that hosts run, and that `make images rootfs` builds for where nobody says another one.
const usualSuite = "bookworm"

// suites are the releases that hosts run, in turn: what E2E_SUITE says. A mixture shows that hosts of different versions
// understand each other.
func suites() []string {
	if text := os.Getenv("E2E_SUITE"); text != "" {
		return strings.Split(text, ",")
	}
	return []string{usualSuite}
}

// withSuites gives each host its release.
func (s Spec) withSuites() Spec {
	s.Hosts = slices.Clone(s.Hosts)
	for i := range s.Hosts {
		s.Hosts[i].Suite = suites()[i%len(suites())]
	}
	return s
}

// made is the folder that a script of hack/ made for a release.
func made(kind, script, suite string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(Top(), "build", kind, suite))
	if err != nil {
		return "", fmt.Errorf("there is no %s for test hosts of %s: run hack/%s %s", kind, suite, script, suite)
	}
	return dir, nil
}

// rootTree is the tree that hack/testhost-image.sh made.
func rootTree(suite string) (string, error) {
	dir, err := made("testhost", "testhost-image.sh", suite)
	return filepath.Join(dir, "rootfs"), err
}

// PluginDir is where `make rootfs` leaves the plugin: config.json and rootfs.
func PluginDir() string { return filepath.Join(Top(), "build", "plugin") }

// variant is what a release's builds have at the end of their name.
func variant(suite string) string {
	if suite == usualSuite {
		return ""
	}
	return "-" + suite
}

// pluginDir is PluginDir for a release; hack/release.sh makes others than the usual one.
func pluginDir(suite string) string { return PluginDir() + variant(suite) }

// centralImage is OVN central's image of a release on this machine. In the hosts it is ImageCentral.
func centralImage(suite string) string {
	if suite == usualSuite {
		return ImageCentral
	}
	name, _, _ := strings.Cut(ImageCentral, ":")
	return name + ":" + suite
}

// imagesOf are what is brought into hosts of a release.
func imagesOf(suite string) []string { return []string{centralImage(suite), ImageDemo} }

// localMissing lists what the provider "local" lacks for a cluster.
func localMissing(spec Spec) string {
	if os.Geteuid() != 0 {
		return "test hosts are made of namespaces, which needs root: run the tests with sudo"
	}
	var missing []string
	for _, tool := range []string{"ip", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" is not installed")
		}
	}
	for _, suite := range suites() {
		if _, err := rootTree(suite); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return strings.Join(append(missing, contentsMissing(spec)...), "; ")
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
