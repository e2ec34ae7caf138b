#!/bin/bash
# testhost-image.sh [SUITE]: make the root file system that end-to-end test hosts run on, and print its folder.
#
# Test hosts bring their own Docker, OVS and OVN, so that nothing but mmdebstrap, iproute2 and util-linux has to be
# installed on the machine, and so that the versions under test do not depend on it.
#
# The tree is kept in build/testhost/SUITE-HASH/rootfs, HASH being that of the recipe; build/testhost/SUITE points to it.
# SUITE is a Debian release (default bookworm); TESTHOST_MIRROR takes another package mirror than mmdebstrap's own default.
set -euo pipefail

suite=${1:-bookworm}
top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/testhost

packages=docker.io,docker-compose,containerd,runc,openvswitch-switch,ovn-central,ovn-host
packages+=,iproute2,iptables,ethtool,iputils-ping,tini,busybox-static,curl,procps,jq,kmod,ca-certificates,isc-dhcp-client
case $suite in
bookworm) ;;
*) packages+=,docker-cli ;; # a package of its own from trixie on
esac

# shellcheck disable=SC2016 # $1 is for the shell that mmdebstrap runs a hook with
options=(
	--variant=minbase --include="$packages"
	--aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"'
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
	--dpkgopt='path-exclude=/usr/share/locale/*'
	# every host gets an identity and databases of its own
	--customize-hook='rm -rf "$1"/etc/machine-id "$1"/etc/openvswitch/conf.db "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*'
	# directories that a host mounts something on: its root is read-only
	--customize-hook='mkdir -p "$1"/host "$1"/lib/modules "$1"/var/lib/docker "$1"/var/lib/containerd "$1"/var/lib/openvswitch "$1"/var/lib/ovn "$1"/etc/docker "$1"/etc/openvswitch "$1"/var/log/openvswitch "$1"/var/log/ovn'
)
hash=$(printf '%s\n' "$suite" "${TESTHOST_MIRROR:-}" "${options[@]}" | sha256sum | cut -c1-12)
tree=$out/$suite-$hash

say() { printf '%s\n' "testhost-image: $*" >&2; }
die() { say "$*"; exit 1; }

mkdir -p "$out"
# two suites of one `go test` may ask at the same time
exec 9>"$out/.lock"
flock 9

if [ ! -e "$tree/complete" ]; then
	[ "$(id -u)" = 0 ] || die "making the root file system needs root: run it with sudo"
	command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
	say "making $suite (once; about a minute with a near mirror)"
	work=$(mktemp -d "$out/.work.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	if ! mmdebstrap --quiet "${options[@]}" "$suite" "$work/rootfs" ${TESTHOST_MIRROR:+"$TESTHOST_MIRROR"} >"$out/$suite.log" 2>&1; then
		tail -n 20 "$out/$suite.log" >&2
		die "mmdebstrap failed; its output is in ${out#"$top"/}/$suite.log"
	fi
	chmod 755 "$work" "$work/rootfs"
	touch "$work/complete"
	rm -rf --one-file-system "$tree"
	mv -T "$work" "$tree"
	trap - EXIT
	say "made ${tree#"$top"/}: $(du -sh "$tree/rootfs" | cut -f1)"
fi
ln -sfn "$suite-$hash" "$out/$suite"
printf '%s\n' "$tree/rootfs"
