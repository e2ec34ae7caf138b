package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxSocket is the length of sun_path less the final NUL (unix(7)).
const maxSocket = 107

// variable is one row of the table.
type variable struct {
	name        string
	description string

	// fallback is the default of the binary.
	fallback string

	// managed is the value in the managed plugin's config.json where that differs: there the host's files are elsewhere.
	managed string

	// fixed variables cannot be set with `docker plugin set`.
	fixed bool

	parse func(c *Config, value string) error
}

func (v variable) managedOrFallback() string {
	if v.managed != "" {
		return v.managed
	}
	return v.fallback
}

var variables = []variable{
	{
		name: "PLUGIN_DATA_DIR", fallback: "/data",
		description: "Directory path for persistent state storage",
		parse:       path(func(c *Config) *string { return &c.DataDir }),
	},
	{
		name: "PLUGIN_LOG_LEVEL", fallback: "info",
		description: "Logging level (debug/info/warn/error)",
		parse:       oneOf(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error"),
	},
	{
		name: "PLUGIN_STATE_BACKUP", fallback: "true",
		description: "Enable automatic state file backups",
		parse:       boolean(func(c *Config) *bool { return &c.StateBackup }),
	},
	{
		name: "PLUGIN_RECOVERY_MODE", fallback: string(RecoveryLenient),
		description: "State recovery behavior (strict/lenient/skip)",
		parse:       oneOf(func(c *Config) *RecoveryMode { return &c.RecoveryMode }, RecoveryStrict, RecoveryLenient, RecoverySkip),
	},
	{
		name: "PLUGIN_OVN_DOWN", fallback: string(OVNDownAccept),
		description: "What happens to new endpoints while OVN is away: accept (completed when it is back) or fail",
		parse:       oneOf(func(c *Config) *OVNDown { return &c.OVNDown }, OVNDownAccept, OVNDownFail),
	},
	{
		// dockerd looks where config.json says, so another value could only be wrong. The name is short because dockerd
		// puts the plugin's id of 64 digits before it, and the whole must fit a socket's address.
		name: "PLUGIN_SOCKET", fallback: "/run/docker/plugins/ovs-container-network.sock",
		managed: "/run/docker/plugins/ocn.sock", fixed: true,
		description: "Socket on which Docker calls the plugin; fixed in an installed plugin",
		parse:       socket(func(c *Config) *string { return &c.Socket }),
	},
	{
		name: "PLUGIN_CONTROL_SOCKET", fallback: "/run/ovs-container-network/control.sock",
		managed:     "/host/run/ovs-container-network/control.sock",
		description: "Socket of the host's `ovs-container-network` command, as the plugin sees it",
		parse:       socket(func(c *Config) *string { return &c.ControlSocket }),
	},
	{
		name: "PLUGIN_OVN_IMAGE", fallback: "ovn-central:latest",
		description: "Image of the OVN central and ovn-controller containers",
		parse:       image,
	},
	{
		name:        "PLUGIN_CENTRAL_PUBLISH",
		description: "Address of this host at which other hosts reach the OVN central that the plugin made, with certificates; empty: none does",
		parse:       publish,
	},
	{
		name: "PLUGIN_CENTRAL_INSECURE", fallback: "false",
		description: "Publish OVN central without TLS: whoever reaches the address can change all of OVN",
		parse:       boolean(func(c *Config) *bool { return &c.CentralInsecure }),
	},
	{
		name: "PLUGIN_OVS_DB", fallback: "unix:/var/run/openvswitch/db.sock",
		description: "Connection to the Open vSwitch database of this host (`unix:PATH`)",
		parse:       ovsdb,
	},
	{
		name:        "PLUGIN_BRIDGE_MAPPINGS",
		description: "Bridges of this host that lead to physical networks (`NETWORK:BRIDGE`, several separated by commas)",
		parse:       mappings,
	},
	{
		name: "PLUGIN_HOST_RUN", fallback: "/run", managed: "/host/run",
		description: "Where the plugin sees the host's `/run`",
		parse:       path(func(c *Config) *string { return &c.HostRun }),
	},
	{
		name: "PLUGIN_SYSCTL", fallback: "/proc/sys", managed: "/host/sysctl",
		description: "Where the plugin sees the host's `/proc/sys`",
		parse:       path(func(c *Config) *string { return &c.Sysctl }),
	},
	{
		name:        "DOCKER_HOST",
		description: "Docker API of this host, for a plugin that runs outside of Docker (`make dev-run`)",
		parse:       dockerHost,
	},
}

func path(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if !filepath.IsAbs(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%q is not an absolute path", value)
		}
		*field(c) = filepath.Clean(value)
		return nil
	}
}

