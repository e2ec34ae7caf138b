#!/usr/bin/env bash
# release.sh SUITE...: make what tests with E2E_SUITE need of other Debian releases: images, plugin, and the hosts' root
# file system, with the Docker, the OVN and the Open vSwitch of that release. Images and file system are kept if they fit.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

[ $# -gt 0 ] || die "usage: hack/release.sh SUITE..."
for suite; do
	[ "$suite" != bookworm ] || die "bookworm is what make images rootfs and hack/testhost-image.sh make"
	export BASE_SUITE=$suite PLUGIN_OVN_IMAGE=ovn-central:$suite PLUGIN_DIR=$build/plugin-$suite
	"$root/hack/images.sh" ovn-central
	"$root/hack/rootfs.sh"
	"$root/hack/testhost-image.sh" "$suite" >/dev/null
done
