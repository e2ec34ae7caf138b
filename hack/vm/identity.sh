#!/bin/sh
# testhost-identity NAME ADDRESS MAC MACHINE-ID SYSTEM-ID SECONDS: runs in a virtual test host that has just been restored
# from a saved state, and makes it a host of its own, now and from its next boot on. SECONDS is what time it is.
set -eu
name=$1 address=$2 mac=$3 machine=$4 system=$5 now=$6

date -s "@$now" >/dev/null
hostname "$name"
echo "$name" >/etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts
# Refuses at once, so that a look-up of a name outside fails quickly.
echo "nameserver $address" >/etc/resolv.conf
echo "$machine" >/etc/machine-id

# The state came with the link's address of the host that was saved, and keeps it until it is told another.
printf 'link set eth0 down\nlink set eth0 address %s\n' "$mac" | ip -batch -
printf 'address add %s/24 dev eth0\nlink set eth0 up\n' "$address" >/etc/testhost.underlay
ip -batch /etc/testhost.underlay
cat /etc/testhost.underlay >>/etc/testhost.links
rm /etc/testhost.underlay

echo "$system" >/etc/openvswitch/system-id.conf
ovs-vsctl --no-wait set Open_vSwitch . "external_ids:system-id=$system" "external_ids:hostname=$name"
sync
