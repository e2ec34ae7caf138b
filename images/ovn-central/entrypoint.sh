#!/bin/sh
# Runs one of three roles, in the foreground and as pid 1:
#   ovn-central      the Northbound and Southbound databases (tcp 6641 and 6642, files in /var/lib/ovn) and ovn-northd
#   ovn-controller   the chassis' own agent, on the host's Open vSwitch
#   ovn-relay SCHEME ADDRESS CENTRAL   what other hosts reach OVN central by (pssl or ptcp)
# The distribution's ovn-ctl is not used: it leaves daemons behind that nobody watches, and a container must end
# when one of them does, so that its restart policy can act.
set -eu

run=/var/run/ovn
data=/var/lib/ovn
schemas=/usr/share/ovn
log='-vconsole:info -vsyslog:off -vfile:off'
# Put here by whoever makes the container; files that change are read again.
tls=/etc/ovn-tls
certificates="--private-key=$tls/key.pem --certificate=$tls/cert.pem --ca-cert=$tls/ca.pem"

# database FILE SCHEMA: makes the file, or brings one that an older version made to this version's schema.
database() {
	if [ ! -s "$1" ]; then
		# A file that a crash left half made would be taken for a database; a rename is whole or nothing.
		rm -f "$1.new"
		ovsdb-tool create "$1.new" "$2"
		mv "$1.new" "$1"
	elif [ "$(ovsdb-tool db-is-standalone "$1" && ovsdb-tool needs-conversion "$1" "$2")" = yes ]; then
		cp -p "$1" "$1.backup"
		ovsdb-tool convert "$1" "$2"
	fi
}

# watched COMMAND...: starts a daemon. When it ends, for whatever reason, pid 1 is told.
watched() {
	( "$@" || true; kill -USR1 1 ) &
}

# serve NAME DATABASE PORT SCHEMA: one database server, on a local socket and on all of the container's own
# addresses. Connections and TLS keys set in the database itself (ovn-nbctl set-connection, set-ssl) are served too.
serve() {
	# shellcheck disable=SC2086 # $log is several words
	watched ovsdb-server $log \
		--remote="punix:$run/$1.sock" --remote="ptcp:$3:0.0.0.0" \
		--remote="db:$2,$4,connections" \
		--private-key="db:$2,SSL,private_key" --certificate="db:$2,SSL,certificate" --ca-cert="db:$2,SSL,ca_cert" \
		--ssl-protocols="db:$2,SSL,ssl_protocols" --ssl-ciphers="db:$2,SSL,ssl_ciphers" \
		--unixctl="$run/$1.ctl" --pidfile="$run/$1.pid" "$data/$1.db"
}

# stop STATUS: ends the daemons, northd first because it writes to both databases, and then this container.
stop() {
	trap '' TERM INT USR1
	for daemon in ovn-northd ovnsb_db ovnnb_db; do
		ovn-appctl --timeout=2 -t "$run/$daemon.ctl" exit 2>/dev/null || true
	done
	wait
	exit "$1"
}

central() {
	mkdir -p "$run" "$data"
	# Left over from a kill -9: nothing else lives in this container's own run directory.
	rm -f "$run"/*.pid "$run"/*.ctl "$run"/*.sock
	database "$data/ovnnb_db.db" "$schemas/ovn-nb.ovsschema"
	database "$data/ovnsb_db.db" "$schemas/ovn-sb.ovsschema"
	# The action is in the trap itself: a flag looked at before wait could be set between the two, and be missed.
	trap 'stop 0' TERM INT
	trap 'echo "a daemon of OVN central ended; stopping the others" >&2; stop 1' USR1
	serve ovnnb_db OVN_Northbound 6641 NB_Global
	serve ovnsb_db OVN_Southbound 6642 SB_Global
	# northd that finds no socket tries again only a second later, and that second is the user's.
	tries=250
	until [ -S "$run/ovnnb_db.sock" ] && [ -S "$run/ovnsb_db.sock" ] || [ "$tries" -eq 0 ]; do
		tries=$((tries - 1))
		sleep 0.02
	done
	# shellcheck disable=SC2086
	watched ovn-northd $log --ovnnb-db="unix:$run/ovnnb_db.sock" --ovnsb-db="unix:$run/ovnsb_db.sock" \
		--unixctl="$run/ovn-northd.ctl" --pidfile="$run/ovn-northd.pid"
	while :; do wait; done
}

# relay NAME DATABASE PORT SCHEME ADDRESS CENTRAL: one database of OVN central, offered at an address of this host.
relay() {
	[ "$4" = pssl ] || certificates=
	[ -z "$certificates" ] || [ -s "$tls/key.pem" ] || {
		echo "there are no certificates in $tls" >&2
		exit 1
	}
	# shellcheck disable=SC2086
	watched ovsdb-server $log $certificates --remote="punix:$run/$1.sock" --remote="$4:$3:$5" \
		--unixctl="$run/$1.ctl" --pidfile="$run/$1.pid" "relay:$2:tcp:$6:$3"
}

case ${1:-ovn-central} in
ovn-central) central ;;
ovn-relay)
	mkdir -p "$run"
	rm -f "$run"/*.pid "$run"/*.ctl "$run"/*.sock
	trap 'stop 0' TERM INT
	trap 'echo "a daemon of the relay ended; stopping the other" >&2; stop 1' USR1
	relay ovnnb_db OVN_Northbound 6641 "$2" "$3" "$4"
	relay ovnsb_db OVN_Southbound 6642 "$2" "$3" "$4"
	while :; do wait; done
	;;
ovn-controller)
	# /var/run/ovn is the host's here, so nothing of it is cleaned: the pidfile's lock tells whether another
	# ovn-controller lives. A SIGTERM keeps flows and chassis row, so that a restart loses no packet.
	shift
	[ -f "$tls/key.pem" ] || certificates=
	# shellcheck disable=SC2086
	ovn-controller $log $certificates --pidfile="$run/ovn-controller.pid" "$@" unix:/var/run/openvswitch/db.sock &
	child=$!
	trap 'kill -TERM "$child"' TERM INT
	# Pid 1 has to take in the children of a health check that Docker killed, which ovn-controller itself would leave
	# as zombies. A signal ends wait, not always the daemon.
	while :; do
		status=0
		wait "$child" || status=$?
		kill -0 "$child" 2>/dev/null || exit "$status"
	done
	;;
*) exec "$@" ;;
esac
