#!/usr/bin/env bash
# Makes the images that a host needs: ovn-central:latest and the demo image. Quick when nothing changed.
#   hack/images.sh ovn-central    only that one

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_docker
base=$("$root/images/base.sh")

build_image "$ovn_image" "$root/images/ovn-central" "$base" "$root"/images/ovn-central/*.sh
[ "${1:-}" = ovn-central ] || build_image "$demo_image" "$root/images/demo" "$base"
