#!/usr/bin/env bash
# Removes build/. A test host that still runs has mounts in it, and what it is mounted on is not ours to remove.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

if grep -qF " $build/" /proc/mounts; then
	die "something is mounted in build/ (a test host that runs?); end it first"
fi
[ ! -e "$build" ] || rm -rf --one-file-system "$build" 2>/dev/null ||
	die "build/ has files of root; run: sudo make clean"
