package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// groupLimit bounds how many chains are committed together: one that is refused
// has all of them tried again, half by half.
const groupLimit = 64

// group commits the chains for one database: those that come while one is on its
// way wait, and go together in the next invocation, as databases do with their
// logs. A chain that comes alone goes at once, alone.
type group struct {
	program string
	commit  func(ctx context.Context, ops []plan.Op) error
	claims  func(ops []plan.Op) []string // what only one chain of a transaction may have; nil for nothing

	mu      sync.Mutex
	waiting []*chain
	busy    bool
}

// chain is one that waits for its commit.
type chain struct {
	ctx  context.Context
	ops  []plan.Op
	done chan error // has room for the outcome of one that nobody waits for any more
}

// do commits a chain, and returns when that is done, or its time is over: then it
// may be committed all the same.
func (g *group) do(ctx context.Context, ops []plan.Op) error {
	c := &chain{ctx: ctx, ops: ops, done: make(chan error, 1)}
	if ctx.Err() != nil {
		return g.stopped(c)
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	begin := !g.busy
	g.busy = true
	g.mu.Unlock()
	if begin {
		go g.work() //nolint:contextcheck // each chain has its own
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return g.stopped(c)
	}
}

// stopped is the outcome of a chain whose time is over.
func (g *group) stopped(c *chain) error {
	return &CommandError{Argv: g.argv(c), Stopped: true, Err: context.Cause(c.ctx)}
}

func (g *group) argv(c *chain) []string { return append([]string{g.program}, words(c.ops)...) }

// work commits what waits until nothing does.
func (g *group) work() {
	for {
		g.mu.Lock()
		n := g.next()
		together := g.waiting[:n]
		g.waiting = slices.Clone(g.waiting[n:])
		g.busy = n > 0
		g.mu.Unlock()
		if n == 0 {
			return
		}
		g.together(together)
	}
}

// next returns how many of those that wait go together; the lock is held.
func (g *group) next() int {
	claimed := map[string]bool{}
	for i, c := range g.waiting {
		if i == groupLimit {
			return i
		}
		if g.claims == nil {
			continue
		}
		for _, claim := range g.claims(c.ops) {
			if claimed[claim] {
				return i
			}
			claimed[claim] = true
		}
	}
	return len(g.waiting)
}

func (g *group) together(all []*chain) {
	all = slices.DeleteFunc(all, func(c *chain) bool {
		over := c.ctx.Err() != nil // whoever gave up must not find it made, later
		if over {
			c.done <- g.stopped(c)
		}
		return over
	})
	switch len(all) {
	case 0:
		return
	case 1:
		all[0].done <- g.commit(all[0].ctx, all[0].ops)
		return
	}
	var ops []plan.Op
	for _, c := range all {
		ops = append(ops, c.ops...)
	}
	ctx, cancel := lasting(all)
	defer cancel()
	err := g.commit(ctx, ops)
	if didNothing(err) {
		// It did nothing, and which of them is to blame it does not say: one is found by halves.
		g.together(slices.Clone(all[:len(all)/2]))
		g.together(slices.Clone(all[len(all)/2:]))
		return
	}
	for _, c := range all {
		c.done <- g.ofOne(c, err)
	}
}

// ofOne is an error that several chains have, for one of them: it names that one's commands.
func (g *group) ofOne(c *chain, err error) error {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return err
	}
	own := *failed
	own.Argv = g.argv(c)
	return &own
}

// didNothing reports whether a chain has done nothing, and the database is there.
func didNothing(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && !failed.Stopped && !IsUnreachable(err)
}

// lasting returns a context with the time of the chain that has most.
func lasting(all []*chain) (context.Context, context.CancelFunc) {
	var last time.Time
	for _, c := range all {
		if deadline, ok := c.ctx.Deadline(); ok && deadline.After(last) {
			last = deadline
		}
	}
	ctx := context.WithoutCancel(all[0].ctx)
	if last.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, last)
}
