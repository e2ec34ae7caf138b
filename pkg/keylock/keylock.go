// Package keylock is a lock for each key: requests for one endpoint, or for one
// shared object, wait for each other, and all others run in parallel. Waiting
// ends with the context, because every caller has a client that gives up.
package keylock

import (
	"context"
	"fmt"
	"sync"
)

// Locks is a set of locks; the zero value is ready for use. A key costs memory
// only while somebody holds it or waits for it.
type Locks struct {
	mu   sync.Mutex
	held map[string]*entry
}

type entry struct {
	token chan struct{} // holds one value while nobody has the lock
	users int
}

// Lock waits for the key's lock and returns the function that gives it back.
// It fails when the context ends first.
func (l *Locks) Lock(ctx context.Context, key string) (func(), error) {
	e := l.enter(key)
	select {
	case <-e.token:
		return l.release(key, e), nil
	case <-ctx.Done():
		l.leave(key, e)
		return nil, fmt.Errorf("waiting for another request on %q to end: %w", key, context.Cause(ctx))
	}
}

// Wait is Lock for work that is finished whatever becomes of its caller.
func (l *Locks) Wait(key string) func() {
	e := l.enter(key)
	<-e.token
	return l.release(key, e)
}

func (l *Locks) enter(key string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*entry{}
	}
	e := l.held[key]
	if e == nil {
		e = &entry{token: make(chan struct{}, 1)}
		e.token <- struct{}{}
		l.held[key] = e
	}
	e.users++
	return e
}

func (l *Locks) release(key string, e *entry) func() {
	return func() {
		e.token <- struct{}{}
		l.leave(key, e)
	}
}

func (l *Locks) leave(key string, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(l.held, key)
	}
}
