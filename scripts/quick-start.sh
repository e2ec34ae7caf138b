#!/usr/bin/env bash
# From nothing to two containers that reach one another on an OVN network.
#   sudo scripts/quick-start.sh          installs what is missing first; may be repeated
#   sudo scripts/quick-start.sh --down   takes back all that it made, the installation too if it was made here

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"
# shellcheck source=scripts/made.sh
. "$root/scripts/made.sh"

network=quick-start
server=quick-start-web
client=quick-start-client
label=$name.quick-start=1
central_label=$name.quick-start.central

installed() {
	plugin_enabled && image_exists "$ovn_image" && image_exists "$demo_image" && [ -S /run/openvswitch/db.sock ]
}

# taken SUBNET: the host itself has a route into it, so its containers or its neighbours would be unreachable.
taken() {
	[ -n "$(ip -4 route show root "$1")$(ip -4 route show match "$1" | grep -v '^default')" ]
}

make_network() {
	if docker network inspect "$network" >/dev/null 2>&1; then
		say "network $network is there"
		return
	fi
	# Who brought OVN central is remembered on the network, for --down.
	local subnet error central=found
	docker container inspect ovn-central >/dev/null 2>&1 || central=made
	for subnet in 10.0.{0..63}.0/24 172.29.{0..63}.0/24 192.168.{64..127}.0/24; do
		taken "$subnet" && continue
		if error=$(docker network create --driver "$plugin" --subnet "$subnet" --label "$owner" --label "$label" --label "$central_label=$central" \
			--opt ovn.switch=ls-quick-start \
			--opt ovn.nb_connection=tcp:172.30.0.5:6641 \
			--opt ovn.sb_connection=tcp:172.30.0.5:6642 \
			--opt ovn.auto_create=true \
			"$network" 2>&1 >/dev/null); then
			say "network $network: $subnet, switch ls-quick-start, with OVN central"
			return
		fi
		case $error in
		*"Pool overlaps"*) ;;
		*)
			"$root/hack/logs.sh" 10 >&2 || true
			die "docker network create failed: $error (the plugin's last log lines are above; all of them: sudo make logs)"
			;;
		esac
	done
	die "every subnet that was tried is in use; remove a network (docker network ls)"
}

make_container() {
	if [ "$(docker inspect -f '{{.State.Running}}' "$1" 2>/dev/null)" = true ]; then
		say "container $1 is running"
		return
	fi
	docker rm -f "$1" >/dev/null 2>&1 || true
	docker run -d --name "$1" --hostname "$1" --label "$label" --network "$network" "$demo_image" >/dev/null ||
		die "container $1 did not start; the plugin's log: sudo make logs"
	say "container $1: $(address "$1")"
}

address() { docker inspect -f "{{(index .NetworkSettings.Networks \"$network\").IPAddress}}" "$1"; }

# show WHAT COMMAND...: runs it and shows its output; a failure ends the quick start.
show() {
	local what=$1 output
	shift
	output=$("$@" 2>&1) || die "$what failed: $output (flows and ports: ovs-vsctl show; the plugin's log: sudo make logs)"
	say "$what"
	awk '/bytes from|packets|hello/ { print "          " $0 }' <<<"$output"
}

up() {
	need_docker
	if installed; then
		say "already installed (sudo make install brings it up to date)"
	else
		need_root make quick-start
		plugin_exists || made_add quick-start
		QUICK_START=1 "$root/scripts/install.sh"
	fi
	make_network
	make_container "$server"
	make_container "$client"
	local ip
	ip=$(address "$server")
	show "ping by name" docker exec "$client" ping -c 2 -w 5 "$server"
	show "ping by address" docker exec "$client" ping -c 2 -w 5 "$ip"
	show "TCP by name" docker exec "$client" timeout 5 wget -qO - "http://$server/"
	show "TCP by address" docker exec "$client" timeout 5 wget -qO - "http://$ip/"
	show "ping the other way" docker exec "$server" ping -c 1 -w 5 "$client"
	say "two containers on an OVN network"
	cat <<-TEXT

		Go on with:
		  docker exec -it $client sh                  a shell on the network
		  docker run --rm -it --network $network $demo_image sh
		  docker exec ovn-central ovn-nbctl show                  the logical network
		  sudo ovs-vsctl show                                     the host's switch
		  sudo $name status                       the plugin's view
		  sudo make quick-start-down                              remove all of this
	TEXT
}

down() {
	need_root make quick-start-down
	need_docker
	local ids central='' others
	ids=$(docker ps -aq --filter "label=$label")
	# shellcheck disable=SC2086 # a list of ids
	[ -z "$ids" ] || docker rm -f $ids >/dev/null
	if docker network inspect "$network" >/dev/null 2>&1; then
		central=$(docker network inspect -f "{{index .Labels \"$central_label\"}}" "$network")
		docker network rm "$network" >/dev/null 2>&1 || die "network $network is in use by other containers: docker network inspect $network"
	fi
	say "removed the two containers and their network"
	others=$(plugin_networks)
	if [ -n "$others" ]; then
		say "kept all else: networks of the plugin are left ($others)"
	elif made quick-start; then
		"$root/scripts/uninstall.sh"
	elif [ "$central" = made ]; then
		"$root/scripts/uninstall.sh" --runtime
	fi
	say "done"
}

case ${1:-} in
'') up ;;
--down) down ;;
*) die "usage: scripts/quick-start.sh [--down]" ;;
esac