func socket(field func(*Config) *string) func(*Config, string) error {
	set := path(field)
	return func(c *Config, value string) error {
		if len(value) > maxSocket {
			return fmt.Errorf("%q is too long for a socket: at most %d bytes", value, maxSocket)
		}
		return set(c, value)
	}
}

func oneOf[T ~string](field func(*Config) *T, allowed ...T) func(*Config, string) error {
	return func(c *Config, value string) error {
		if !slices.Contains(allowed, T(value)) {
			words := make([]string, len(allowed))
			for i, a := range allowed {
				words[i] = strconv.Quote(string(a))
			}
			return fmt.Errorf("%q is not known: want %s", value, strings.Join(words, ", "))
		}
		*field(c) = T(value)
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, value string) error {
		v, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(c) = v
		return nil
	}
}

// publish takes one address that can be listened at and sent to, so that nothing is
// offered on links that nobody thought of.
func publish(c *Config, value string) error {
	if value == "" {
		return nil
	}
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return fmt.Errorf("%q is not an address that other hosts reach this one at: want one like 192.0.2.10", value)
	}
	c.CentralPublish = a
	return nil
}

// imageForm is a wide form of an image reference: enough to keep flags and spaces out; Docker judges the rest.
var imageForm = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]{0,254}$`)

func image(c *Config, value string) error {
	if !imageForm.MatchString(value) {
		return fmt.Errorf("%q is not an image: want NAME, NAME:TAG or NAME@DIGEST", value)
	}
	c.OVNImage = value
	return nil
}

// ovsdb takes unix: only. The plugin puts interfaces of this host into that database, so one that is reached over a
// network is a mistake.
func ovsdb(c *Config, value string) error {
	file, ok := strings.CutPrefix(value, "unix:")
	if !ok || !filepath.IsAbs(file) || len(file) > maxSocket || strings.ContainsAny(file, " \t\r\n,'\"") {
		return fmt.Errorf("%q is not the local Open vSwitch database: want unix:PATH with an absolute path of at most %d bytes", value, maxSocket)
	}
	c.OVSDB = "unix:" + filepath.Clean(file)
	return nil
}

// mappingForm is narrower than what ovn-controller takes: names as the options of networks take them.
var mappingForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

func mappings(c *Config, value string) error {
	if value == "" {
		return nil
	}
	names := map[string]bool{}
	for pair := range strings.SplitSeq(value, ",") {
		name, _, _ := strings.Cut(pair, ":")
		if !mappingForm.MatchString(pair) || names[name] {
			return fmt.Errorf("%q does not map physical networks to bridges: want NETWORK:BRIDGE, each network once, several separated by commas", value)
		}
		names[name] = true
	}
	c.BridgeMappings = value
	return nil
}

func dockerHost(c *Config, value string) error {
	kind, rest, ok := strings.Cut(value, "://")
	if !ok || rest == "" || !slices.Contains([]string{"unix", "tcp", "http", "https"}, kind) {
		return fmt.Errorf("%q is not a Docker API: want unix:///PATH or tcp://HOST:PORT", value)
	}
	c.DockerHost = value
	return nil
}
