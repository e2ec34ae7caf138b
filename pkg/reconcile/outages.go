package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Outages knows which northbound databases do not answer, and which ones
// records wait for. A database that answers is never taken for one that is
// down because a record cannot be completed there: every new endpoint would be
// deferred too. Reconciler.Watch asks those that are known here, no others.
type Outages struct {
	probe func(ctx context.Context, nb string) error

	mu    sync.Mutex
	known map[string]*outage
	awake chan struct{}
}

// outage is a database that is down, or that records wait for, or both.
type outage struct {
	since time.Time // when it stopped answering; zero while it answers
	// answers is true of one that answers again, but that may have lost what
	// requests build on. It counts as down until Up.
	answers bool
	next    time.Time // when it is asked again
	pause   time.Duration
	calls   int // of Report and Retry
}

// NewOutages returns the knowledge that all is well. Probe returns nil when the
// database at the connection answers.
func NewOutages(probe func(ctx context.Context, nb string) error) *Outages {
	return &Outages{probe: probe, known: map[string]*outage{}, awake: make(chan struct{}, 1)}
}

// Down reports whether the database is known not to answer.
func (o *Outages) Down(nb string) bool { return !o.Since(nb).IsZero() }

// Since returns since when the database is known not to answer; zero while it does.
func (o *Outages) Since(nb string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have := o.known[nb]; have != nil {
		return have.since
	}
	return time.Time{}
}

// Silent reports whether the database is known not to answer, and has not since.
// Only asking it ends that it answers: what it is slow at, while it is filled, is
// no reason to keep everybody from it for ever.
func (o *Outages) Silent(nb string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.known[nb]
	return have != nil && !have.since.IsZero() && !have.answers
}

// Up says that a database that answers has what requests build on.
func (o *Outages) Up(nb string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have := o.known[nb]; have != nil && have.answers {
		have.since, have.answers = time.Time{}, false
	}
}

// Report says that the database did not answer.
func (o *Outages) Report(nb string) { o.note(nb, true) }

// Retry says that a record waits to be completed or removed, whether the
// database answers or not.
func (o *Outages) Retry(nb string) { o.note(nb, false) }

func (o *Outages) note(nb string, down bool) {
	o.mu.Lock()
	next := time.Now().Add(askEvery)
	have := o.known[nb]
	if have == nil {
		have = &outage{next: next, pause: askEvery}
		o.known[nb] = have
	}
	if down && have.since.IsZero() {
		have.since, have.answers = time.Now(), false
	}
	if next.Before(have.next) {
		have.next = next
	}
	have.calls++
	o.mu.Unlock()
	select {
	case o.awake <- struct{}{}:
	default:
	}
}

// Check asks a database that may have gone away, and notes it when it has.
func (o *Outages) Check(ctx context.Context, nb string) {
	bounded, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	if err := o.probe(bounded, nb); err != nil && ctx.Err() == nil {
		o.Report(nb)
	}
}

// Ask takes the databases for down, each until it has answered, and asks them
// all. It returns when all have answered, or the time is over: nobody should
// find out, request by request, that a database of before a reboot is not
// there yet.
func (o *Outages) Ask(ctx context.Context, within time.Duration, databases map[string]bool) {
	for nb := range databases {
		o.Report(nb)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var all sync.WaitGroup
	for nb := range databases {
		all.Go(func() {
			if answers, _, _ := o.ask(ctx, nb); answers {
				o.Up(nb) // recovery makes what it lost, before any request
			}
		})
	}
	all.Wait()
}

// List returns the databases that do not answer, and since when.
func (o *Outages) List() map[string]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make(map[string]time.Time, len(o.known))
	for nb, have := range o.known {
		if !have.since.IsZero() {
			list[nb] = have.since
		}
	}
	return list
}

// next returns when Watch has something to do; never, when all is well.
func (o *Outages) next() (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first time.Time
	for _, have := range o.known {
		if first.IsZero() || have.next.Before(first) {
			first = have.next
		}
	}
	return first, len(o.known) > 0
}

// due returns the databases whose time has come.
func (o *Outages) due() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for nb, have := range o.known {
		if !have.next.After(time.Now()) {
			all = append(all, nb)
		}
	}
	slices.Sort(all)
	return all
}

// ask asks the database and reports whether it was down and answers again, and
// how often it had been spoken of before.
func (o *Outages) ask(ctx context.Context, nb string) (answers, back bool, calls int) {
	o.mu.Lock()
	calls = o.known[nb].calls
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	err := o.probe(ctx, nb)
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.known[nb]
	if err != nil {
		if have.since.IsZero() {
			have.since = time.Now()
		}
		have.next, have.answers = time.Now().Add(askEvery), false
		return false, false, calls
	}
	have.answers = true
	return true, !have.since.IsZero(), calls
}

// settle ends the work of a database that answers. What was noted since is
// left for the next turn, and what failed for a later one.
func (o *Outages) settle(nb string, calls int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.known[nb]
	switch {
	case !have.since.IsZero():
		have.next = time.Now().Add(askEvery)
	case err != nil:
		have.next = time.Now().Add(have.pause)
		have.pause = min(2*have.pause, maxPause)
	case have.calls != calls:
		have.next, have.pause = time.Now(), askEvery
	default:
		delete(o.known, nb)
	}
}
