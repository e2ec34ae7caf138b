package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// await polls until ready says so, or that there is nothing to wait for. The last error explains what was missing when the
// context ends.
func await(ctx context.Context, what string, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if errors.As(err, new(*endedError)) {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// endedError ends a wait: what is waited for will not come any more.
type endedError struct{ error }

func (e *endedError) Unwrap() error { return e.error }

// lockLimit is for a lock that another run has while it makes images or uses a cluster of the same name.
const lockLimit = 15 * time.Minute

// lockFile takes a lock, for the process alone or with others.
func lockFile(ctx context.Context, path string, shared bool) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	lock := flock.New(path)
	take := lock.TryLockContext
	if shared {
		take = lock.TryRLockContext
	}
	if ok, err := take(ctx, 100*time.Millisecond); !ok {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return lock, nil
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
