#!/bin/sh
# Healthy is what a client needs: as OVN central, both databases answer and northd is the active one; as
# ovn-controller, the Southbound database is connected. Cheap on purpose: no call reads a whole database.
set -eu

run=/var/run/ovn
if tr '\0' '\n' </proc/1/cmdline | grep -qx ovn-controller; then
	[ "$(ovn-appctl --timeout=3 -t ovn-controller connection-status)" = connected ]
	exit
fi
if tr '\0' '\n' </proc/1/cmdline | grep -qx ovn-relay; then
	# A relay serves what it has only while it has it from OVN central.
	ovsdb-client --timeout=2 dump "unix:$run/ovnnb_db.sock" OVN_Northbound NB_Global >/dev/null
	ovsdb-client --timeout=2 dump "unix:$run/ovnsb_db.sock" OVN_Southbound SB_Global >/dev/null
	exit
fi
ovsdb-client --timeout=2 list-dbs "unix:$run/ovnnb_db.sock" | grep -qx OVN_Northbound
ovsdb-client --timeout=2 list-dbs "unix:$run/ovnsb_db.sock" | grep -qx OVN_Southbound
ovn-appctl --timeout=2 -t "$run/ovn-northd.ctl" status | grep -q 'Status: active'
