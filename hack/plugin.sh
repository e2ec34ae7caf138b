#!/usr/bin/env bash
# The plugin's life on this machine's Docker: plugin.sh create | enable | disable | remove | upgrade

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# wanted, installed: the hash of the content of build/plugin, and of the plugin that Docker has.
wanted() { sed -n 's/.*"PLUGIN_BUILD".*"value": "\([0-9a-f]*\)".*/\1/p' "$plugin_dir/config.json"; }
installed() { docker plugin inspect -f '{{range .Settings.Env}}{{println .}}{{end}}' "$plugin" 2>/dev/null | sed -n 's/^PLUGIN_BUILD=//p'; }

# users: the networks of the plugin. It must not go while there are any: its state would go with it.
users() { docker network ls --filter "driver=$plugin" --format '{{.Name}}' | paste -sd ' '; }

# settings: what an administrator has changed with docker plugin set, as NAME=value lines.
settings() {
	local before now
	before=$(docker plugin inspect -f '{{range .Config.Env}}{{.Name}}={{.Value}}{{println}}{{end}}' "$plugin") || return
	now=$(docker plugin inspect -f '{{range .Settings.Env}}{{println .}}{{end}}' "$plugin") || return
	comm -13 <(sort <<<"$before") <(sort <<<"$now") | { grep "=" || true; }
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
	[ -f "$plugin_dir/config.json" ] || die "build/plugin is missing; run: make rootfs"
	local kept=()
	if plugin_exists; then
		if [ "$(installed)" = "$(wanted)" ]; then
			say "plugin $plugin is up to date"
			return
		fi
		[ -z "$(users)" ] || die "plugin $plugin is used by networks, which it would lose: run make upgrade, or remove them: $(users)"
		mapfile -t kept < <(settings)
		remove
	fi
	quietly docker plugin create "$plugin" "$plugin_dir"
	say "created plugin $plugin"
	if [ "${#kept[@]}" -gt 0 ]; then
		docker plugin set "$plugin" "${kept[@]}" || die "the settings ${kept[*]} are not taken by this version; set them anew"
		say "kept settings: ${kept[*]}"
	fi
}

# docker_root: Docker's own folder. That Docker did not answer must never look like an empty folder.
docker_root() {
	local dir
	dir=$(docker info -f '{{.DockerRootDir}}') && [ -n "$dir" ] && echo "$dir"
}

# data: where Docker keeps the plugin's state on this machine.
data() {
	local dir id
	dir=$(docker_root) && id=$(docker plugin inspect -f '{{.Id}}' "$plugin") && [ -n "$id" ] &&
		echo "$dir/plugins/$id/propagated-mount/data"
}

# saved: what upgrade has kept of the plugin that it replaces. Beside Docker's own files: on the file system of the
# state, and there after a power cut in between.
saved() {
	local dir
	dir=$(docker_root) && echo "$dir/$name-upgrade"
}

# retire SAVED: it is not needed any more. By a rename, so that it is never there in part.
retire() {
	rm -rf "$1.part"
	mv -T "$1" "$1.part"
	rm -rf "$1.part"
}

# upgrade: the plugin that was built takes the place of the one that is installed, under its networks and containers.
# docker plugin upgrade pulls from a registry only, and docker plugin rm removes the state with the plugin; so the
# state is carried over. Containers keep their traffic meanwhile: it needs Open vSwitch and ovn-controller only.
# Whatever interrupts it, the state is in the plugin or in $saved as a whole, and the next upgrade goes on from there.
upgrade() {
	need_root make upgrade
	[ -f "$plugin_dir/config.json" ] || die "build/plugin is missing; run: make rootfs"
	local saved state
	saved=$(saved)
	rm -rf "$saved.part"
	if plugin_exists && [ -d "$saved" ]; then
		state=$(data)
		if has_run_since "$saved" "$state"; then
			# The plugin went on without what was saved, and has newer state. It is kept all the same, for the case that
			# somebody enabled a plugin without any.
			rm -rf "$saved.old"
			mv -T "$saved" "$saved.old"
			say "the plugin has run since an upgrade was interrupted; the state of before is in $saved.old"
		fi
	fi
	if ! plugin_exists; then
		: # there is what an upgrade saved that was interrupted, or nothing to carry over
	elif [ "$(installed)" != "$(wanted)" ] && [ ! -d "$saved" ]; then
		disable
		save "$saved" || {
			rm -rf "$saved.part"
			enable
			die "the state could not be saved in $saved.part; the plugin is the old one and enabled again"
		}
		docker plugin rm -f "$plugin" >/dev/null
	elif [ "$(installed)" != "$(wanted)" ]; then
		docker plugin rm -f "$plugin" >/dev/null # made by an upgrade that was interrupted; its state is saved
	elif [ ! -d "$saved" ]; then
		say "plugin $plugin is up to date"
		enable
		return
	fi
	restore "$saved"
	enable
}

# has_run_since SAVED STATE: whether the plugin has written state after its former one was saved.
has_run_since() {
	local newer=""
	[ ! -d "$2" ] || [ ! -f "$1/settings" ] || newer=$(find "$2" -newer "$1/settings" -type f -print -quit)
	plugin_enabled || [ -n "$newer" ]
}

# save SAVED: state and settings of the plugin, which is disabled, all or nothing.
save() {
	local state
	state=$(data) &&
		mkdir -m 700 "$1.part" &&
		{ [ ! -d "$state" ] || cp -a "$state" "$1.part/data"; } &&
		settings >"$1.part/settings" &&
		sync -f "$1.part" &&
		mv -T "$1.part" "$1"
}

# restore SAVED: creates the plugin, unless it is there, with the state and the settings that were saved.
restore() {
	local saved=$1 state kept=()
	plugin_exists || quietly docker plugin create "$plugin" "$plugin_dir" ||
		die "the new plugin could not be created; the state is safe in $saved, and make upgrade goes on from there"
	state=$(data)
	if [ -d "$saved/data" ]; then
		mkdir -p "${state%/*}"
		rm -rf "$state.part" "$state"
		cp -a "$saved/data" "$state.part"
		mv -T "$state.part" "$state"
		sync -f "$state"
	fi
	[ ! -f "$saved/settings" ] || mapfile -t kept <"$saved/settings"
	[ "${#kept[@]}" -eq 0 ] || docker plugin set "$plugin" "${kept[@]}" ||
		die "the settings ${kept[*]} are not taken by this version; empty $saved/settings, run make upgrade, and set them anew"
	[ -d "$saved" ] || {
		say "created plugin $plugin"
		return
	}
	retire "$saved"
	say "created plugin $plugin, with the state and the settings of the one before"
}

enable() {
	[ ! -d "$(saved)" ] || die "an upgrade was interrupted, and the state is still in $(saved): run make upgrade"
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
create | enable | disable | remove | upgrade) "$1" ;;
*) die "usage: hack/plugin.sh create|enable|disable|remove|upgrade" ;;
esac
