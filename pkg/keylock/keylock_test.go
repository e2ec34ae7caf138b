package keylock

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestOneAtATime(t *testing.T) {
	var l Locks
	count := map[string]int{}
	var all sync.WaitGroup
	for i := range 200 {
		key := string(rune('a' + i%2))
		all.Go(func() {
			unlock, err := l.Lock(context.Background(), key)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			l.mu.Lock() // the map itself is shared by both keys
			n := count[key]
			l.mu.Unlock()
			l.mu.Lock()
			count[key] = n + 1
			l.mu.Unlock()
		})
	}
	all.Wait()
	if count["a"] != 100 || count["b"] != 100 {
		t.Errorf("lost updates: %v", count)
	}
	if len(l.held) != 0 {
		t.Errorf("%d locks are still kept", len(l.held))
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	var l Locks
	unlock, err := l.Lock(context.Background(), "k")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Lock(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, err := l.Lock(context.Background(), "other"); err != nil {
		t.Errorf("another key is locked too: %v", err)
	}
	unlock()
	if unlock, err = l.Lock(context.Background(), "k"); err != nil {
		t.Fatal(err)
	}
	unlock()
}
