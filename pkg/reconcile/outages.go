package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Outages knows which northbound databases do not answer. One that does is
// never asked; one that does not is asked once a second, by Reconciler.Watch.
type Outages struct {
	probe func(ctx context.Context, nb string) error

	mu    sync.Mutex
	away  map[string]time.Time // since when
	awake chan struct{}
}

// NewOutages returns the knowledge that all is well. Probe returns nil when the
// database at the connection answers.
func NewOutages(probe func(ctx context.Context, nb string) error) *Outages {
	return &Outages{probe: probe, away: map[string]time.Time{}, awake: make(chan struct{}, 1)}
}

// Down reports whether the database is known not to answer.
func (o *Outages) Down(nb string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, down := o.away[nb]
	return down
}

// Report says that the database did not answer, or that a record waits for it.
func (o *Outages) Report(nb string) {
	o.mu.Lock()
	if _, known := o.away[nb]; !known {
		o.away[nb] = time.Now()
	}
	o.mu.Unlock()
	select {
	case o.awake <- struct{}{}:
	default:
	}
}

// List returns the databases that do not answer, and since when.
func (o *Outages) List() map[string]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make(map[string]time.Time, len(o.away))
	for nb, since := range o.away {
		list[nb] = since
	}
	return list
}

// back asks the databases that are away, and returns those that answer again.
func (o *Outages) back(ctx context.Context) []string {
	var back []string
	for nb := range o.List() {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		if o.probe(ctx, nb) == nil {
			back = append(back, nb)
		}
		cancel()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, nb := range back {
		delete(o.away, nb)
	}
	slices.Sort(back)
	return back
}
