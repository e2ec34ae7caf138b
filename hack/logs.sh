#!/usr/bin/env bash
# Shows the plugin's log lines: hack/logs.sh [COUNT], and FOLLOW=1 goes on.
# A managed plugin writes to Docker's own log, which is the journal or wherever dockerd's stderr goes.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

count=${1:-200}
id=$(docker plugin inspect -f '{{.ID}}' "$plugin" 2>/dev/null || true)
match="component=$name|\"component\":\"$name\"|\\\\\"component\\\\\":\\\\\"$name\\\\\"${id:+|plugin=$id}"

# plain: dockerd wraps each line of a plugin in one of its own, with the quotes escaped.
plain() { sed -uE 's/^.* msg="(.*)" plugin=[0-9a-f]{64}.*$/\1/; t unescape; b; :unescape s/\\"/"/g; s/\\\\/\\/g'; }

# logfile: where dockerd's stderr goes when it is a file.
logfile() {
	local pid file
	pid=$(cat /run/docker.pid /var/run/docker.pid 2>/dev/null | head -n 1)
	file=$(readlink "/proc/${pid:-self}/fd/2" 2>/dev/null || true)
	for file in "$file" /var/log/docker.log /var/log/dockerd.log /var/log/docker/docker.log /var/log/syslog /var/log/messages; do
		if [ -f "$file" ] && [ -r "$file" ]; then
			echo "$file"
			return
		fi
	done
}

if [ -d /run/systemd/system ] && have journalctl; then
	if [ "${FOLLOW:-0}" != 0 ]; then
		journalctl -u docker -o cat -n "$count" -f | grep --line-buffered -aE "$match" | plain
	else
		journalctl -u docker -o cat --no-pager | { grep -aE "$match" || true; } | tail -n "$count" | plain
	fi
	exit
fi
file=$(logfile)
[ -n "$file" ] || die "found no log of Docker (no journal, and no file that I may read); where does dockerd's stderr go here? try sudo"
if [ "${FOLLOW:-0}" != 0 ]; then
	tail -n "$count" -F "$file" | grep --line-buffered -aE "$match" | plain
else
	{ grep -aE "$match" "$file" || true; } | tail -n "$count" | plain
fi
