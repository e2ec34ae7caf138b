package host

import "golang.org/x/sys/unix"

func providers() map[string]provider {
	return map[string]provider{
		"local": {up: localUp, missing: localMissing},
		"qemu":  {up: qemuUp, missing: qemuMissing, kernel: true},
		"lima":  {up: limaUp, missing: limaMissing, kernel: true},
	}
}

func onOverlay(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC
}
