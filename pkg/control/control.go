package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
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
	// Certificate is whose this host has for them, and until when, or what is wrong with it.
	Certificate string `json:"certificate,omitempty"`
	// Published is where other hosts reach this one's OVN central, or why they do not.
	Published string    `json:"published,omitempty"`
	Networks  []Network `json:"networks"`
	Ports     []Port    `json:"ports,omitempty"`
	// Recovery is what was found and done since the start.
	Recovery reconcile.Report `json:"recovery"`
}

// DB is a northbound database that networks use.
type DB struct {
	Connection string     `json:"connection"`
	Away       *time.Time `json:"away_since,omitempty"`
}

// Network is a network and how many endpoints it has.
type Network struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Switch    string `json:"switch"`
	Router    string `json:"router,omitempty"`
	Transit   string `json:"transit,omitempty"` // switch of the transit network, or "waits for NAME"
	Tenant    string `json:"tenant_id,omitempty"`
	Mirror    string `json:"mirror,omitempty"` // "PORTS > DESTINATION"
	Phase     string `json:"phase"`
	MTU       int    `json:"mtu"`
	Endpoints int    `json:"endpoints"`
	Deferred  int    `json:"deferred"` // of these, how many wait for the northbound database
	Removing  int    `json:"removing"` // endpoints that Docker has removed, and OVN not yet
}

// Port is a port of the host that leads to a container. Docker's own lists show
// none of a network driver's.
type Port struct {
	Endpoint string `json:"endpoint_id"`
	Network  string `json:"network_id"`
	Port     string `json:"port"` // "*:8080->80/tcp", or a floating address
}

// Of returns the status with the networks of one tenant, and what is theirs.
func (s Status) Of(tenant string) Status {
	ours := map[string]bool{}
	s.Networks = slices.DeleteFunc(slices.Clone(s.Networks), func(n Network) bool {
		ours[n.ID] = n.Tenant == tenant
		return n.Tenant != tenant
	})
	s.Ports = slices.DeleteFunc(slices.Clone(s.Ports), func(p Port) bool { return !ours[p.Network] })
	return s
}

const (
	statusPath    = "/status"
	reconcilePath = "/reconcile"
	changePath    = "/change"
	invitePath    = "/invite"
	joinPath      = "/join"
	forgetPath    = "/forget"
	hostsPath     = "/hosts"
	rotatePath    = "/rotate"
	askWithin     = 8 * time.Second
	// reconcileWithin covers two looks at Docker's lists.
	reconcileWithin = 2 * time.Minute
	changeWithin    = 20 * time.Second
	joinWithin      = 40 * time.Second
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

// Change is what is to change of a network, given by its name, id, or the beginning of
// that: options and their new values, "" for none.
type Change struct {
	Network string            `json:"network"`
	Options map[string]string `json:"options"`
}

// Plugin is what answers.
type Plugin interface {
	Status(ctx context.Context) Status
	Reconcile(ctx context.Context) (reconcile.Report, error)
	Change(ctx context.Context, c Change) (Network, error)
	Invite(ctx context.Context, name string) (string, error)
	Join(ctx context.Context, invitation string) (Joined, error)
	Forget(ctx context.Context, host string) ([]string, error)
	Hosts(ctx context.Context) ([]Host, error)
	Rotate(ctx context.Context, end bool) error
}

// Host is another host of the same OVN.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"` // where tunnels to it end
	Tunnels string `json:"tunnels"`           // "geneve", "vxlan" or both, by commas
	Way     string `json:"way"`               // "ok", "no answer", "not looked at", or why there is none
}

// Joined is what a host has joined, and as whom.
type Joined struct {
	Name string `json:"name"`
	NB   string `json:"northbound"`
	SB   string `json:"southbound"`
	Note string `json:"note,omitempty"` // what is left to be done
}

