#!/usr/bin/env bash
# Makes this host one more of those that share an OVN: installs what is missing, and accepts the first host's invitation.
#   sudo scripts/join.sh FILE    what "ovs-container-network invite NAME FILE" has made there; again at any time

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"

[ $# -eq 1 ] || die "usage: scripts/join.sh FILE, which \"$name invite NAME FILE\" has made on the first host"
[ -s "$1" ] || die "$1 is no file with an invitation"
need_root "scripts/join.sh"
QUICK_START=1 "$root/scripts/install.sh"
"/usr/local/bin/$name" join "$1"
