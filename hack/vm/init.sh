#!/bin/busybox sh
# shellcheck shell=dash
# The first program of a virtual test host: it mounts the disk and goes over to it.
# With "testhost.probe" on the kernel's command line it only says that a guest got here.
busybox=/bin/busybox

$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
case $($busybox cat /proc/cmdline) in
*testhost.probe*)
	echo testhost-probe-works >/dev/console
	$busybox poweroff -f
	;;
esac
while read -r module; do $busybox insmod "/$module.ko"; done </modules
tries=0
until [ -b /dev/vda ] || [ "$tries" -ge 50 ]; do
	$busybox sleep 0.2
	tries=$((tries + 1))
done
$busybox mount -t ext4 -o rw,noatime /dev/vda /new || {
	echo "testhost: the disk cannot be mounted" >/dev/console
	$busybox poweroff -f
}
$busybox mount --move /dev /new/dev
$busybox umount /proc
exec $busybox switch_root /new /sbin/init
