# shellcheck shell=bash
# What every script of this project starts with: names, paths, and how a step is shown. Sourced, never run.

set -euo pipefail

# shellcheck disable=SC2034 # read by the scripts that source this file
{
	root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
	name=ovs-container-network
	plugin=$name:${PLUGIN_TAG:-latest}
	rootfs_image=$name:rootfs${BASE_SUITE:+-$BASE_SUITE}
	ovn_image=${PLUGIN_OVN_IMAGE:-ovn-central:latest}
	demo_image=$name-demo:latest
	owner=owner=$name # the label on every container, network and volume of ours
	# Images have another: a container inherits its image's labels, and a user's container of the demo image is not ours.
	image_label=$name.image=1
	build=$root/build
	binary=$build/$name
	plugin_dir=${PLUGIN_DIR:-$build/plugin}
}

# sudo resets PATH, and Go's own installer puts it where no PATH of sudo looks.
PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin:/snap/bin:/usr/local/sbin:/usr/sbin:/sbin
export PATH
# A message that a script reads must not depend on the user's language.
export LC_ALL=C

# say prints one line of progress, with the seconds since the script began.
started=${OCN_STARTED:-$(date +%s%N)}
export OCN_STARTED=$started
say() {
	local ms=$((($(date +%s%N) - started) / 1000000))
	printf '%4d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

# die stops with one line that names what is missing and its remedy.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

need_root() { [ "$(id -u)" -eq 0 ] || die "needs root; run: sudo $*"; }

need_docker() {
	have docker || die "the docker command is missing; install Docker Engine (Debian, Ubuntu: apt-get install docker.io)"
	docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
		die "the Docker daemon does not answer; start it (systemctl start docker), or use sudo if you are not in the group docker"
}

need_go() {
	have go || die "Go is missing (looked in PATH and /usr/local/go/bin); install it from https://go.dev/dl or your distribution (golang-go)"
}

# quietly CMD...: runs it with its output kept back, and shows that output only when it fails.
quietly() {
	local log rc=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 || rc=$?
	[ "$rc" -eq 0 ] || {
		tail -n 40 "$log" >&2
		echo "failed: $*" >&2
	}
	rm -f "$log"
	return "$rc"
}

# give_back PATH...: what sudo made in the checkout belongs to the user who owns the checkout.
give_back() {
	[ "$(id -u)" -eq 0 ] || return 0
	local user
	user=$(stat -c %u:%g "$root")
	for path in "$@"; do
		[ ! -e "$path" ] || [ "$user" = 0:0 ] || chown -R "$user" "$path"
	done
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }
plugin_exists() { docker plugin inspect "$plugin" >/dev/null 2>&1; }
plugin_enabled() { [ "$(docker plugin inspect -f '{{.Enabled}}' "$plugin" 2>/dev/null)" = true ]; }

# build_image TAG DIR BASE FILE...: builds DIR from BASE unless TAG was made from the same BASE and FILEs. The label tells,
# and not the builder's cache, which an image that came by docker load has none of.
build_image() {
	local tag=$1 dir=$2 base=$3 old content
	shift 3
	content=$({ docker image inspect -f '{{.Id}}' "$base" && cat "$dir/Dockerfile" "$@"; } | sha256sum | cut -c1-16)
	old=$(docker image inspect -f "{{.Id}} {{index .Config.Labels \"$name.content\"}}" "$tag" 2>/dev/null || true)
	if [ "${old#* }" != "$content" ]; then
		quietly docker build --network host --label "$name.content=$content" --build-arg "BASE=$base" -t "$tag" "$dir" ||
			die "could not build $tag; the lines above say why"
		# The image of before has lost its name by this, and nothing else would ever remove it.
		[ -z "$old" ] || docker image rm "${old% *}" >/dev/null 2>&1 || true # a container may use it
	fi
	say "image $tag"
}
