#!/bin/sh
# The README's quick-start.sh; see scripts/quick-start.sh.
exec "$(dirname "$0")/scripts/quick-start.sh" "$@"
