package reconcile

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
)

// Report is what recovery found and did since the plugin started.
type Report struct {
	Mode     string    `json:"mode"`     // of recovery: strict, lenient, skip
	At       time.Time `json:"at"`       // of the last change of the report
	Restored Restored  `json:"restored"` // what was read from the state files at start
	// The others are sentences for people, the newest last.
	Dropped   []string `json:"dropped,omitempty"`    // state files that were not used, and why
	TakenBack []string `json:"taken_back,omitempty"` // half-made when the last process ended
	Repaired  []string `json:"repaired,omitempty"`   // missing in OVN or Open vSwitch, and made again
	Rebuilt   []string `json:"rebuilt,omitempty"`    // without a record, and rebuilt from what Docker knows
	Collected []string `json:"collected,omitempty"`  // removed, for Docker does not have it any more
	// Failed is what could not be rebuilt so far, and why.
	Failed []string `json:"failed,omitempty"`
	// Unsettled is what of networks cannot be made as things are, and why.
	Unsettled []string `json:"unsettled,omitempty"`
}

// Restored counts records.
type Restored struct {
	Networks  int `json:"networks"`
	Endpoints int `json:"endpoints"`
}

// kept is how many sentences of a kind a report keeps.
const kept = 50

type kind int

const (
	takenBack kind = iota
	repaired
	rebuiltAgain
	collected
)

// note adds a sentence to the report and to the log.
func (r *Reconciler) note(k kind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	list, verb := &r.report.TakenBack, "taken back what was half-made"
	switch k {
	case takenBack:
	case repaired:
		list, verb = &r.report.Repaired, "restored what was missing"
	case rebuiltAgain:
		list, verb = &r.report.Rebuilt, "restored from what Docker knows"
	case collected:
		list, verb = &r.report.Collected, "removed what Docker does not have"
	}
	*list = append(*list, text)
	if len(*list) > kept {
		*list = slices.Delete(*list, 0, len(*list)-kept)
	}
	r.report.At, r.unsaved = time.Now().UTC().Truncate(time.Second), true
	r.Log.Info(verb, zap.String("what", text))
}

// failed replaces what could not be rebuilt.
func (r *Reconciler) failed(reasons []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, err := range reasons {
		if err != nil {
			list = append(list, err.Error())
		}
	}
	if !slices.Equal(list, r.report.Failed) {
		r.report.Failed = list
		r.report.At, r.unsaved = time.Now().UTC().Truncate(time.Second), true
	}
}

// open is a part of a network that cannot be made as things are.
type open struct {
	network string
	where   place
}

// place is where a part of a network belongs.
type place int

const (
	inOVN place = iota
	onHost
	inMirrors
)

// unsettled notes why a part of a network cannot be made until something else
// changes; nil for nothing. It is logged once: it is no reason to look at everything
// again soon.
func (r *Reconciler) unsettled(where place, network string, reason error) {
	key := open{network, where}
	text := ""
	if reason != nil {
		text = fmt.Sprintf("network %.12s: %v", network, reason)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[key] == text {
		return
	}
	if r.open == nil {
		r.open = map[open]string{}
	}
	if r.open[key] = text; text == "" {
		delete(r.open, key)
	} else {
		r.Log.Warn("a part of a network cannot be made until something else changes", zap.String("what", text))
	}
	r.report.At, r.unsaved = time.Now().UTC().Truncate(time.Second), true
}

// Report returns what recovery has found and done so far.
func (r *Reconciler) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.report
	c.Dropped, c.TakenBack = slices.Clone(c.Dropped), slices.Clone(c.TakenBack)
	c.Failed = slices.Clone(c.Failed)
	for at, text := range r.open {
		if _, there := r.Records.Networks.Get(at.network); there {
			c.Unsettled = append(c.Unsettled, text)
		}
	}
	slices.Sort(c.Unsettled)
	c.Repaired, c.Rebuilt, c.Collected = slices.Clone(c.Repaired), slices.Clone(c.Rebuilt), slices.Clone(c.Collected)
	return c
}

// ReportFile is the report's name in the data directory.
const ReportFile = "recovery.json"

// save writes the report where an administrator finds it after the process has
// ended.
func (r *Reconciler) save() {
	r.mu.Lock()
	changed := r.unsaved
	r.unsaved = false
	r.mu.Unlock()
	if !changed {
		return
	}
	if err := r.Store.WriteView(ReportFile, r.Report()); err != nil {
		r.Log.Warn("the report of the recovery could not be written", zap.Error(err))
	}
}

// begin starts the report with what was read.
func (r *Reconciler) begin(found store.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report = Report{Mode: r.Mode, At: r.started.UTC().Truncate(time.Second)}
	for _, d := range found.Dropped {
		r.report.Dropped = append(r.report.Dropped, d.String())
	}
	r.report.Restored = Restored{Networks: r.Records.Networks.Len(), Endpoints: r.Records.Endpoints.Len()}
	r.unsaved = true
}
