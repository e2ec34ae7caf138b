# shellcheck shell=bash
# The list of what the installer has made on this host, so that taking it back never guesses. Sourced, never run.
# One word per line: ovs, dropin, binary, gwbridge, run-openvswitch, run-ovn, quick-start.

made_dir=/var/lib/ovs-container-network-install
made_file=$made_dir/made

made() { grep -qsx "$1" "$made_file"; }

made_add() {
	made "$1" && return
	mkdir -p "$made_dir"
	echo "$1" >>"$made_file"
}

made_drop() {
	made "$1" || return 0
	sed -i "/^$1\$/d" "$made_file"
	if [ ! -s "$made_file" ]; then
		rm -f "$made_file"
		rmdir "$made_dir"
	fi
}

# plugin_networks prints the names of the networks of every plugin of this project, in one line.
plugin_networks() {
	# shellcheck disable=SC2154 # from hack/env.sh
	docker network ls --format '{{.Driver}} {{.Name}}' | awk -v n="$name" 'index($1, n ":") == 1 || $1 == "ovs-dev" { print $2 }' | paste -sd ' '
}
