package ovs

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// MaxMirrors is how many mirrors a bridge has at most (ofproto-dpif-mirror.h,
// MAX_MIRRORS); ovs-vswitchd leaves the others out, and says so in its log only.
const MaxMirrors = 32

// MirrorRow is a mirror that is there (ovs-vswitchd.conf.db(5), Mirror). Ports that
// are gone are gone from it too.
type MirrorRow struct {
	UUID, Name  string
	From, To    []Port // whose packets are mirrored, sorted by name
	Output      Port   // "" for none
	Cut         int    // bytes of a frame that are mirrored; 0 for all
	ExternalIDs map[string]string
}

// MirrorAdd makes a mirror of what the ports, given by UUID, send and receive, and
// adds it to the bridge beside those of others.
func MirrorAdd(b Bridge, name string, ports []string, output Port, cut int, ids map[string]string) []plan.Op {
	row, out := "@mirror-"+string(output), "@output-"+string(output)
	return []plan.Op{
		{Do: []string{"--id=" + out, "get", "Port", string(output)}},
		{Do: append([]string{"--id=" + row, "create", "Mirror", "name=" + ovsdb.Quote(name), "select_src_port=" + references(ports), "select_dst_port=" + references(ports), "output_port=" + out, snap(cut)},
			ovsdb.Columns("external_ids", ids)...)},
		{Do: []string{"add", "Bridge", string(b), "mirrors", row}},
	}
}

// MirrorSet changes what a mirror that is there mirrors, where to, and what it says
// of itself.
func MirrorSet(m MirrorRow, ports []string, output Port, cut int, ids map[string]string) []plan.Op {
	out := "@output-" + m.UUID
	return []plan.Op{
		{Do: []string{"--id=" + out, "get", "Port", string(output)}},
		{Do: append([]string{"set", "Mirror", m.UUID, "select_src_port=" + references(ports), "select_dst_port=" + references(ports), "output_port=" + out, snap(cut)},
			ovsdb.Columns("external_ids", ids)...)},
	}
}

// touchKey and touched are a setting that ovs-vswitchd ignores for ports other than
// those of mode dot1q-tunnel (ovs-vswitchd.conf.db(5), Port, other_config), which no
// container's is.
const touchKey, touched = "qinq-ethtype", "802.1q"

// PortTouch has ovs-vswitchd look at all flows again, as it does when a port is given
// another setting (ofproto-dpif.c, bundle_set). Before 3.4 it does not when a mirror
// changes, and flows that are in use go on as they were.
func PortTouch(p Port, seen PortRow) plan.Op {
	if seen.Touched {
		return plan.Op{Do: []string{"remove", "Port", string(p), "other_config", touchKey}}
	}
	return plan.Op{Do: []string{"set", "Port", string(p), ovsdb.Column("other_config", touchKey, touched)}}
}

// snap is the length that frames are cut to.
func snap(cut int) string {
	if cut == 0 {
		return "snaplen=[]"
	}
	return "snaplen=" + strconv.Itoa(cut)
}

// MirrorDelete takes a mirror from its bridge. Nothing else refers to it, so it is
// gone.
func MirrorDelete(b Bridge, m MirrorRow) plan.Op {
	return plan.Op{Do: []string{"remove", "Bridge", string(b), "mirrors", m.UUID}}
}

func references(uuids []string) string { return "[" + strings.Join(uuids, ",") + "]" }

// MonitorSet has the host own the interface of a port that it only listens on.
func MonitorSet(p Port, mtu int) plan.Op {
	return plan.Op{Do: []string{"set", "Interface", string(p), "type=internal", "mtu_request=" + strconv.Itoa(mtu)}}
}

// TunnelSet has a port send whole frames to a machine, with "gre" or "erspan", whose
// type II it is then (ovs-vswitchd.conf.db(5), Interface, "Tunnel Options"). What is
// longer than the way to the machine takes is sent in fragments.
func TunnelSet(p Port, kind string, remote netip.Addr) plan.Op {
	words := []string{"set", "Interface", string(p), "type=" + kind, ovsdb.Column("options", "remote_ip", remote.String()), ovsdb.Column("options", "df_default", "false")}
	if kind == "erspan" {
		words = append(words, ovsdb.Column("options", "erspan_ver", "1"), ovsdb.Column("options", "erspan_idx", "1"), ovsdb.Column("options", "key", "1"))
	}
	return plan.Op{Do: words}
}
