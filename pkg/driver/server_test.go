package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// calls are those that change something.
var calls = []string{"CreateNetwork", "DeleteNetwork", "CreateEndpoint", "DeleteEndpoint", "Join", "Leave"}

// A body that is missing or broken is an error, and nothing is done.
func TestBadBody(t *testing.T) {
	p := newPlugin(t)
	send := p.serve(t, nil)
	p.ok(t, "CreateNetwork", network(1, "ls"))
	p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
	before := p.list()
	for _, call := range calls {
		for body, want := range map[string]string{"": "without its body", "{": "reading dockerd's request", "[]": "reading dockerd's request"} {
			status, answer := send(call, []byte(body))
			if text, _ := answer["Err"].(string); status != http.StatusInternalServerError || !strings.Contains(text, want) {
				t.Errorf("%s %q: %d %v", call, body, status, answer)
			}
		}
	}
	if got := p.list(); !slices.Equal(got, before) {
		t.Errorf("there is %q, before %q", got, before)
	}
	p.tidy(t)
}

// A process that cannot serve says why, to every call but those that dockerd
// makes to know the plugin.
func TestRefusal(t *testing.T) {
	p := newPlugin(t)
	p.serve(t, errors.New("state in use by another process"))
	for _, call := range calls {
		p.fails(t, "state in use by another process", call, endpoint(1, 10, 2))
	}
	if answer := p.ok(t, "GetCapabilities", nil); answer["Scope"] != "local" {
		t.Errorf("capabilities %v", answer)
	}
}

// A panic is the answer of its call; the next ones are served, and no lock is
// left behind.
func TestPanic(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.onRun(func(_ context.Context, program string, _ [][]string) error {
			if program == "ensure controller" {
				panic("oops")
			}
			return nil
		})
		p.fails(t, "a defect of the plugin: oops", "CreateNetwork", network(1, "ls"))
		p.onRun(nil)
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.tidy(t)
	})
}

// A call that comes again is answered again, and does nothing.
func TestRepeatedCalls(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateNetwork", network(1, "ls"))
		first := fmt.Sprint(p.ok(t, "CreateEndpoint", endpoint(1, 10, 2)))
		if again := fmt.Sprint(p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))); again != first {
			t.Errorf("answered %s, at first %s", again, first)
		}
		p.fails(t, "there already", "CreateEndpoint", endpoint(1, 10, 3))
		p.tidy(t)
		for range 2 {
			p.ok(t, "Join", endpoint(1, 10, 2))
		}
		for range 2 {
			p.ok(t, "Leave", endpoint(1, 10, 2))
		}
		for range 2 {
			p.ok(t, "DeleteEndpoint", endpoint(1, 10, 2))
		}
		for range 2 {
			p.ok(t, "DeleteNetwork", network(1, "ls"))
		}
		if got := p.list(); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
		if p.made["switch ls"] != 1 {
			t.Errorf("made: %v", p.made)
		}
	})
}

func parallel(n int, do func(i int)) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	return &all
}

// Fifty containers at once, through their whole lives, with OVN away for a
// part of it.
func TestManyEndpoints(t *testing.T) {
	for _, away := range []bool{false, true} {
		bubble(t, func(t *testing.T, p *plugin) {
			p.ok(t, "CreateNetwork", network(1, "ls"))
			p.slow(50 * time.Millisecond)
			parallel(50, func(i int) {
				e := endpoint(1, 100+i, 2+i)
				for round := range 3 {
					if away && i == 7 {
						p.setAway(round == 1)
					}
					p.ok(t, "CreateEndpoint", e)
					p.ok(t, "Join", e)
					p.ok(t, "Leave", e)
					if _, err := p.call(t.Context(), "DeleteEndpoint", e); err != nil && !away {
						t.Error(err)
					}
					e = endpoint(1, 200+100*round+i, 2+i)
				}
			}).Wait()
			later()
			p.tidy(t)
			p.ok(t, "DeleteNetwork", network(1, "ls"))
			if got := p.list(); len(got) != 0 {
				t.Errorf("left: %q", got)
			}
		})
	}
}

// Ten networks that name one new switch, at once: it is made once, and goes
// with the last of them.
func TestOneSwitchOfManyNetworks(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		parallel(10, func(i int) { p.ok(t, "CreateNetwork", network(1+i, "ls")) }).Wait()
		if p.made["switch ls"] != 1 {
			t.Errorf("made: %v", p.made)
		}
		p.tidy(t)
		parallel(9, func(i int) { p.ok(t, "DeleteNetwork", network(1+i, "ls")) }).Wait()
		p.tidy(t)
		p.ok(t, "DeleteNetwork", network(10, "ls"))
		if got := p.list(); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	})
}

// The lock of the switch is enough for that, whoever makes the networks.
func TestOneSwitchWithoutTheChassisLock(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "other"))
		p.onRun(func(context.Context, string, [][]string) error { <-time.After(time.Millisecond); return nil })
		n, _ := p.records.Networks.Get(id(1))
		n.Data.Options.Switch = "ls"
		parallel(10, func(i int) {
			mine := n.Data
			mine.ID = id(2 + i)
			if err := p.records.AddNetwork(t.Context(), mine, nil); err != nil {
				t.Error(err)
			}
		}).Wait()
		if p.made["switch ls"] != 1 {
			t.Errorf("made: %v", p.made)
		}
	})
}

// An endpoint that comes while its network goes is refused, or goes with it.
func TestEndpointOfDyingNetwork(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		for i := range 100 {
			p.ok(t, "CreateNetwork", network(1+i, "ls"))
			p.onRun(func(_ context.Context, program string, ops [][]string) error {
				if program == "ovn-nbctl" && ops[0][0] == "lsp-add" {
					<-time.After(time.Millisecond) // the removal's turn
				}
				return nil
			})
			all := parallel(4, func(k int) { _, _ = p.call(t.Context(), "CreateEndpoint", endpoint(1+i, 1000+10*i+k, 2+k)) })
			p.ok(t, "DeleteNetwork", network(1+i, "ls"))
			all.Wait()
			if got := p.list(); len(got) != 0 || p.records.Endpoints.Len() != 0 {
				t.Fatalf("left: %q", got)
			}
		}
	})
}

// A stop waits for the calls that are being worked on and refuses new ones.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.slow(3 * time.Second)
		var joining sync.WaitGroup
		joining.Go(func() { p.ok(t, "Join", endpoint(1, 10, 2)) })
		synctest.Wait()
		took := stopwatch()
		var draining sync.WaitGroup
		draining.Go(func() {
			if err := p.server.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if took() != 3*time.Second {
				t.Errorf("drained after %s", took())
			}
		})
		synctest.Wait()
		p.fails(t, "being stopped", "CreateEndpoint", endpoint(1, 11, 3))
		draining.Wait()
		joining.Wait()
		p.tidy(t)
	})
}

// A stop does not wait for ever.
func TestDrainGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, p *plugin) {
		p.ok(t, "CreateNetwork", network(1, "ls"))
		p.ok(t, "CreateEndpoint", endpoint(1, 10, 2))
		p.slow(9 * time.Second)
		var joining sync.WaitGroup
		joining.Go(func() { p.ok(t, "Join", endpoint(1, 10, 2)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if err := p.server.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		joining.Wait()
	})
}