// Serve answers until the listener is closed.
func Serve(l net.Listener, p Plugin) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		answer(w, http.StatusOK, p.Status(ctx))
	})
	mux.HandleFunc("POST "+reconcilePath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), reconcileWithin)
		defer cancel()
		done, err := p.Reconcile(ctx)
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		answer(w, http.StatusOK, done)
	})
	mux.HandleFunc("GET "+hostsPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), joinWithin)
		defer cancel()
		hosts, err := p.Hosts(ctx)
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		answer(w, http.StatusOK, hosts)
	})
	mux.HandleFunc("POST "+changePath, serve(changeWithin, "what is to change", p.Change))
	mux.HandleFunc("POST "+invitePath, serve(joinWithin, "who is invited", p.Invite))
	mux.HandleFunc("POST "+forgetPath, serve(joinWithin, "which host is gone", p.Forget))
	mux.HandleFunc("POST "+rotatePath, serve(joinWithin, "whether to end", func(ctx context.Context, end bool) (struct{}, error) {
		return struct{}{}, p.Rotate(ctx, end)
	}))
	mux.HandleFunc("POST "+joinPath, serve(joinWithin, "an invitation", p.Join))
	profiles(mux)
	server := http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving the control socket: %w", err)
	}
	return nil
}

// serve answers requests with a body.
func serve[T, U any](within time.Duration, what string, do func(context.Context, T) (U, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		var asked T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&asked); err != nil {
			answer(w, http.StatusBadRequest, problem{fmt.Sprintf("reading %s: %v", what, err)})
			return
		}
		done, err := do(ctx, asked)
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		answer(w, http.StatusOK, done)
	}
}

// problem is the answer to what could not be done.
type problem struct {
	Err string `json:"err"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the asker has gone
}

// Ask asks the plugin behind the socket for its status.
func Ask(ctx context.Context, socket string) (Status, error) {
	var s Status
	return s, call(ctx, socket, http.MethodGet, statusPath, askWithin, nil, &s)
}

// Reconcile has the plugin behind the socket compare what there is with its
// records and with Docker's lists, now, and returns what it has done since it
// started.
func Reconcile(ctx context.Context, socket string) (reconcile.Report, error) {
	var r reconcile.Report
	return r, call(ctx, socket, http.MethodPost, reconcilePath, reconcileWithin, nil, &r)
}

// Ask has the plugin behind the socket change a network, and returns that.
func (c Change) Ask(ctx context.Context, socket string) (Network, error) {
	var n Network
	return n, call(ctx, socket, http.MethodPost, changePath, changeWithin, c, &n)
}

// Invite has the plugin behind the socket make an invitation for a host.
func Invite(ctx context.Context, socket, name string) (string, error) {
	var text string
	return text, call(ctx, socket, http.MethodPost, invitePath, joinWithin, name, &text)
}

// Join has the plugin behind the socket accept an invitation.
func Join(ctx context.Context, socket, invitation string) (Joined, error) {
	var j Joined
	return j, call(ctx, socket, http.MethodPost, joinPath, joinWithin, invitation, &j)
}

// Forget has the plugin behind the socket remove what a host has in OVN that is gone for
// good, and returns what that was.
func Forget(ctx context.Context, socket, host string) ([]string, error) {
	var done []string
	return done, call(ctx, socket, http.MethodPost, forgetPath, joinWithin, host, &done)
}

// Rotate has the plugin behind the socket begin, or end, to put another authority in the
// place of the one that signs the certificates of hosts.
func Rotate(ctx context.Context, socket string, end bool) error {
	return call(ctx, socket, http.MethodPost, rotatePath, joinWithin, end, &struct{}{})
}

// Hosts has the plugin behind the socket look at the hosts that share its OVN.
func Hosts(ctx context.Context, socket string) ([]Host, error) {
	var all []Host
	return all, call(ctx, socket, http.MethodGet, hostsPath, joinWithin, nil, &all)
}

func call(ctx context.Context, socket, method, path string, within time.Duration, ask, into any) error {
	client := http.Client{Timeout: within, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("asking the plugin: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://plugin"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the plugin: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the plugin at %q, is it enabled (docker plugin ls)? %w", socket, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var p problem
		if err := json.NewDecoder(res.Body).Decode(&p); err == nil && p.Err != "" {
			return errors.New(p.Err)
		}
		return fmt.Errorf("asking the plugin at %q: it answers %s, is it of another version?", socket, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("reading the plugin's answer: %w", err)
	}
	return nil
}
