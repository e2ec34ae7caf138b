#!/usr/bin/env bash
# vm-image.sh [SUITE]: make the disk that virtual test hosts (E2E_PROVIDER=qemu) start from, and print its folder.
#
# It is a small Debian with a cloud kernel, systemd, Open vSwitch and Docker as its packages set them up, and with the
# order at boot that scripts/install.sh sets. OVN is not in it: the plugin starts it in containers. Besides disk.qcow2 the
# folder holds vmlinuz, initrd, and key, the key to every such host.
#
# The disk is kept in build/vm/SUITE-HASH, HASH being that of the recipe; build/vm/SUITE points to it. SUITE is a Debian
# release (default bookworm); TESTHOST_MIRROR takes another package mirror than mmdebstrap's own default.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

suite=${1:-bookworm}
out=$build/vm
limit=${VM_IMAGE_TIMEOUT:-900} # seconds, for a slow mirror on a slow machine

packages=linux-image-cloud-amd64,systemd-sysv,dbus,udev,kmod,openssh-server,openvswitch-switch
packages+=,docker.io,containerd,runc,tini,apparmor,iproute2,iptables,iputils-ping,ethtool,curl,jq,procps,busybox-static,ca-certificates
case $suite in
bookworm) ;;
*) packages+=,docker-cli ;; # a package of its own from trixie on
esac
options=(
	--variant=minbase --include="$packages"
	--aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"'
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
	--dpkgopt='path-exclude=/usr/share/locale/*'
)

# boot_order is the installer's own function, with the paths that it writes to, so that these hosts boot with what it writes.
boot_order=$(sed -n '/^[a-z_]*dropin=/p; /^boot_order() {$/,/^}$/p' "$root/scripts/install.sh")
[[ $boot_order == *dropin=*'boot_order() {'* ]] || die "found no function boot_order in scripts/install.sh, which the hosts boot by"

tell() { say "vm-image: $*" >&2; }

