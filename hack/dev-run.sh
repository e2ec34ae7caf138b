#!/usr/bin/env bash
# Runs the plugin in the foreground on a socket of its own, beside an installed one: driver name ovs-dev, state in
# .dev/, every plan in the log. The commands of the README work with --driver ovs-dev.

# shellcheck source=hack/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_root make dev-run
[ -S /run/openvswitch/db.sock ] || die "Open vSwitch does not run; start it: systemctl start openvswitch-switch (or scripts/install.sh)"
dev=$root/.dev
mkdir -p "$dev/data" /run/docker/plugins

export PLUGIN_SOCKET=${PLUGIN_SOCKET:-/run/docker/plugins/ovs-dev.sock}
export PLUGIN_DATA_DIR=${PLUGIN_DATA_DIR:-$dev/data}
export PLUGIN_CONTROL_SOCKET=${PLUGIN_CONTROL_SOCKET:-$dev/control.sock}
export PLUGIN_LOG_LEVEL=${PLUGIN_LOG_LEVEL:-debug}
export PLUGIN_OVN_IMAGE=$ovn_image

driver=${PLUGIN_SOCKET##*/}
echo "driver name: ${driver%.sock}; status: build/$name status --socket $PLUGIN_CONTROL_SOCKET; Ctrl-C ends it" >&2
# exec: a signal reaches the plugin itself, which removes its socket. A socket left behind would hang Docker's start.
exec "$binary" serve
