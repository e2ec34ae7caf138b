#!/usr/bin/env bash
# Takes back what install.sh and the plugin have made on this host. Packages stay.
#   uninstall.sh             plugin, OVN containers and their network, Open vSwitch settings, command
#   uninstall.sh --purge     the images too, and OVN's databases whatever they hold
#   uninstall.sh --runtime   only what the plugin has made at run time; the plugin stays installed

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"
# shellcheck source=scripts/made.sh
. "$root/scripts/made.sh"

purge='' runtime=''
for argument; do
	case $argument in
	--purge) purge=1 ;;
	--runtime) runtime=1 ;;
	*) die "usage: scripts/uninstall.sh [--purge | --runtime]" ;;
	esac
done

vsctl() { ovs-vsctl --timeout=10 "$@"; }

# foreign prints what OVN central holds that is not this host's: it serves others then, and stays. What cannot be looked
# at is not known to be ours, and stays too.
foreign() {
	docker container inspect ovn-central >/dev/null 2>&1 || return 0
	local me hosts rows
	me=$(vsctl --if-exists get Open_vSwitch . external_ids:system-id 2>/dev/null | tr -d '"')
	if ! hosts=$(docker exec ovn-central ovn-sbctl --timeout=5 --bare --columns=name list chassis 2>/dev/null) || ! rows=$(rows); then
		echo "it cannot be asked: docker start ovn-central"
		return
	fi
	hosts=$(awk -v me="$me" 'NF && $0 != me' <<<"$hosts" | paste -sd ' ')
	if [ -n "$hosts$rows" ]; then
		echo "${hosts:+chassis $hosts}${hosts:+${rows:+, }}${rows:+rows $rows}"
	fi
}

# rows prints the rows of others. A condition != does not match a row that lacks the key, so: all rows, less those that
# have an owner.
rows() {
	local table all ours
	for table in Logical_Switch Logical_Router Load_Balancer; do
		all=$(nbctl list "$table") && ours=$(nbctl find "$table" "external_ids:owner=$name") || return 1
		comm -23 <(echo "$all") <(echo "$ours") | awk NF
	done | paste -sd ' '
}

nbctl() {
	local out
	out=$(docker exec ovn-central ovn-nbctl --timeout=5 --bare --columns=name "$@" 2>/dev/null) || return 1
	sort <<<"$out"
}

# controller ends ovn-controller before the database that it talks to. Told to exit, it takes its chassis row with it,
# which other hosts of that database would keep a tunnel to otherwise; it may not answer, and goes all the same.
controller() {
	local id
	id=$(docker ps -aq --filter "label=$owner" --filter name='^/?ovn-controller$')
	[ -n "$id" ] || return 0
	docker update --restart no "$id" >/dev/null
	docker exec "$id" ovn-appctl --timeout=3 -t ovn-controller exit >/dev/null 2>&1 || true
	timeout 3 docker wait "$id" >/dev/null || true
	docker rm -fv "$id" >/dev/null
	rm -f /run/ovn/ovn-controller.pid /run/ovn/ovn-controller.*.ctl
	say "removed ovn-controller"
}

containers() {
	local others='' ids volumes='' volume network
	controller
	[ -n "$purge" ] || others=$(foreign)
	if [ -n "$others" ]; then
		say "kept ovn-central, and ovn-relay where other hosts reach it by that: it may serve others ($others); --purge removes both"
		return
	fi
	ids=$(docker ps -aq --filter "label=$owner")
	# shellcheck disable=SC2086
	if [ -n "$ids" ]; then
		volumes=$(docker inspect -f '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}' $ids)
		# Stopped, not killed, so that the databases are closed.
		docker stop -t 5 $ids >/dev/null
		docker rm -fv $ids >/dev/null
		say "removed OVN central"
	fi
	for volume in $volumes $(docker volume ls -q --filter "label=$owner"); do
		docker volume rm "$volume" >/dev/null 2>&1 || ! docker volume inspect "$volume" >/dev/null 2>&1 || say "kept volume $volume: something uses it"
	done
	for network in $(docker network ls -q --filter "label=$owner" --filter driver=bridge); do
		docker network rm "$network" >/dev/null || say "kept network $network: something is attached to it"
	done
}

