#!/bin/sh
# collect.sh DIR: puts into DIR all of the plugin's rootfs but the plugin's own binary. Runs inside the base image.
set -eu

rootfs=$1
programs='ovn-nbctl ovn-sbctl ovs-vsctl ovsdb-client ip ethtool xtables-nft-multi xtables-legacy-multi ping conntrack'

# put FILE: copies it to the same place, through whatever links lead to it.
put() {
	mkdir -p "$rootfs${1%/*}"
	cp -L --preserve=mode "$1" "$rootfs$1"
}

mkdir -p "$rootfs"
for program in $programs; do
	path=$(command -v "$program") || { echo "collect.sh: $program is missing in the base image" >&2; exit 1; }
	# /sbin and /bin are links on a merged-/usr Debian; one place keeps the image's PATH short.
	mkdir -p "$rootfs/usr/bin"
	cp -L --preserve=mode "$path" "$rootfs/usr/bin/$program"
	# A line of ldd is "name => path (address)" or "path (address)", the second for the loader.
	for library in $(ldd "$path" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'); do
		[ -e "$rootfs$library" ] || put "$library"
	done
done

# The packet filter's tools are two programs of many names, one for each way into the kernel; what they match and do
# is in libraries that they open. The lock that the older one's writers take turns with is the host's.
for way in nft legacy; do
	for action in save restore; do
		for family in ip ip6; do
			ln -s "xtables-$way-multi" "$rootfs/usr/bin/${family}tables-$way-$action"
		done
	done
done
for extension in addrtype conntrack standard tcp udp sctp MASQUERADE DNAT NAT; do
	for library in /usr/lib/*/xtables/libxt_$extension.so /usr/lib/*/xtables/libip[t6]*_$extension.so; do
		[ ! -e "$library" ] || put "$library"
	done
done

# Names are resolved by these, which no program links but glibc opens.
for library in /lib/*/libnss_files.so.2 /lib/*/libnss_dns.so.2 /lib/*/libresolv.so.2; do
	[ ! -e "$library" ] || [ -e "$rootfs$library" ] || put "$library"
done

cd "$rootfs"
mkdir -p bin sbin dev proc sys tmp etc host/run host/sysctl/net run/docker/plugins var/run var/lib/ovs-container-network
chmod 1777 tmp
echo 'root:x:0:0:root:/:/usr/sbin/nologin' >etc/passwd
echo 'root:x:0:' >etc/group
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >etc/nsswitch.conf
: >etc/resolv.conf # dockerd binds the host's own over these two
: >etc/hosts

# The host's /run is at /host/run, whole: a socket in it may be made anew (Docker, Open vSwitch), or made only after
# the plugin has started, and is always found. A bind of the socket itself would be stale then, or fail at boot.
for directory in run var/run; do
	for name in openvswitch ovn docker.sock; do
		ln -s "/host/run/$name" "$directory/$name"
	done
done
ln -s /host/run/xtables.lock run/xtables.lock
# Docker shows the plugin's mount as propagated-mount on the host, so the state is at propagated-mount/data there.
ln -s /var/lib/ovs-container-network/data data
