#!/bin/sh
# The README's install.sh; see scripts/install.sh.
exec "$(dirname "$0")/scripts/install.sh" "$@"
