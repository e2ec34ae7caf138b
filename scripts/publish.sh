#!/usr/bin/env bash
# Makes this host the first of several: installs what is missing, and has the plugin offer its OVN central to other hosts.
#   sudo scripts/publish.sh ADDRESS    at the address that other hosts reach this one at; again at any time

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"

[ $# -eq 1 ] || die "usage: scripts/publish.sh ADDRESS, with the address that other hosts reach this one at"
need_root "scripts/publish.sh"
ip -o address show | awk -v a="$1" 'index($4, a "/") == 1 { found = 1 } END { exit !found }' ||
	die "$1 is no address of this host; it has: $(ip -o address show scope global | awk '{ sub("/.*", "", $4); print $4 }' | paste -sd ' ')"
QUICK_START=1 "$root/scripts/install.sh"

# Settings are read when the plugin is enabled. Running containers keep their traffic.
if ! docker plugin inspect -f '{{range .Settings.Env}}{{println .}}{{end}}' "$plugin" | grep -qx "PLUGIN_CENTRAL_PUBLISH=$1"; then
	"$root/hack/plugin.sh" disable
	docker plugin set "$plugin" "PLUGIN_CENTRAL_PUBLISH=$1"
	"$root/hack/plugin.sh" enable
fi
if ! docker container inspect ovn-central >/dev/null 2>&1; then
	say "OVN central will be published at $1 as soon as a network has it made (ovn.auto_create=true)"
	say "next: create a network, then for each other host: sudo $name invite NAME NAME.invitation"
	exit
fi
for _ in $(seq 60); do # it is published in the background
	published=$("$name" status 2>/dev/null | sed -n 's/^published  *//p') || true
	case $published in at\ *) break ;; esac
	sleep 0.5
done
case $published in at\ *) ;; *) die "OVN central is not published (${published:-no word of the plugin}); its log says why: make logs" ;; esac
say "OVN central is published $published"
say "next, for each other host: sudo $name invite NAME NAME.invitation"
