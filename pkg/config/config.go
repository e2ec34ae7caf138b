package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/viper"
)

// RecoveryMode says what to do with state files that cannot be used. Its values are those of store.Mode.
type RecoveryMode string

// The recovery modes.
const (
	RecoveryStrict  RecoveryMode = "strict"
	RecoveryLenient RecoveryMode = "lenient"
	RecoverySkip    RecoveryMode = "skip"
)

// OVNDown says what CreateEndpoint does while OVN is away.
type OVNDown string

// Accept takes the endpoint and completes it when OVN is back; Fail returns an error to Docker.
const (
	OVNDownAccept OVNDown = "accept"
	OVNDownFail   OVNDown = "fail"
)

// Config is the checked environment. All paths are absolute and clean.
type Config struct {
	DataDir      string
	LogLevel     string // debug, info, warn or error, as zap names them
	StateBackup  bool
	RecoveryMode RecoveryMode
	OVNDown      OVNDown

	// Socket is where dockerd calls the plugin, ControlSocket where the host's command does.
	Socket        string
	ControlSocket string

	// OVNImage is the image of OVN central and of ovn-controller.
	OVNImage string

	// CentralPublish is the address of this host at which others reach OVN central; the zero Addr when none does.
	CentralPublish netip.Addr
	// CentralInsecure has it published without TLS.
	CentralInsecure bool

	// OVSDB is the connection to the Open vSwitch database of this host, "unix:PATH".
	OVSDB string

	// BridgeMappings are the bridges of this host that lead to physical networks, "NETWORK:BRIDGE,…".
	BridgeMappings string

	// HostRun is where this process sees the host's /run.
	HostRun string

	// Sysctl is where this process sees the host's /proc/sys.
	Sysctl string

	// DockerHost is empty for Docker's default socket.
	DockerHost string
}

// Load reads the environment. All variables that are wrong are named in one error; they have their defaults in what is
// returned beside it, so that the plugin can listen and say what is wrong.
func Load() (Config, error) {
	v := viper.New()
	var c Config
	var wrong []error
	for _, e := range variables {
		v.SetDefault(e.name, e.fallback)
		if err := v.BindEnv(e.name, e.name); err != nil {
			return Config{}, fmt.Errorf("reading %s: %w", e.name, err)
		}
		// Viper takes an empty variable for an unset one, which is also what `docker plugin set NAME=` means.
		value := v.GetString(e.name)
		if value == "" {
			continue
		}
		if err := e.parse(&c, value); err != nil {
			wrong = append(wrong, fmt.Errorf("environment variable %s: %w", e.name, err))
			if e.fallback != "" {
				wrong = append(wrong, e.parse(&c, e.fallback))
			}
		}
	}
	return c, errors.Join(wrong...)
}

// MarkdownTable gives the README's table of environment variables.
func MarkdownTable() string {
	var b strings.Builder
	b.WriteString("| Variable | Description | Default |\n|----------|-------------|---------|\n")
	for _, e := range variables {
		fallback := "none"
		if e.managedOrFallback() != "" {
			fallback = "`" + e.managedOrFallback() + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.name, e.description, fallback)
	}
	return b.String()
}
