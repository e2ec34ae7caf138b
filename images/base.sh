#!/usr/bin/env bash
# Prints the name of the image that all images of this project are built from, and makes it when it is missing.
#
#   images/base.sh                a Debian 12 with the packages below, or one of this machine's release
#   BASE_SUITE=x images/base.sh   a Debian of the release x, with the OVN and the Open vSwitch that it has
#   BASE_IMAGE=x images/base.sh   x, as it is (the Dockerfiles install what it lacks)
#
# A machine may have no way to an image registry, so there are two ways to one result: the packages on top of
# Debian's slim image where that is present or can be pulled, or a Debian made by mmdebstrap of this machine's own package
# sources (or, for a release that it has none of, of Debian's mirrors or BASE_MIRROR), which needs a package mirror and
# nothing else.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"

packages=ovn-central,ovn-host,openvswitch-switch,iproute2,iputils-ping,ethtool,iptables,conntrack,busybox-static
suite=${BASE_SUITE:-bookworm}
upstream=debian:$suite-slim
pull_timeout=${BASE_PULL_TIMEOUT:-30} # seconds, for an image of 30 MB
label=ovs-container-network.recipe

need_docker
if [ -n "${BASE_IMAGE:-}" ]; then
	image_exists "$BASE_IMAGE" || quietly timeout "$pull_timeout" docker pull "$BASE_IMAGE" ||
		die "BASE_IMAGE=$BASE_IMAGE is neither present nor can it be pulled; unset BASE_IMAGE to have a base made of packages"
	echo "$BASE_IMAGE"
	exit
fi

made() { [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null)" = "$recipe" ]; }

# from_upstream: the packages on top of Debian's own image.
from_upstream() {
	docker build --quiet --network host --label "$label=$recipe" --label "$image_label" -t "$base" - <<-DOCKERFILE
		FROM $upstream
		RUN apt-get update -q && \
		    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ${packages//,/ } && \
		    rm -rf /var/lib/apt/lists/*
	DOCKERFILE
}

# sources lists this machine's own package sources of its distribution. Others beside them (a vendor's) have no
# suite of that name or need packages that the base has not.
sources() {
	grep -lsE "^(deb .* $suite |Suites:(.* )?$suite( |$))" \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources || true
}

# from_packages: a minimal Debian of this machine's package sources. Documentation and translations are a
# third of its size and nobody reads them in a container.
from_packages() {
	local files proxy
	mapfile -t files < <(sources)
	if [ "${#files[@]}" -eq 0 ]; then
		[ -n "${BASE_SUITE:-}" ] || die "found no package source with suite $suite in /etc/apt"
		files=(${BASE_MIRROR:+"$BASE_MIRROR"}) # none: mmdebstrap takes Debian's own
	fi
	proxy=$(apt-config dump Acquire::http::Proxy 2>/dev/null)
	mmdebstrap --quiet --variant=minbase --include="$packages" \
		--aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' ${proxy:+--aptopt="$proxy"} \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" - "${files[@]}" |
		docker import --change "LABEL $label=$recipe $image_label" --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$base"
}

# Made once: a label tells which recipe an image came from.
recipe=$({ echo "$packages" && declare -f from_upstream from_packages; } | sha256sum | cut -c1-16)

# Two makes at once must not make two.
mkdir -p "$build"
exec 9>"$build/.base.lock"
give_back "$build/.base.lock"
flock 9

base=$name-base:$suite
made "$base" && echo "$base" && exit
if image_exists "$upstream" || timeout "$pull_timeout" docker pull --quiet "$upstream" >/dev/null 2>&1; then
	say "base image: packages on $upstream" >&2
	quietly from_upstream || die "could not install the packages on $upstream; the lines above say why"
	echo "$base"
	exit
fi

if [ -z "${BASE_SUITE:-}" ]; then
	# shellcheck source=/dev/null
	suite=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
	base=$name-base:${suite:-none}
	made "$base" && echo "$base" && exit
fi
if [ -z "$suite" ] || ! have apt-get || [ "$(id -u)" -ne 0 ]; then
	die "$upstream cannot be pulled, and making a base image of packages needs root on Debian or Ubuntu; run: sudo make images (or set BASE_IMAGE to an image that this Docker has)"
fi
"$root/hack/deps.sh" build >&2
say "base image: no registry; making $base of packages (about 30 s)" >&2
quietly from_packages || die "mmdebstrap could not make $base; the lines above say why (is the package mirror reachable?)"
echo "$base"
