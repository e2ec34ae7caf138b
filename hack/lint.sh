#!/usr/bin/env bash
# Checks scripts, packaging and Go code. The linter is built from hack/tools/go.mod, so that everyone has the same one.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_go
cd "$root"

if have shellcheck; then
	mapfile -t scripts < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard '*.sh')
	shellcheck -x --severity=warning "${scripts[@]}"
	say "shellcheck: ${#scripts[@]} scripts"
else
	[ -z "${CI:-}" ] || die "shellcheck is missing; run: sudo hack/deps.sh dev"
	say "shellcheck is missing and skipped; install it with: sudo hack/deps.sh dev"
fi

# A tool rebuilt each time would cost a minute; its own go.sum tells when it must be.
tools=$build/tools
linter=$tools/golangci-lint
stamp=$(sha256sum hack/tools/go.sum | cut -c1-16)-$(go env GOVERSION)
if [ ! -x "$linter" ] || [ "$(cat "$tools/stamp" 2>/dev/null)" != "$stamp" ]; then
	say "building golangci-lint (once; about a minute)"
	mkdir -p "$tools"
	(cd hack/tools && go build -o "$linter" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	echo "$stamp" >"$tools/stamp"
	give_back "$tools"
fi
"$linter" run "$@" ./...
say "golangci-lint: clean"
