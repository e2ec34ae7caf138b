#!/usr/bin/env bash
# The plugin's life on this machine's Docker: plugin.sh create | enable | disable | remove

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# wanted, installed: the hash of the content of build/plugin, and of the plugin that Docker has.
wanted() { sed -n 's/.*"PLUGIN_BUILD".*"value": "\([0-9a-f]*\)".*/\1/p' "$build/plugin/config.json"; }
installed() { docker plugin inspect -f '{{range .Settings.Env}}{{println .}}{{end}}' "$plugin" 2>/dev/null | sed -n 's/^PLUGIN_BUILD=//p'; }

# users: the networks of the plugin. It must not go while there are any: its state would go with it.
users() { docker network ls --filter "driver=$plugin" --format '{{.Name}}' | paste -sd ' '; }

# settings: what an administrator has changed with docker plugin set, as NAME=value lines.
settings() {
	comm -13 \
		<(docker plugin inspect -f '{{range .Config.Env}}{{.Name}}={{.Value}}{{println}}{{end}}' "$plugin" | sort) \
		<(docker plugin inspect -f '{{range .Settings.Env}}{{println .}}{{end}}' "$plugin" | sort) | grep "=" || true
}

remove() {
	plugin_exists || return 0
	local networks
	networks=$(users)
	[ -z "$networks" ] ||
		die "plugin $plugin is used by networks: $networks; remove them first (docker network rm $networks)"
	# Docker counts networks since its own start only, and counts some that are gone; the list above is the truth.
	! plugin_enabled || docker plugin disable -f "$plugin" >/dev/null
	docker plugin rm -f "$plugin" >/dev/null
	say "removed plugin $plugin"
}

create() {
	[ -f "$build/plugin/config.json" ] || die "build/plugin is missing; run: make rootfs"
	local kept=()
	if plugin_exists; then
		if [ "$(installed)" = "$(wanted)" ]; then
			say "plugin $plugin is up to date"
			return
		fi
		mapfile -t kept < <(settings)
		remove
	fi
	quietly docker plugin create "$plugin" "$build/plugin"
	say "created plugin $plugin"
	if [ "${#kept[@]}" -gt 0 ]; then
		docker plugin set "$plugin" "${kept[@]}" || die "the settings ${kept[*]} are not taken by this version; set them anew"
		say "kept settings: ${kept[*]}"
	fi
}

enable() {
	plugin_exists || die "plugin $plugin is not there; run: make plugin-create"
	if plugin_enabled; then
		say "plugin $plugin is enabled"
		return
	fi
	docker plugin enable "$plugin" >/dev/null || {
		"$root/hack/logs.sh" 10 >&2 || true
		die "plugin $plugin could not be enabled; its last log lines are above"
	}
	say "enabled plugin $plugin"
}

disable() {
	if plugin_exists && plugin_enabled; then
		# -f: without it Docker refuses as long as a network of the plugin exists. Traffic does not need the plugin.
		docker plugin disable -f "$plugin" >/dev/null
		say "disabled plugin $plugin"
	fi
}

need_docker
case ${1:-} in
create | enable | disable | remove) "$1" ;;
*) die "usage: hack/plugin.sh create|enable|disable|remove" ;;
esac
