#!/usr/bin/env bash
# Makes what `docker plugin create` takes: build/plugin/{rootfs,config.json} (or PLUGIN_DIR).
#   hack/rootfs.sh image    only the image that the rootfs is exported from

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_docker
[ -x "$binary" ] || die "build/$name is missing; run: make build"
base=$("$root/images/base.sh")
build_image "$rootfs_image" "$root" "$base" "$root/plugin-rootfs/collect.sh" "$binary"
[ "${1:-}" != image ] || exit 0

out=$plugin_dir
rm -rf --one-file-system "$out"
mkdir -p "$out/rootfs"
container=$(docker create --label "$owner" "$rootfs_image")
trap 'docker rm -f "$container" >/dev/null' EXIT
# The files belong to who runs this, so that no root is needed, and docker plugin create keeps the owner: harmless,
# because nobody but root gets into Docker's folder of plugins, and the plugin's root may write anywhere in it.
docker export "$container" | tar -x --no-same-owner -C "$out/rootfs"
# Docker's own additions to every container, of which a plugin has no use.
rm -rf "$out/rootfs/.dockerenv" "$out/rootfs/etc/mtab" "$out/rootfs/etc/hostname" "$out/rootfs/dev" && mkdir "$out/rootfs/dev"

# The plugin carries the hash of what it was made from, so that an installer sees whether another one is needed.
content=$({
	(cd "$out/rootfs" && find . -type l -printf '%p %l\n' -o -type f -exec sha256sum {} + | sort)
	cat "$root/config.json"
} | sha256sum | cut -c1-16)
awk -v entry="    { \"name\": \"PLUGIN_BUILD\", \"description\": \"Hash of the content\", \"value\": \"$content\" }," \
	'{ print } /^  "env": \[/ { print entry }' "$root/config.json" >"$out/config.json"
give_back "$out"
size=$(du -sm "$out/rootfs" | cut -f1)
[ "$size" -le 60 ] || die "${out#"$root"/}: the rootfs has $size MiB, and 60 are the limit: a slow install, for what?"
say "${out#"$root"/}: rootfs of $size MiB, content $content"
