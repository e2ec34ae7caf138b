package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	if onOverlay(Top()) {
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

func cacheDir() string { return filepath.Join(stateDir(), "cache") }

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:12]
}

// dockerLog is where the daemon's log is in hosts of all providers.
const dockerLog = "/var/log/dockerd.log"
