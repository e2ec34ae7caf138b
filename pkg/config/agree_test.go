package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// pluginConfig is the part of the managed plugin's config.json that must agree with this package.
type pluginConfig struct {
	Interface struct{ Socket string }
	Mounts    []struct {
		Source, Destination, Type string
		Options                   []string
	}
	Env []struct {
		Name, Value string
		Settable    []string
	}
}

func readPluginConfig(t *testing.T) pluginConfig {
	t.Helper()
	text, err := os.ReadFile("../../config.json")
	if err != nil {
		t.Fatal(err)
	}
	var c pluginConfig
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("config.json: %v", err)
	}
	return c
}

func TestPluginConfigHasTheseVariables(t *testing.T) {
	config := readPluginConfig(t)
	inFile := map[string]bool{}
	for _, e := range config.Env {
		inFile[e.Name] = true
		i := slices.IndexFunc(variables, func(v variable) bool { return v.name == e.Name })
		if i < 0 {
			t.Errorf("config.json sets %s, which nothing reads", e.Name)
			continue
		}
		v := variables[i]
		if e.Value != v.managedOrFallback() {
			t.Errorf("%s: config.json says %q, the table %q", e.Name, e.Value, v.managedOrFallback())
		}
		if err := v.parse(&Config{}, e.Value); err != nil {
			t.Errorf("%s: the value in config.json is refused: %v", e.Name, err)
		}
		if settable := slices.Equal(e.Settable, []string{"value"}); settable == v.fixed {
			t.Errorf("%s: settable is %q in config.json, fixed is %v in the table", e.Name, e.Settable, v.fixed)
		}
	}
	for _, v := range variables {
		if strings.HasPrefix(v.name, "PLUGIN_") && !inFile[v.name] {
			t.Errorf("%s is not in config.json, so `docker plugin set` refuses it", v.name)
		}
	}
}

// A mount that is no recursive bind fails with ENODEV at `docker plugin enable`, and one that is no slave never shows a
// socket made after the plugin.
func TestPluginConfigMountsTheHostsRun(t *testing.T) {
	config := readPluginConfig(t)
	if len(config.Mounts) == 0 {
		t.Fatal("config.json has no mounts")
	}
	var run bool
	for _, m := range config.Mounts {
		if m.Type != "bind" || !slices.Contains(m.Options, "rbind") {
			t.Errorf("mount of %s: type %q, options %q; want a bind with rbind", m.Source, m.Type, m.Options)
		}
		if m.Source == "/run" && m.Destination == hostRun(t) {
			run = slices.Contains(m.Options, "rslave")
		}
	}
	if !run {
		t.Errorf("config.json does not mount /run at %s with rslave, where PLUGIN_HOST_RUN looks for it", hostRun(t))
	}
}

func TestPluginConfigSocketsFit(t *testing.T) {
	config := readPluginConfig(t)
	i := slices.IndexFunc(variables, func(v variable) bool { return v.name == "PLUGIN_SOCKET" })
	if want := "/run/docker/plugins/" + config.Interface.Socket; variables[i].managed != want {
		t.Errorf("PLUGIN_SOCKET is %q, but config.json makes dockerd look for %q", variables[i].managed, want)
	}
	onHost := "/run/docker/plugins/" + strings.Repeat("0", 64) + "/" + config.Interface.Socket
	if len(onHost) > maxSocket {
		t.Errorf("the socket's path on the host has %d bytes, more than %d", len(onHost), maxSocket)
	}
}

func hostRun(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(variables, func(v variable) bool { return v.name == "PLUGIN_HOST_RUN" })
	if i < 0 {
		t.Fatal("there is no PLUGIN_HOST_RUN")
	}
	return variables[i].managed
}
