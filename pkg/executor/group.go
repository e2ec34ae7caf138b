package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// groupLimit bounds how many chains are committed together. One that is refused
// has all of them tried again, each by itself.
const groupLimit = 64

// group commits the chains for one database: those that come while one is on its
// way wait, and go together in the next invocation, as databases do with their
// logs. A chain that comes alone goes at once, alone.
type group struct {
	program string
	commit  func(ctx context.Context, ops []plan.Op) error

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
		return &CommandError{Argv: slices.Concat([]string{g.program}, ops[0].Do), Stopped: true, Err: context.Cause(ctx)}
	}
}

// work commits what waits until nothing does.
func (g *group) work() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), groupLimit)
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

func (g *group) together(all []*chain) {
	all = slices.DeleteFunc(all, func(c *chain) bool {
		over := c.ctx.Err() != nil // whoever gave up must not find it made, later
		if over {
			c.done <- context.Cause(c.ctx)
		}
		return over
	})
	if len(all) == 0 {
		return
	}
	var ops []plan.Op
	for _, c := range all {
		ops = append(ops, c.ops...)
	}
	ctx, cancel := lasting(all)
	defer cancel()
	err := g.commit(ctx, ops)
	for _, c := range all {
		if len(all) > 1 && didNothing(err) {
			// It did nothing, and which of them is to blame it does not say.
			c.done <- g.commit(ctx, c.ops)
			continue
		}
		c.done <- err
	}
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
