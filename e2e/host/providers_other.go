//go:build !linux

package host

// providers: hosts made of namespaces need Linux, and those of the provider "qemu" a disk that is made on it.
func providers() map[string]provider {
	return map[string]provider{
		"lima": {up: limaUp, missing: limaMissing, kernel: true},
	}
}

// onOverlay: only Linux has it.
func onOverlay(string) bool { return false }
