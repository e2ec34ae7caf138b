#!/bin/sh
# Makes a test host of a Debian cloud image. Lima runs it in the instance as root, at each of its boots.
set -eux

complete=/var/lib/testhost-provisioned # Lima does not tell whether this failed; who waits for the host looks for the file
[ ! -e "$complete" ] || exit 0

# What would only take time, or do something at a time of its own choice.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer; do
	systemctl mask --quiet --now "$unit" || true # this image may have none
done

# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
packages="openvswitch-switch docker.io containerd runc tini apparmor iproute2 iptables iputils-ping ethtool curl jq procps"
[ "$codename" = bookworm ] || packages="$packages docker-cli" # a package of its own from trixie on
missing=
for package in $packages; do
	dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -o DPkg::Lock::Timeout=120 update
	# shellcheck disable=SC2086 # a list
	apt-get -qy -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing
fi

# A clone is told its name once; cloud-init would give it the instance's at each start.
printf 'preserve_hostname: true\nmanage_etc_hosts: false\n' >/etc/cloud/cloud.cfg.d/99-testhost.cfg
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(hostname)" >/etc/hosts # sudo and Open vSwitch would wait for a name server

# One connection carries all commands, many at once.
printf 'UseDNS no\nMaxSessions 200\nMaxStartups 200\n' >/etc/ssh/sshd_config.d/testhost.conf

# Where suites look for it; the journal has a limit of lines a second besides.
mkdir -p /etc/systemd/system/docker.service.d
cat >/etc/systemd/system/docker.service.d/log.conf <<'UNIT'
[Service]
StandardOutput=append:/var/log/dockerd.log
StandardError=append:/var/log/dockerd.log
UNIT
systemctl daemon-reload
systemctl restart docker.service

touch "$complete"
