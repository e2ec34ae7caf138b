package config

import (
	"net/netip"
	"strings"
	"testing"
)

func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, v := range variables {
		t.Setenv(v.name, "")
	}
}

func TestDefaults(t *testing.T) {
	clearEnvironment(t)
	got, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DataDir: "/data", LogLevel: "info", StateBackup: true, RecoveryMode: RecoveryLenient, OVNDown: OVNDownAccept,
		Socket: "/run/docker/plugins/ovs-container-network.sock", ControlSocket: "/run/ovs-container-network/control.sock",
		OVNImage: "ovn-central:latest", OVSDB: "unix:/var/run/openvswitch/db.sock", HostRun: "/run", Sysctl: "/proc/sys",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	clearEnvironment(t)
	set := map[string]string{
		"PLUGIN_DATA_DIR": "/custom//data/", "PLUGIN_LOG_LEVEL": "debug", "PLUGIN_STATE_BACKUP": "0",
		"PLUGIN_RECOVERY_MODE": "strict", "PLUGIN_OVN_DOWN": "fail", "PLUGIN_SOCKET": "/tmp/a.sock",
		"PLUGIN_CONTROL_SOCKET": "/tmp/b.sock", "PLUGIN_OVN_IMAGE": "registry.example:5000/ovn@sha256:abcd",
		"PLUGIN_OVS_DB": "unix:/tmp/db.sock", "PLUGIN_HOST_RUN": "/host/run", "PLUGIN_SYSCTL": "/host/sysctl",
		"PLUGIN_CENTRAL_PUBLISH": "192.0.2.10", "PLUGIN_CENTRAL_INSECURE": "true",
		"PLUGIN_BRIDGE_MAPPINGS": "wan:br-wan,lab_1:br-lab", "DOCKER_HOST": "unix:///tmp/docker.sock",
	}
	for _, v := range variables {
		if _, ok := set[v.name]; !ok {
			t.Errorf("the test sets no %s", v.name)
		}
		t.Setenv(v.name, set[v.name])
	}
	got, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DataDir: "/custom/data", LogLevel: "debug", StateBackup: false, RecoveryMode: RecoveryStrict, OVNDown: OVNDownFail,
		Socket: "/tmp/a.sock", ControlSocket: "/tmp/b.sock", OVNImage: "registry.example:5000/ovn@sha256:abcd",
		OVSDB: "unix:/tmp/db.sock", HostRun: "/host/run", Sysctl: "/host/sysctl", CentralPublish: netip.MustParseAddr("192.0.2.10"), CentralInsecure: true,
		BridgeMappings: "wan:br-wan,lab_1:br-lab", DockerHost: "unix:///tmp/docker.sock",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWrongValues(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{"PLUGIN_DATA_DIR", "data", "not an absolute path"},
		{"PLUGIN_DATA_DIR", "/da\nta", "not an absolute path"},
		{"PLUGIN_LOG_LEVEL", "verbose", `want "debug", "info", "warn", "error"`},
		{"PLUGIN_STATE_BACKUP", "maybe", "neither true nor false"},
		{"PLUGIN_RECOVERY_MODE", "Strict", `want "strict", "lenient", "skip"`},
		{"PLUGIN_OVN_DOWN", "wait", `want "accept", "fail"`},
		{"PLUGIN_SOCKET", "/" + strings.Repeat("s", 107), "at most 107 bytes"},
		{"PLUGIN_CONTROL_SOCKET", "control.sock", "not an absolute path"},
		{"PLUGIN_OVN_IMAGE", "--privileged", "not an image"},
		{"PLUGIN_OVN_IMAGE", "a b", "not an image"},
		{"PLUGIN_OVS_DB", "tcp:127.0.0.1:6640", "want unix:PATH"},
		{"PLUGIN_OVS_DB", "unix:db.sock", "want unix:PATH"},
		{"PLUGIN_CENTRAL_PUBLISH", "0.0.0.0", "not an address that other hosts"},
		{"PLUGIN_CENTRAL_PUBLISH", "127.0.0.1", "not an address that other hosts"},
		{"PLUGIN_CENTRAL_PUBLISH", "host1", "not an address that other hosts"},
		{"PLUGIN_CENTRAL_PUBLISH", "::", "not an address that other hosts"},
		{"PLUGIN_BRIDGE_MAPPINGS", "br-wan", "want NETWORK:BRIDGE"},
		{"PLUGIN_BRIDGE_MAPPINGS", "wan:br-wan,wan:br-two", "each network once"},
		{"PLUGIN_BRIDGE_MAPPINGS", "wan:bridge-with-long-name", "want NETWORK:BRIDGE"},
		{"PLUGIN_BRIDGE_MAPPINGS", "wan:br wan", "want NETWORK:BRIDGE"},
		{"PLUGIN_HOST_RUN", "run", "not an absolute path"},
		{"DOCKER_HOST", "/var/run/docker.sock", "want unix:///PATH"},
		{"DOCKER_HOST", "unix://", "want unix:///PATH"},
	} {
		t.Run(c.name+"="+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			clearEnvironment(t)
			t.Setenv(c.name, c.value)
			_, err := Load()
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), "environment variable "+c.name+": ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %q, want it to name %s and say %q", err, c.name, c.says)
			}
		})
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("PLUGIN_LOG_LEVEL", "loud")
	t.Setenv("PLUGIN_OVN_DOWN", "no")
	_, err := Load()
	if err == nil || !strings.Contains(err.Error(), "PLUGIN_LOG_LEVEL") || !strings.Contains(err.Error(), "PLUGIN_OVN_DOWN") {
		t.Errorf("error is %v, want both variables in it", err)
	}
}
