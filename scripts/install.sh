#!/usr/bin/env bash
# Installs the plugin on this host: packages, Open vSwitch, images, plugin, and the command in /usr/local/bin.
#   sudo scripts/install.sh                      again at any time: only what changed is done
#   sudo scripts/install.sh --uninstall [--purge]

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../hack/env.sh"
# shellcheck source=scripts/made.sh
. "$root/scripts/made.sh"

case ${1:-} in
'') ;;
--uninstall)
	shift
	exec "$root/scripts/uninstall.sh" "$@"
	;;
*) die "usage: scripts/install.sh [--uninstall [--purge]]" ;;
esac

dropin=/etc/systemd/system/docker.service.d/ovs-container-network.conf
ovs_dropin=/etc/systemd/system/ovs-vswitchd.service.d/ovs-container-network.conf
command=/usr/local/bin/$name

systemd() { [ -d /run/systemd/system ]; }
ovs_answers() { ovs-vsctl --timeout=5 show >/dev/null 2>&1 && ovs-appctl --timeout=5 -t ovs-vswitchd version >/dev/null 2>&1; }

# check stops before anything is changed when this host can never work.
check() {
	need_root "scripts/install.sh"
	case ${DOCKER_HOST:-unix://} in
	unix://*) ;;
	*) die "DOCKER_HOST=$DOCKER_HOST is another machine; the plugin and Open vSwitch are for this one: unset DOCKER_HOST" ;;
	esac
	need_docker
	need_go
	local want has
	want=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}')
	has=$(go env GOOS)/$(go env GOARCH)
	[ "$want" = "$has" ] || die "Docker runs $want but Go here builds for $has; install Go for $want (or unset GOOS and GOARCH)"
	case $(docker info --format '{{.SecurityOptions}}') in
	*name=rootless*) die "this Docker is rootless, and a rootless Docker cannot reach Open vSwitch; use the system's Docker (docker context use default)" ;;
	esac
	[ -e /dev/net/tun ] || modprobe tun 2>/dev/null || die "/dev/net/tun is missing; load it: modprobe tun"
	say "Docker $(docker version --format '{{.Server.Version}}'), $want"
}

# start_ovs without a service manager. ovs-ctl starts no ovs-vswitchd when the kernel module cannot be loaded,
# though its userspace datapath needs none; then ovs-vswitchd is started as ovs-ctl would.
start_ovs() {
	local ctl=/usr/share/openvswitch/scripts/ovs-ctl
	[ -x "$ctl" ] || die "Open vSwitch does not run and $ctl is missing; start Open vSwitch by hand and run this again"
	if [ -e /sys/module/openvswitch ]; then
		quietly "$ctl" --system-id=random start
		return
	fi
	quietly "$ctl" --no-ovs-vswitchd --system-id=random start
	quietly ovs-vswitchd unix:/run/openvswitch/db.sock -vconsole:emer -vsyslog:err -vfile:info --no-chdir \
		--log-file=/var/log/openvswitch/ovs-vswitchd.log --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach --monitor
}

ovs() {
	# A kernel without the module is no error: Open vSwitch then switches in userspace.
	[ -e /sys/module/openvswitch ] || modprobe openvswitch 2>/dev/null || true
	if ! ovs_answers; then
		if systemd; then
			local unit=openvswitch-switch # Debian's name; Red Hat's is openvswitch
			systemctl cat "$unit" >/dev/null 2>&1 || unit=openvswitch
			quietly systemctl enable --now "$unit" || die "Open vSwitch did not start; see: journalctl -u $unit -u ovs-vswitchd"
		else
			start_ovs
		fi
		made_add ovs
		ovs_answers || die "Open vSwitch was started but does not answer; see /var/log/openvswitch/"
		say "Open vSwitch: started"
	fi
	local version
	version=$(ovs-vsctl --timeout=5 get Open_vSwitch . ovs_version | tr -d '"')
	# The column datapath_types names the kernel's datapath even where it is missing; enumerating asks the kernel.
	if ovs-dpctl dump-dps >/dev/null 2>&1; then
		say "Open vSwitch $version: kernel datapath"
	else
		say "Open vSwitch $version: userspace datapath, because this kernel has no openvswitch module; slower, and all else the same"
	fi
}

# boot_order: containers that start at boot need Open vSwitch. Read by systemd at the next boot; nothing is restarted.
# Open vSwitch 3.1, which is Debian 12's, counts processors only from the tenth second after the kernel's start (mended in
# 3.2: Open vSwitch commit b354cee2e). Started before, ovs-vswitchd has no thread that handles packets of new flows, and was
# seen to go on so: all ports are up, and nothing passes. Other versions wait those seconds for nothing.
boot_order() {
	systemd || return 0
	local text ovs_text
	text=$(printf '# Made by %s: containers on its networks need Open vSwitch.\n[Unit]\nAfter=openvswitch-switch.service openvswitch.service ovs-vswitchd.service\nWants=ovs-vswitchd.service' "$name")
	# shellcheck disable=SC2016 # for the shell that systemd runs
	ovs_text=$(printf '# Made by %s: started in the first ten seconds after the kernel, Open vSwitch 3.1 drops packets for ever.\n[Service]\nExecStartPre=/bin/sh -c "until [ $(cut -d. -f1 /proc/uptime) -gt 10 ]; do sleep 0.2; done"' "$name")
	[ "$(cat "$dropin" 2>/dev/null)$(cat "$ovs_dropin" 2>/dev/null)" != "$text$ovs_text" ] || return 0
	mkdir -p "${dropin%/*}" "${ovs_dropin%/*}"
	echo "$text" >"$dropin"
	echo "$ovs_text" >"$ovs_dropin"
	made_add dropin
	systemctl daemon-reload
	say "Docker starts after Open vSwitch from the next boot on"
}

# folders notes which of the daemons' folders this host has not had before, so that they are the ones to go.
folders() {
	local folder
	for folder in openvswitch ovn; do
		[ -e "/run/$folder" ] || made_add "run-$folder"
	done
}

install_command() {
	cmp -s "$binary" "$command" && return
	# Beside and renamed: the file in place may be running.
	install -m 755 "$binary" "$command.new"
	mv "$command.new" "$command"
	made_add binary
	say "command $command"
}

check
"$root/hack/deps.sh" run
folders
ovs
"$root/hack/images.sh"
"$root/hack/build.sh"
"$root/hack/rootfs.sh"
docker network inspect docker_gwbridge >/dev/null 2>&1 || made_add gwbridge
"$root/hack/plugin.sh" upgrade
install_command
boot_order
[ -n "${QUICK_START:-}" ] || say "installed; next: docker network create --driver $plugin …, or: sudo make quick-start"
