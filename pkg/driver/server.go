package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/docker/go-plugins-helpers/network"
	"github.com/docker/go-plugins-helpers/sdk"
	"go.uber.org/zap"
)

const (
	// answerWithin is the time that a handler has, but for taking back what it
	// did. dockerd waits 30 s, or for ever after it has restarted itself or the
	// plugin.
	answerWithin = 18 * time.Second
	// bodyLimit bounds a request: 200 published ports are 40 KiB.
	bodyLimit = 8 << 20
)

// errRepeated answers a request without a body.
var errRepeated = errors.New("dockerd repeated the request without its body after the first try was cut off: nothing was done, try again")

// empty is the answer of the calls that answer nothing.
type empty struct{}

// Server serves the protocol on a listener.
type Server struct {
	handler sdk.Handler
	log     *zap.Logger
	refusal error

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup
}

// NewServer returns a server of the driver's calls. With a refusal, which says
// why this process cannot serve, all calls that would change something are
// answered with it: a plugin that exits is disabled by dockerd, or restarted in
// a loop, and nobody reads why.
func NewServer(d *Driver, log *zap.Logger, refusal error) *Server {
	s := &Server{handler: sdk.NewHandler(`{"Implements": ["NetworkDriver", "IpamDriver"]}`), log: log, refusal: refusal}
	s.handler.HandleFunc("/NetworkDriver.GetCapabilities", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, network.CapabilitiesResponse{Scope: network.LocalScope, ConnectivityScope: network.LocalScope})
	})
	handle(s, "NetworkDriver.CreateNetwork", d.createNetwork)
	handle(s, "NetworkDriver.DeleteNetwork", d.deleteNetwork)
	handle(s, "NetworkDriver.CreateEndpoint", d.createEndpoint)
	handle(s, "NetworkDriver.EndpointOperInfo", d.endpointInfo)
	handle(s, "NetworkDriver.DeleteEndpoint", d.deleteEndpoint)
	handle(s, "NetworkDriver.Join", d.join)
	handle(s, "NetworkDriver.Leave", d.leave)
	handle(s, "NetworkDriver.ProgramExternalConnectivity", d.programExternalConnectivity)
	handle(s, "NetworkDriver.RevokeExternalConnectivity", d.revokeExternalConnectivity)
	handle(s, "NetworkDriver.DiscoverNew", ignore[network.DiscoveryNotification])
	handle(s, "NetworkDriver.DiscoverDelete", ignore[network.DiscoveryNotification])
	s.handler.HandleFunc("/IpamDriver.GetCapabilities", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, addressCapabilities{RequiresRequestReplay: true})
	})
	s.handler.HandleFunc("/IpamDriver.GetDefaultAddressSpaces", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, spaces())
	})
	handle(s, "IpamDriver.RequestPool", d.requestPool)
	handle(s, "IpamDriver.ReleasePool", d.releasePool)
	handle(s, "IpamDriver.RequestAddress", d.requestAddress)
	handle(s, "IpamDriver.ReleaseAddress", d.releaseAddress)
	return s
}

// ignore answers the calls about nodes of a swarm, which a driver of local
// scope has no use for.
func ignore[Request any](context.Context, Request) (empty, error) { return empty{}, nil }

// Serve answers requests until the listener is closed.
func (s *Server) Serve(l net.Listener) error {
	if err := s.handler.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving the plugin's socket: %w", err)
	}
	return nil
}

// Drain waits until the requests that are being worked on have been answered,
// and refuses new ones. It gives up when the context ends.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.calls.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for requests to end: %w", context.Cause(ctx))
	}
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.calls.Add(1)
	}
	return !s.closing
}

// handle adds the route of one call: its body is decoded into Request, what fn
// returns is the answer, and an error or a panic is an answer too.
func handle[Request, Response any](s *Server, call string, fn func(context.Context, Request) (Response, error)) {
	s.handler.HandleFunc("/"+call, func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			s.fail(w, call, errors.New("the plugin is being stopped: try again in a moment"))
			return
		}
		defer s.calls.Done()
		started := time.Now()
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic", zap.String("call", call), zap.Any("value", p), zap.ByteString("stack", debug.Stack()))
				s.fail(w, call, fmt.Errorf("a defect of the plugin: %v (its log has the details)", p))
			}
		}()
		if s.refusal != nil {
			s.fail(w, call, s.refusal)
			return
		}
		var req Request
		if err := decode(w, r, &req); err != nil {
			s.fail(w, call, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		res, err := fn(ctx, req)
		if err != nil {
			s.fail(w, call, err)
			return
		}
		s.log.Debug("answered", zap.String("call", call), zap.Duration("took", time.Since(started)))
		s.answer(w, res)
	})
}

func decode(w http.ResponseWriter, r *http.Request, req any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("reading dockerd's request: %w", err)
	}
	if len(body) == 0 {
		return errRepeated
	}
	if err := json.Unmarshal(body, req); err != nil {
		return fmt.Errorf("reading dockerd's request: %w", err)
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, res any) {
	w.Header().Set("Content-Type", sdk.DefaultContentTypeV1_1)
	if err := json.NewEncoder(w).Encode(res); err != nil {
		s.log.Warn("dockerd did not take the answer", zap.Error(err))
	}
}

// fail answers an error. dockerd prints the text after the name of the call,
// or, for the calls whose errors it ignores, writes it to its log; the
// plugin's log is the only place that has all of them.
func (s *Server) fail(w http.ResponseWriter, call string, err error) {
	s.log.Error("call failed", zap.String("call", call), zap.Error(err))
	w.Header().Set("Content-Type", sdk.DefaultContentTypeV1_1)
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(network.ErrorResponse{Err: err.Error()})
}