# unit NAME [TARGET]: a systemd unit from standard input, started by TARGET.
unit() {
	local dir=$tree/etc/systemd/system
	mkdir -p "$dir/$(dirname "$1")"
	cat >"$dir/$1"
	[ $# -eq 1 ] || { mkdir -p "$dir/$2.wants" && ln -sf "../$1" "$dir/$2.wants/$1"; }
}

# configure TREE: what makes a machine of the packages.
configure() {
	local tree=$1 name
	# Set anew for each host by testhost-identity. Empty, since "uninitialized" would have systemd ask at the console.
	: >"$tree/etc/machine-id"
	echo testhost >"$tree/etc/hostname"
	printf '127.0.0.1 localhost\n127.0.1.1 testhost\n' >"$tree/etc/hosts" # ovs-record-hostname would wait for a name server
	rm -f "$tree/etc/resolv.conf"
	echo 'nameserver 127.0.0.1' >"$tree/etc/resolv.conf"
	rm -rf "$tree"/etc/openvswitch/{conf.db,system-id.conf} "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/*
	install -m 755 "$root/hack/vm/identity.sh" "$tree/usr/local/sbin/testhost-identity"

	# Who runs the tests comes as root, by key, with many commands at once, and with the environment that other providers give.
	install -d -m 700 "$tree/root/.ssh"
	install -m 600 "$work/key.pub" "$tree/root/.ssh/authorized_keys"
	sed -i 's|^\(root:.*:\)[^:]*$|\1/bin/sh|' "$tree/etc/passwd"
	cat >"$tree/etc/ssh/sshd_config.d/testhost.conf" <<-'CONF'
		UseDNS no
		UsePAM no
		PermitRootLogin prohibit-password
		MaxSessions 200
		MaxStartups 200
		SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TERM=dumb COMPOSE_API_VERSION=auto
	CONF
	# Debian's own waits for network.target, and so for Open vSwitch: a host whose Open vSwitch hangs could not be looked at.
	unit ssh.service multi-user.target <<-'UNIT'
		[Unit]
		Description=OpenSSH server
		After=testhost-links.service
		[Service]
		RuntimeDirectory=sshd
		ExecStart=/usr/sbin/sshd -D
		KillMode=process
		Restart=on-failure
	UNIT
	# eth0 is the underlay, and eth1 for ssh. No network daemon, which would have a say in Docker's and OVS's links too.
	printf 'address add 10.0.2.15/24 dev eth1\nlink set eth1 up\n' >"$tree/etc/testhost.links"
	unit testhost-links.service multi-user.target <<-'UNIT'
		[Unit]
		Description=Links of the test host
		DefaultDependencies=no
		After=systemd-remount-fs.service
		Before=network-pre.target network.target
		Wants=network-pre.target
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/sbin/ip -batch /etc/testhost.links
	UNIT
	# Where suites look for it; the journal has a limit of lines a second besides.
	unit docker.service.d/log.conf <<-'UNIT'
		[Service]
		StandardOutput=append:/var/log/dockerd.log
		StandardError=append:/var/log/dockerd.log
	UNIT
	# In the tree, so that it cannot write anywhere else.
	chroot "$tree" bash -eu <<-SCRIPT
		name=$plugin_name
		systemd() { :; }
		systemctl() { :; }
		made_add() { :; }
		say() { echo "\$*"; }
		$boot_order
		boot_order
		[ -s "\$dropin" ]
	SCRIPT
	# What would only take time, or do something at a time of its own choice.
	for name in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
		man-db.timer systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service systemd-hwdb-update.service; do
		ln -sf /dev/null "$tree/etc/systemd/system/$name"
	done
}

# initrd TREE FILE: modules for the disk and the links, and an init that mounts the one and goes over to it.
initrd() {
	local tree=$1 dir=$work/initrd version file module
	version=$(basename "$tree"/lib/modules/*)
	mkdir -p "$dir"/{bin,dev,proc,sys,new}
	cp "$tree/bin/busybox" "$dir/bin/"
	install -m 755 "$root/hack/vm/init.sh" "$dir/init"
	# virtio_net here and not by udev: then both links are there, in their order, before anything of the system runs.
	for module in virtio_pci virtio_blk virtio_net; do
		chroot "$tree" modprobe -S "$version" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
	while read -r file; do
		module=$(basename "${file%%.ko*}")
		case $file in
		*.xz) xz -dc "$tree$file" >"$dir/$module.ko" ;;
		*) cp "$tree$file" "$dir/$module.ko" ;;
		esac
		echo "$module" >>"$dir/modules"
	done <"$work/modules"
	(cd "$dir" && find . | bin/busybox cpio -o -H newc 2>/dev/null) >"$2"
}

# make_image DIR: all of it.
make_image() {
	local dir=$1 tree=$work/root
	ssh-keygen -q -t ed25519 -N '' -C testhost -f "$work/key"
	timeout "$limit" mmdebstrap --quiet "${options[@]}" "$suite" "$tree" ${TESTHOST_MIRROR:+"$TESTHOST_MIRROR"}
	configure "$tree"
	mkdir -p "$dir"
	initrd "$tree" "$dir/initrd"
	cp "$tree"/boot/vmlinuz-* "$dir/vmlinuz"
	rm -rf "${tree:?}"/boot/* "$tree"/{initrd.img,vmlinuz}*
	# With a journal, as real hosts have: these lose their power.
	timeout "$limit" mke2fs -q -t ext4 -E lazy_itable_init=0 -L root -d "$tree" "$work/disk.raw" 8G
	timeout "$limit" qemu-img convert -O qcow2 "$work/disk.raw" "$dir/disk.qcow2"
	mv "$work/key" "$work/key.pub" "$dir/"
}

plugin_name=$name # configure has a variable of that name
hash=$({
	printf '%s\n' "$suite" "${TESTHOST_MIRROR:-}" "${options[@]}" "$boot_order"
	declare -f unit configure initrd make_image
	cat "$root"/hack/vm/*.sh
} | sha256sum | cut -c1-12)
dir=$out/$suite-$hash

mkdir -p "$out"
# Two runs may ask at the same time. The second gets what the first has made, or an error in its turn.
exec 9>"$out/.lock"
flock -w $((2 * limit)) 9 || die "another vm-image.sh has been at work for $((2 * limit)) s; end it, and run this again"

if [ ! -e "$dir/complete" ]; then
	need_root hack/vm-image.sh "$suite"
	for tool in mmdebstrap qemu-img mke2fs ssh-keygen xz; do
		have "$tool" || die "$tool is missing; run: sudo hack/deps.sh vm"
	done
	tell "making $suite (once; some two minutes with a near mirror)"
	work=$(mktemp -d "$out/.work.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	# A shell of its own: errexit is off in a function that is asked for its result, as quietly does.
	(set -e && make_image "$work/image") >"$out/$suite.log" 2>&1 &
	wait $! || {
		tail -n 20 "$out/$suite.log" >&2
		die "the image could not be made; its output is in build/vm/$suite.log"
	}
	touch "$work/image/complete"
	rm -rf --one-file-system "$dir"
	mv -T "$work/image" "$dir"
	tell "made build/vm/$suite-$hash: $(du -sh "$dir" | cut -f1)"
fi
ln -sfn "$suite-$hash" "$out/$suite"
echo "$dir"