# chassis takes back the settings of Open vSwitch that the plugin made. It lists them in a key of its own, because
# ovn-remote or system-id may as well be an administrator's.
chassis() {
	local keys key
	keys=$(vsctl --if-exists get Open_vSwitch . "external_ids:$name" | tr -d '"')
	for key in ${keys//,/ }; do
		vsctl --no-wait remove Open_vSwitch . external_ids "$key"
	done
	[ -z "$keys" ] || {
		vsctl --no-wait remove Open_vSwitch . external_ids "$name"
		say "removed from Open vSwitch: $keys"
	}
}

# bridges removes the bridges that the plugin made, unless somebody else's port is on one. A port without an owner
# that ovn-controller made itself (a tunnel, a patch port) is nobody's.
bridges() {
	local bridge port others
	for bridge in $(vsctl --bare --columns=name find Bridge "external_ids:owner=$name"); do
		others=''
		for port in $(vsctl list-ports "$bridge"); do
			case $(vsctl get Port "$port" external_ids -- --if-exists get Interface "$port" external_ids | tr -d '"') in
			*owner="$name"* | *ovn-chassis-id=* | *ovn-localnet-port=* | *ovn-l3gateway-port=*) ;;
			*) others="$others $port" ;;
			esac
		done
		if [ -n "$others" ]; then
			say "kept bridge $bridge: it has ports of others:$others"
		else
			vsctl del-br "$bridge"
			say "removed bridge $bridge"
		fi
	done
}

# links: the host end of a container's link bears this name, and no container is left.
links() {
	local link
	for link in $(ip -o link show type veth | sed -nE 's/^[0-9]+: (ocn[0-9a-f]{12})@.*/\1/p'); do
		ip link delete "$link"
		say "removed link $link"
	done
}

# folder removes a folder of the daemons that was not there before and has nothing in it any more.
folder() {
	! made "run-$1" || rmdir --ignore-fail-on-non-empty "/run/$1" 2>/dev/null || true
}

stop_ovs() {
	made ovs || return 0
	if [ -n "$(vsctl list-br 2>/dev/null)" ]; then
		say "kept Open vSwitch running: it has bridges of others"
		return
	elif [ -d /run/systemd/system ]; then
		systemctl disable --now openvswitch-switch 2>/dev/null || systemctl disable --now openvswitch
		say "stopped Open vSwitch"
	else
		# --cleanup: the userspace datapath leaves its devices behind otherwise.
		ovs-appctl --timeout=10 -t ovs-vswitchd exit --cleanup 2>/dev/null || true
		quietly /usr/share/openvswitch/scripts/ovs-ctl stop
		folder openvswitch
		say "stopped Open vSwitch"
	fi
	made_drop ovs
}

need_root "scripts/uninstall.sh"
need_docker
networks=$(plugin_networks)
[ -z "$networks" ] || die "networks of the plugin are left: $networks; remove them first: docker network rm $networks"

[ -n "$runtime" ] || "$root/hack/plugin.sh" remove
containers
if have ovs-vsctl && vsctl show >/dev/null 2>&1; then
	chassis
	bridges
fi
links
rm -rf /run/$name
folder ovn
[ -z "$runtime" ] || exit 0

if made gwbridge; then
	# Docker makes docker_gwbridge for the first container on such a network and never removes it.
	docker network rm docker_gwbridge >/dev/null 2>&1 && say "removed docker_gwbridge"
	made_drop gwbridge
fi
if made dropin; then
	for unit in docker ovs-vswitchd; do
		rm -f "/etc/systemd/system/$unit.service.d/$name.conf"
		[ ! -d "/etc/systemd/system/$unit.service.d" ] || rmdir --ignore-fail-on-non-empty "/etc/systemd/system/$unit.service.d"
	done
	systemctl daemon-reload
	made_drop dropin
	say "removed the systemd drop-ins"
fi
if made binary; then
	rm -f /usr/local/bin/$name
	made_drop binary
	say "removed /usr/local/bin/$name"
fi
stop_ovs
made_drop run-openvswitch
made_drop run-ovn
made_drop quick-start
if [ -n "$purge" ]; then
	images=$(docker image ls -aq --filter "label=$image_label" | sort -u)
	# An image that an image depends on goes with it; the second round takes what the first could not.
	# shellcheck disable=SC2086
	[ -z "$images" ] || { docker image rm -f $images || docker image rm -f $images; } >/dev/null 2>&1 || true
	say "removed images"
fi
say "uninstalled; packages were left as they are"
