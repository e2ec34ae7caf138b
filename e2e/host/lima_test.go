package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParseInstances(t *testing.T) {
	// two lines of limactl 2.2, shortened: it knows many more fields, and leaves out what is zero
	text := `{"name":"default","hostname":"lima-default","status":"Stopped","dir":"/h/.lima/default","vmType":"qemu","network":[{"lima":"user-v2"}],"sshConfigFile":"/h/.lima/default/ssh.config","config":{"plain":false}}
{"name":"ocn-1a2b3c-basic-h1","hostname":"lima-ocn-1a2b3c-basic-h1","status":"Running","dir":"/h/.lima/x","sshLocalPort":40103,"sshConfigFile":"/h/.lima/x/ssh.config","hostAgentPID":11,"driverPID":12,"protected":false}
`
	want := instance{
		Name: "ocn-1a2b3c-basic-h1", Hostname: "lima-ocn-1a2b3c-basic-h1", Status: instanceRunning,
		Dir: "/h/.lima/x", SSHConfigFile: "/h/.lima/x/ssh.config", HostAgentPID: 11, DriverPID: 12,
	}
	got, err := parseInstances(text, "ocn-1a2b3c-basic-")
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if all, err := parseInstances(text, ""); err != nil || len(all) != 2 {
		t.Errorf("without a prefix: %+v, %v", all, err)
	}
	if none, err := parseInstances("", ""); err != nil || none != nil {
		t.Errorf("of no instances: %+v, %v", none, err)
	}
	if _, err := parseInstances(text+"level=warning", ""); err == nil {
		t.Error("took something else for an instance")
	}
}

func TestInstanceNames(t *testing.T) {
	t.Setenv("E2E_DIR", "/a")
	name := instanceName("basic", "h1")
	// Lima's own rule, and the room that a Mac's 103 bytes for a socket's path leave: a home folder, .lima, and what ssh adds
	if !regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`).MatchString(name) || len(name) > 40 {
		t.Errorf("Lima takes no instance of the name %q", name)
	}
	if !strings.HasPrefix(name, clusterPrefix("basic")) || strings.HasPrefix(name, clusterPrefix("bas")) {
		t.Errorf("%q is not of cluster %q alone", name, "basic")
	}
	t.Setenv("E2E_DIR", "/b")
	if name == instanceName("basic", "h1") {
		t.Errorf("two checkouts have one instance %q", name)
	}
}

func TestParseSource(t *testing.T) {
	got, err := parseSource(`[{"dst":"192.0.2.1","gateway":"192.168.104.2","dev":"eth0","prefsrc":"192.168.104.5","flags":[],"uid":0,"cache":[]}]`)
	if err != nil || got != "192.168.104.5" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", "[]", `[{"dst":"192.0.2.1"}]`, "RTNETLINK answers: Network is unreachable"} {
		if got, err := parseSource(text); err == nil {
			t.Errorf("parseSource(%q) = %q, and no error", text, got)
		}
	}
}

func TestLimaCommand(t *testing.T) {
	h := newLimaHost(Options{Name: "h1"}, limaHost{Alias: "lima-x", Config: "/h/.lima/x/ssh.config"})
	args := h.command(t.Context(), []string{"echo", "it's"}).Args
	if i := slices.Index(args, "-F"); i < 0 || args[i+1] != h.Config {
		t.Errorf("not Lima's configuration: %q", args)
	}
	last := args[len(args)-1]
	if args[len(args)-2] != h.Alias || !strings.HasPrefix(last, "exec 'sudo' '-n'") || !strings.HasSuffix(last, ` 'echo' 'it'\''s'`) {
		t.Errorf("not a command for root on %s: %q", h.Alias, args)
	}
	if _, err := h.Run(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "powered off") {
		t.Errorf("a command on a host that is off: %v", err)
	}
}

// TestBootOrder runs what hosts of Lima get, without the paths that it writes to.
func TestBootOrder(t *testing.T) {
	script, err := bootOrder()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, line := range dropinLines.FindAllString(script, -1) {
		name, path, _ := strings.Cut(line, "=")
		script = strings.Replace(script, line, name+"="+filepath.Join(dir, path), 1)
	}
	out, err := exec.Command("bash", "-euc", "systemctl() { :; }\n"+script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for unit, want := range map[string]string{
		"docker.service.d": "After=openvswitch-switch.service", "ovs-vswitchd.service.d": "ExecStartPre=",
	} {
		files, _ := filepath.Glob(filepath.Join(dir, "etc/systemd/system", unit, "*.conf"))
		if len(files) != 1 {
			t.Errorf("%s: %q", unit, files)
			continue
		}
		if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v; want %q in it", files[0], text, err, want)
		}
	}
}

// TestLimaTemplates has Lima itself read the templates. Without Lima it is skipped, in CI too: Lima is no package of Debian.
func TestLimaTemplates(t *testing.T) {
	program, err := exec.LookPath("limactl")
	if err != nil {
		t.Skip("limactl is not installed")
	}
	// in folders that another user can read and write: limactl refuses root
	dir, home := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir+"/lima", os.DirFS(filepath.Join(Top(), "hack", "lima"))); err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"bookworm", "trixie"} {
		cmd := exec.Command(program, "validate", filepath.Join(dir, "lima", release+".yaml"))
		cmd.Env = append(os.Environ(), "HOME="+home, "LIMA_HOME="+home+"/lima")
		if os.Geteuid() == 0 {
			const nobody = 65534
			if err := errors.Join(os.Chown(home, nobody, nobody), os.Chmod(filepath.Dir(home), 0o755)); err != nil {
				t.Fatal(err)
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("only root can run %s, which refuses root", program)
		}
		if err != nil {
			t.Errorf("%s: %v: %s", release, err, out)
		}
	}
}
