#!/usr/bin/env bash
# Builds the static binary into build/. Static, because the plugin's rootfs and any host must run the same file.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_go
cd "$root"
# Git refuses a checkout that belongs to another user, which is what it is under sudo.
version=${VERSION:-$(git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)}
mkdir -p "$build"
# GOOS: it runs in Docker, which is on Linux wherever this is.
CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$binary" "./cmd/$name" ||
	die "go build failed; the lines above say why (go $(go env GOVERSION), module needs go $(sed -n 's/^go //p' go.mod))"
give_back "$binary"
if [ "$(id -u)" -eq 0 ]; then chown --reference="$root" "$build"; fi
say "built build/$name ($version)"
