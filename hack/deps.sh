#!/usr/bin/env bash
# Installs packages that are missing: hack/deps.sh [build|run|dev|vm ...]; without an argument all of them but vm.
#   run     what a host needs: Open vSwitch, and its tools
#   build   what making the images needs on a machine without an image registry
#   dev     what tests and lint need
#   vm      what make e2e-qemu needs besides: virtual machines, and their disk
# Never starts, stops or configures a service.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

declare -A tools # command -> package
want() {
	case $1 in
	run) tools+=([ovs-vsctl]=openvswitch-switch [ip]=iproute2 [ethtool]=ethtool) ;;
	build) tools+=([mmdebstrap]=mmdebstrap) ;;
	dev) tools+=([shellcheck]=shellcheck [ovn-nbctl]=ovn-common [ovsdb-server]=openvswitch-switch
		[mmdebstrap]=mmdebstrap [tini]=tini [jq]=jq [make]=make [git]=git) ;;
	vm) tools+=([qemu-system-x86_64]=qemu-system-x86 [qemu-img]=qemu-utils [mmdebstrap]=mmdebstrap [mke2fs]=e2fsprogs
		[ssh]=openssh-client [xz]=xz-utils) ;;
	*) die "usage: hack/deps.sh [run|build|dev|vm ...]" ;;
	esac
}
for group in "${@:-all}"; do
	if [ "$group" = all ]; then
		want run && want build && want dev
	else
		want "$group"
	fi
done

missing=()
for tool in "${!tools[@]}"; do
	have "$tool" || missing+=("${tools[$tool]}")
done
if [ "${#missing[@]}" -eq 0 ]; then
	say "packages: all there"
	exit
fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

need_root hack/deps.sh "$@"
have apt-get || die "missing: ${missing[*]}; there is no apt-get here, install them with this distribution's own package manager"

# A package's own scripts would start its services; whether they run is the administrator's business, or install.sh's.
# An existing policy of the machine is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
say "packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qy --no-install-recommends "${missing[@]}"; }
# The lists may be missing (a fresh image) or old (the mirror has moved on).
install >/dev/null 2>&1 || { quietly apt-get update -q && quietly install; } ||
	die "could not install ${missing[*]}; the lines above say why (is the package mirror reachable?)"
say "packages: installed"
