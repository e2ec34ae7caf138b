package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Status is the plugin at one moment.
type Status struct {
	Version   string    `json:"version"`
	Instance  string    `json:"instance"`
	Started   time.Time `json:"started"`
	Refusal   string    `json:"refusal,omitempty"` // why the plugin serves nothing
	Ready     bool      `json:"ready"`             // recovery is over
	OVS       string    `json:"ovs"`               // "ok", or why it is not
	Databases []DB      `json:"northbound"`
	Networks  []Network `json:"networks"`
	Dropped   []string  `json:"dropped,omitempty"` // state files that were not used, and why
}

// DB is a northbound database that networks use.
type DB struct {
	Connection string     `json:"connection"`
	Away       *time.Time `json:"away_since,omitempty"`
}

// Network is a network and how many endpoints it has.
type Network struct {
	ID        string `json:"id"`
	Switch    string `json:"switch"`
	Tenant    string `json:"tenant_id,omitempty"`
	Phase     string `json:"phase"`
	MTU       int    `json:"mtu"`
	Endpoints int    `json:"endpoints"`
	Deferred  int    `json:"deferred"` // of these, how many wait for the northbound database
	Removing  int    `json:"removing"` // endpoints that Docker has removed, and OVN not yet
}

const (
	statusPath = "/status"
	askWithin  = 8 * time.Second
)

// Listen makes a socket that only its owner can use, and its folder, if need
// be with the mode. A socket that a dead process left is replaced, one that
// somebody answers is not.
func Listen(path string, folder os.FileMode) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("listening on %q: another process answers there, stop it first", path), c.Close())
	}
	if err := os.MkdirAll(filepath.Dir(path), folder); err != nil {
		return nil, fmt.Errorf("making the socket's folder: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), l.Close())
	}
	return l, nil
}

// Serve answers until the listener is closed.
func Serve(l net.Listener, status func(context.Context) Status) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status(ctx)) // the asker has gone
	})
	server := http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving the control socket: %w", err)
	}
	return nil
}

// Ask asks the plugin behind the socket for its status.
func Ask(ctx context.Context, socket string) (Status, error) {
	var s Status
	client := http.Client{Timeout: askWithin, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://plugin"+statusPath, nil)
	if err != nil {
		return s, fmt.Errorf("asking the plugin: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("asking the plugin at %q, is it enabled (docker plugin ls)? %w", socket, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the plugin's answer: %w", err)
	}
	return s, nil
}
