package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// plugin is one that runs, and is spoken to as dockerd does.
type plugin struct {
	setting
	client  *http.Client
	cmd     *exec.Cmd // nil for somebody else's
	data    string
	control string
	nth     atomic.Int64
}

// ownDriver is the name of the plugin that is started here: Docker finds it by its socket.
const ownDriver = "ovs-bench"

// begin starts the plugin with an empty state, or takes the one that runs.
func begin(ctx context.Context, s setting) (*plugin, error) {
	p := &plugin{setting: s}
	if s.Socket == "" {
		if s.Binary == "" {
			return nil, errors.New("give either --socket and --driver of a plugin that runs, or --binary of one to start")
		}
		dir, err := os.MkdirTemp("", "bench-")
		if err != nil {
			return nil, err
		}
		p.data, p.control = filepath.Join(dir, "data"), filepath.Join(dir, "control.sock")
		p.Socket, p.Driver = "/run/docker/plugins/"+ownDriver+".sock", ownDriver
		if _, err := p.start(ctx); err != nil {
			return nil, err
		}
	}
	p.client = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 256,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", p.Socket)
		},
	}}
	return p, nil
}

// start starts the plugin with the state that there is, and returns how long it took until it answered.
func (p *plugin) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(p.data), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, p.Binary, "serve") //nolint:gosec // what this program is for
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.Env = append(os.Environ(), "PLUGIN_SOCKET="+p.Socket, "PLUGIN_DATA_DIR="+p.data, "PLUGIN_CONTROL_SOCKET="+p.control)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return 0, err
	}
	for {
		c, err := net.Dial("unix", p.Socket)
		if err == nil {
			return time.Since(began), c.Close()
		}
		if time.Since(began) > 10*time.Second {
			return 0, fmt.Errorf("the plugin does not listen: %w", err)
		}
		if err := pause(ctx, 200*time.Microsecond); err != nil {
			return 0, err
		}
	}
}

// stop ends the plugin, with the signal, and waits for its end.
func (p *plugin) stop(s os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s) // it may have ended
	_ = p.cmd.Wait()            // by the signal
	p.cmd = nil
}

func (p *plugin) end() {
	p.stop(syscall.SIGTERM)
	if p.data != "" {
		_ = os.RemoveAll(filepath.Dir(p.data)) // a folder for temporary files
	}
}

// recovered waits until the plugin has compared its state with what there is, and returns when that was.
func (p *plugin) recovered(ctx context.Context) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.control)
	}}}
	defer client.CloseIdleConnections()
	for {
		var s struct {
			Ready bool `json:"ready"`
		}
		if res, err := client.Get("http://plugin/status"); err == nil {
			err = json.NewDecoder(res.Body).Decode(&s)
			_ = res.Body.Close()
			if err == nil && s.Ready {
				return nil
			}
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

type object = map[string]any

// call makes a call of Docker's plugin protocol.
func (p *plugin) call(ctx context.Context, what string, body any) (object, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/NetworkDriver."+what, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer := object{}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again
	if text, _ := answer["Err"].(string); text != "" {
		return nil, fmt.Errorf("%s: %s", what, text)
	}
	return answer, nil
}

// id is what Docker would name the next thing.
func (p *plugin) id() string {
	return fmt.Sprintf("%012x%s", time.Now().UnixNano()&0xffffff<<24|p.nth.Add(1), strings.Repeat("0", 52))
}

// network is one that was made by the driver's call.
type network struct {
	*plugin
	id, sw string
	subnet netip.Prefix
}

// create makes the n-th network.
func (p *plugin) create(ctx context.Context, n int) (network, error) {
	w := network{plugin: p, id: p.id(), sw: fmt.Sprint("ls-bench-", n), subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(20 + n), 0, 0}), 16)}
	_, err := p.call(ctx, "CreateNetwork", object{
		"NetworkID": w.id,
		"Options": object{"com.docker.network.generic": object{
			"ovn.switch": w.sw, "ovn.nb_connection": p.NB, "ovn.sb_connection": p.SB,
		}},
		"IPv4Data": []object{{"AddressSpace": "local", "Pool": w.subnet.String(), "Gateway": w.address(1)}},
	})
	return w, err
}

func (w network) delete(ctx context.Context) error {
	_, err := w.call(ctx, "DeleteNetwork", object{"NetworkID": w.id})
	return err
}

// address is the n-th of the subnet.
func (w network) address(n int) string {
	b := w.subnet.Addr().As4()
	b[2], b[3] = byte(n>>8), byte(n)
	return netip.PrefixFrom(netip.AddrFrom4(b), w.subnet.Bits()).String()
}

// endpoint is one that was made, and is ready.
type endpoint struct {
	id, link    string
	made, ready time.Duration // from the first call on, until it was made, and until it was ready
}

// attach makes an endpoint with the n-th address, and joins it.
func (w network) attach(ctx context.Context, n int) (endpoint, error) {
	e := endpoint{id: w.plugin.id()}
	began := time.Now()
	if _, err := w.call(ctx, "CreateEndpoint", object{"NetworkID": w.id, "EndpointID": e.id, "Interface": object{"Address": w.address(n)}}); err != nil {
		return e, err
	}
	e.made = time.Since(began)
	answer, err := w.call(ctx, "Join", object{"NetworkID": w.id, "EndpointID": e.id, "SandboxKey": "/var/run/docker/netns/" + e.id[:12]})
	if err != nil {
		return e, err
	}
	e.ready = time.Since(began)
	if name, ok := answer["InterfaceName"].(object); ok {
		e.link, _ = name["SrcName"].(string)
	}
	return e, nil
}

func (w network) detach(ctx context.Context, e endpoint) (time.Duration, error) {
	began := time.Now()
	_, err := w.call(ctx, "Leave", object{"NetworkID": w.id, "EndpointID": e.id})
	if err == nil {
		_, err = w.call(ctx, "DeleteEndpoint", object{"NetworkID": w.id, "EndpointID": e.id})
	}
	return time.Since(began), err
}

// command runs a program and returns what it printed.
func command(ctx context.Context, program string, args ...string) (string, error) {
	return input(ctx, "", program, args...)
}

func input(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, text bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &text
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s %.200s: %w: %s", program, strings.Join(args, " "), err, text.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// processes are the plugin's own process, and those that it started.
func (p *plugin) processes() []int {
	parents := map[int]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // a fixed pattern
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 {
			continue
		}
		parents[pid], _ = strconv.Atoi(fields[1]) // a number, proc(5)
	}
	var all []int
	for pid := range parents {
		// What has become a daemon is nobody's child, and has the plugin's own folder in its arguments.
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
		mine := strings.Contains(string(line), "="+filepath.Dir(p.control)+"/")
		for at := pid; at > 1 && !mine; at = parents[at] {
			mine = at == p.cmd.Process.Pid
		}
		if mine {
			all = append(all, pid)
		}
	}
	return all
}

// held is the memory of the plugin and of what it started, in MiB, how much of it is its own process', and how many files that has open.
func (p *plugin) held() (memory, own float64, files int, err error) {
	for _, pid := range p.processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // a command that has ended
		}
		for line := range strings.Lines(string(text)) {
			if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kib), " kB"))
				memory += float64(n) / 1024
				if pid == p.cmd.Process.Pid {
					own += float64(n) / 1024
				}
			}
		}
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	return memory, own, len(open), err
}
