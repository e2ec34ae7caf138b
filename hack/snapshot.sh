#!/usr/bin/env bash
# Prints what there is on this host that the plugin could have left behind: two of these, before and after, are the same.
set -euo pipefail

docker ps -a --format 'container {{.Names}}'
docker network ls --format 'network {{.Name}} {{.Driver}}' | sort
docker volume ls --format 'volume {{.Name}}' | sort
docker plugin ls --format 'plugin {{.Name}} {{.Enabled}}'
ip -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/' | sort
ip -o route show | sed -E 's/ +$//; s/ linkdown$//; s/^/route /' | sort
ip netns list | sed 's/^/namespace /'
sed -nE 's/^[^ ]+ ([^ ]+) .*/mount \1/p' /proc/self/mounts | grep -E '/plugins/|ovs|ovn' || true
for folder in openvswitch ovn ovs-container-network; do
	[ ! -e "/run/$folder" ] || echo "folder /run/$folder"
done
# Of this process namespace only: other hosts on the machine are not this one.
for exe in /proc/[0-9]*/exe; do
	path=$(readlink "$exe") || continue
	case $path in
	*/ovs-vswitchd | */ovsdb-server | */ovn-controller | */ovn-northd | */ovs-container-network)
		[ "$(readlink "${exe%/exe}/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || echo "process ${path##*/}"
		;;
	esac
done | sort
