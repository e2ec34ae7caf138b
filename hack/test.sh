#!/usr/bin/env bash
# Runs tests: test.sh unit | integration | qemu | lima | versions | soak | many | seeds | benchmarks [arguments of go test]
#        test.sh bench [arguments of hack/bench]
#   unit          as any user, on any machine; what needs a tool that is missing is skipped, and fails when CI is set
#   integration   whole Docker hosts in namespaces; needs root
#   qemu          the suites for virtual machines, which have a kernel of their own; needs root
#   lima          the same suites, on instances of Lima; as a user, a Mac's or Linux', since Lima refuses root
#   versions      the basic suite with Debian 13's Docker, OVN and Open vSwitch, and hosts of both Debians together; needs root
#   soak          half an hour of random steps; E2E_SOAK sets another length, E2E_SEED repeats a run
#   many          the plugins of ten hosts with one OVN, and 200 containers that are played; needs root
#   seeds         50 random walks through what routes, on a bare database; SEEDS sets another number, SEED repeats one
#   benchmarks    Go's benchmarks of the packages
#   bench         how fast the plugin is, on a test host; the table goes to build/bench.json too, and what is worse than in
#                 docs/performance.json is said; needs root

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_go
cd "$root"
kind=${1:-unit}
[ $# -eq 0 ] || shift

# The contract tests run bare ovsdb-servers, and OVN's schemas come with the server packages only; where those are
# not installed, the images have them.
schemas() {
	local dir
	for dir in "${OVN_SCHEMA_DIR:-}" /usr/share/ovn "$build/testhost/bookworm/rootfs/usr/share/ovn" "$build/schemas"; do
		if [ -n "$dir" ] && [ -f "$dir/ovn-nb.ovsschema" ]; then
			echo "$dir"
			return
		fi
	done
	image_exists "$ovn_image" || return 0
	local container
	container=$(docker create --label "$owner" "$ovn_image")
	mkdir -p "$build/schemas"
	docker cp "$container:/usr/share/ovn/ovn-nb.ovsschema" "$build/schemas/"
	docker cp "$container:/usr/share/ovn/ovn-sb.ovsschema" "$build/schemas/"
	docker rm -f "$container" >/dev/null
	give_back "$build/schemas"
	echo "$build/schemas"
}

# prepare SCRIPT: what hosts of the Debian releases in E2E_SUITE need, and the script of hack/ that makes their disks.
prepare() {
	local suite
	for suite in $(tr , ' ' <<<"${E2E_SUITE:-bookworm}"); do
		[ "$suite" = bookworm ] || "$root/hack/release.sh" "$suite"
		"$root/hack/$1" "$suite" >/dev/null
	done
}

packages() { go list ./... | grep -v "/$name/e2e\(/\|\$\)"; }

# virtual_suites PROVIDER [arguments of go test]: what hosts with a kernel of their own are for.
virtual_suites() {
	export E2E_PROVIDER=$1
	shift
	# One suite after the other: an emulated host takes all that the machine has.
	go test -count=1 -p 1 -timeout "${E2E_TIMEOUT:-60m}" -v "$@" ./e2e/basic ./e2e/reboot
	# Tags of VLANs, packets that are too long, and flows that are in use are a matter of the kernel too.
	go test -count=1 -timeout "${E2E_TIMEOUT:-60m}" -v ./e2e/options -args --ginkgo.focus 'a VLAN|the MTU (is that|lets|does)|the set command'
	# And what goes between hosts.
	go test -count=1 -timeout "${E2E_TIMEOUT:-60m}" -v ./e2e/hosts -args --ginkgo.focus 'several hosts|traffic between two hosts'
}

case $kind in
unit)
	OVN_SCHEMA_DIR=$(schemas)
	[ -z "$OVN_SCHEMA_DIR" ] || export OVN_SCHEMA_DIR
	mapfile -t list < <(packages)
	# Some tests use Docker and OVN of this machine, which Go's cache does not see: what CI says, it has run.
	go test ${CI:+-count=1} "$@" "${list[@]}"
	;;
integration)
	need_root make test-integration
	prepare testhost-image.sh
	mkdir -p "$build"
	export E2E_FAILURES=$build/e2e-failures
	: >"$E2E_FAILURES"
	trap '[ ! -s "$E2E_FAILURES" ] || { echo "What failed:" && cat "$E2E_FAILURES"; } >&2' EXIT
	# -count=1: what these tests depend on is not in Go's view, so that a cached result means nothing.
	E2E_LABELS='!alone' go test -count=1 -timeout "${E2E_TIMEOUT:-40m}" -v "$@" ./e2e/...
	# What compares times does so with nothing beside it (suite.Alone).
	mapfile -t list < <(grep -rl --include='*_test.go' 'suite\.Alone' e2e | xargs -n 1 dirname | sort -u)
	E2E_LABELS=alone go test -count=1 -p 1 -timeout "${E2E_TIMEOUT:-40m}" -v "$@" "${list[@]/#/./}"
	;;
soak)
	need_root make soak
	prepare testhost-image.sh
	E2E_SOAK=${E2E_SOAK:-30m} go test -count=1 -timeout 150m -v "$@" ./e2e/soak
	;;
qemu)
	need_root make e2e-qemu
	prepare vm-image.sh
	virtual_suites qemu "$@"
	;;
lima)
	have limactl || die "limactl is missing; install Lima: https://lima-vm.io/docs/installation/"
	[ "$(id -u)" -ne 0 ] || die "Lima refuses to run as root; run: make e2e-lima"
	need_docker
	virtual_suites lima "$@"
	;;
versions)
	need_root make e2e-versions
	E2E_SUITE=bookworm,trixie prepare testhost-image.sh
	E2E_SUITE=trixie go test -count=1 -timeout "${E2E_TIMEOUT:-40m}" -v "$@" ./e2e/basic
	# OVN central of the one, and plugins and ovn-controllers of both.
	for suites in trixie bookworm,trixie trixie,bookworm; do
		E2E_SUITE=$suites go test -count=1 -timeout "${E2E_TIMEOUT:-40m}" -v "$@" ./e2e/hosts -args --ginkgo.skip 'OVN central that is a cluster'
	done
	;;
many)
	need_root make e2e-many
	prepare testhost-image.sh
	E2E_MANY=1 go test -count=1 -timeout 30m -v "$@" ./e2e/many
	;;
seeds)
	OVN_SCHEMA_DIR=$(schemas)
	[ -z "$OVN_SCHEMA_DIR" ] || export OVN_SCHEMA_DIR
	SEEDS=${SEEDS:-50} go test -count=1 -timeout 60m -run '^TestRandomRouting$' "$@" ./pkg/executor
	;;
bench)
	need_root make bench
	prepare testhost-image.sh
	CGO_ENABLED=0 go build -o "$build/bench" ./hack/bench
	"$build/bench" --out "$build/bench.json" --against "$root/docs/performance.json" "$@"
	;;
benchmarks)
	OVN_SCHEMA_DIR=$(schemas)
	[ -z "$OVN_SCHEMA_DIR" ] || export OVN_SCHEMA_DIR
	mapfile -t list < <(packages)
	go test -run '^$' -bench "${BENCH:-.}" -benchmem "$@" "${list[@]}"
	;;
*) die "usage: hack/test.sh unit|integration|qemu|lima|versions|soak|many|seeds|benchmarks [arguments of go test], or bench [arguments of hack/bench]" ;;
esac
