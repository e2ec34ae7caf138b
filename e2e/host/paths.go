package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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

// rootTree is the tree that hack/testhost-image.sh made.
func rootTree() (string, error) {
	suite := os.Getenv("E2E_SUITE")
	if suite == "" {
		suite = "bookworm"
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(Top(), "build", "testhost", suite))
	if err != nil {
		return "", errors.New("there is no root file system for test hosts: run hack/testhost-image.sh " + suite)
	}
	return filepath.Join(dir, "rootfs"), nil
}

// PluginDir is where `make rootfs` leaves the plugin: config.json and rootfs.
func PluginDir() string { return filepath.Join(Top(), "build", "plugin") }

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
	if _, err := rootTree(); err != nil {
		missing = append(missing, err.Error())
	}
	return strings.Join(append(missing, contentsMissing(spec)...), "; ")
}

// contentsMissing lists what is to be brought into hosts and has not been made.
func contentsMissing(spec Spec) []string {
	var missing []string
	for _, o := range spec.Hosts {
		if _, err := os.Stat(filepath.Join(PluginDir(), "config.json")); o.Plugin && err != nil {
			missing = append(missing, "the plugin is not built: run `make rootfs`")
			break
		}
	}
	for _, o := range spec.Hosts {
		if o.Images {
			if err := imagesMissing(); err != nil {
				missing = append(missing, err.Error())
			}
			break
		}
	}
	return missing
}
