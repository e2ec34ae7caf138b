package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovn"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovs"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// undoTimeout bounds taking back a plan that failed.
const undoTimeout = 3 * time.Second

// Executor runs plans and transactions. It is safe for concurrent use.
type Executor struct {
	// Sysctl is where /proc/sys of the host is mounted; "" for /proc/sys.
	Sysctl string
	// TLS returns the folder with ca.pem, cert.pem and key.pem, for databases at ssl:.
	TLS func() string
	// Run is a folder for the sockets of ovn-nbctl's daemons, which nobody else uses; ""
	// for no daemons.
	Run string

	log *zap.Logger

	mu     sync.Mutex
	groups map[string]*group // by program and arguments
	norths []*north

	daemons sync.WaitGroup // that are being started
	closed  atomic.Bool
	closing chan struct{} // closed by Close, with which no daemon is being started any more
}

// New returns an executor that logs every plan at debug level, in a form that
// can be pasted into a shell.
func New(log *zap.Logger) *Executor { return &Executor{log: log, closing: make(chan struct{})} }

// Apply runs the steps of the plan in order. When one fails, what was done is
// taken back; the error is that of the failed step, joined with those of
// taking back.
func (e *Executor) Apply(ctx context.Context, p plan.Plan) error {
	if p.Empty() {
		return nil
	}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("checking the plan: %w", err)
	}
	if e.log.Core().Enabled(zap.DebugLevel) {
		e.log.Debug("plan\n" + p.String())
	}
	for i := 0; i < len(p.Steps); {
		n := i + 1
		for n < len(p.Steps) && p.Steps[n].Beside {
			n++
		}
		failed, err := e.steps(ctx, p.Steps[i:n])
		if err != nil {
			return errors.Join(err, e.undo(ctx, plan.Plan{Steps: slices.Concat(p.Steps[:i], failed)}))
		}
		i = n
	}
	return nil
}

// steps runs steps beside each other, and returns those that have done something,
// or may have, and why others failed.
func (e *Executor) steps(ctx context.Context, all []plan.Step) (done []plan.Step, _ error) {
	errs := make([]error, len(all))
	var beside sync.WaitGroup
	for i, s := range all[1:] {
		beside.Go(func() { errs[i+1] = e.step(ctx, s) })
	}
	errs[0] = e.step(ctx, all[0])
	beside.Wait()
	for i, s := range all {
		if errs[i] == nil || partial(s, errs[i]) {
			done = append(done, s)
		}
	}
	return done, errors.Join(errs...)
}

// Undo takes back what the plan made, as far as possible: a step that fails
// does not keep the others from being taken back.
func (e *Executor) Undo(ctx context.Context, p plan.Plan) error {
	back := p.Reverse()
	if err := back.Validate(); err != nil {
		return fmt.Errorf("checking the plan: %w", err)
	}
	if !back.Empty() && e.log.Core().Enabled(zap.DebugLevel) {
		e.log.Debug("plan taken back\n" + back.String())
	}
	var all []error
	for i, step := range back.Steps {
		if err := e.share(ctx, step, len(back.Steps)-i); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// share runs a step with its share of the time that is left, so that one that
// hangs leaves time to the others.
func (e *Executor) share(ctx context.Context, s plan.Step, steps int) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(steps))
		defer cancel()
	}
	return e.step(ctx, s)
}

func (e *Executor) undo(ctx context.Context, p plan.Plan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := e.Undo(ctx, p); err != nil {
		return fmt.Errorf("taking back what was done: %w", err)
	}
	return nil
}

// partial reports whether a step that failed may have done something.
func partial(step plan.Step, err error) bool {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return false
	}
	switch step.Target.Form {
	case plan.Batch:
		return !firstFailed(err)
	case plan.Each:
		return failed.Stopped || len(step.Ops) > 1
	default:
		return failed.Stopped
	}
}

func (e *Executor) step(ctx context.Context, s plan.Step) error {
	switch s.Target.Form {
	case plan.Chain:
		if together(s) {
			return e.group(s.Target).do(ctx, s.Ops)
		}
		return e.chain(ctx, s.Target, s.Ops)
	case plan.Batch:
		return e.batch(ctx, s)
	default:
		for _, op := range s.Ops {
			if s.Target.Program == "sysctl" {
				if err := e.sysctl(op.Do[0]); err != nil {
					return err
				}
				continue
			}
			out, err := e.run(ctx, "", s.Target.Program, append(slices.Clone(s.Target.Args), op.Do...)...)
			if err == nil && s.Target.Program == "ovsdb-client" {
				_, err = ovsdb.ParseReply(out)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// together reports whether the chain may be committed with others, in one
// transaction: those of endpoints, which many containers have at once, and which
// wait for nobody.
func together(s plan.Step) bool {
	switch s.Target.Program {
	case "ovn-nbctl":
		_, direct := ovn.Direct(s.Ops)
		return direct
	case "ovs-vsctl":
		return slices.Contains(s.Target.Args, "--no-wait")
	}
	return false
}

// chain runs the commands as one transaction.
func (e *Executor) chain(ctx context.Context, t plan.Target, ops []plan.Op) error {
	_, err := e.run(ctx, "", t.Program, slices.Concat(t.Args, words(ops))...)
	return err
}

// local commits chains of ovs-vsctl, which reads all ports of the host before it
// does anything. What ovs.Direct can say without that goes by ovsdb-client, and
// plainly when it is refused: a port may be there already.
func (e *Executor) local(ctx context.Context, t plan.Target, ops []plan.Op) error {
	for _, arg := range t.Args {
		db, ok := strings.CutPrefix(arg, "--db=")
		if !ok {
			continue
		}
		if direct, ok := ovs.Direct(db, ops); ok {
			if _, err := e.Transact(ctx, direct); err == nil {
				return nil
			}
		}
	}
	return e.chain(ctx, t, ops)
}

// words are the commands of a chain as arguments.
func words(ops []plan.Op) []string {
	var args []string
	for i, op := range ops {
		if i > 0 {
			args = append(args, "--")
		}
		args = append(args, op.Do...)
	}
	return args
}

// group returns the one that commits the chains of a target.
func (e *Executor) group(t plan.Target) *group {
	key := strings.Join(append([]string{t.Program}, t.Args...), " ")
	e.mu.Lock()
	defer e.mu.Unlock()
	if g := e.groups[key]; g != nil {
		return g
	}
	g := &group{program: t.Program}
	if t.Program == "ovn-nbctl" {
		n := &north{e: e, args: t.Args, name: fmt.Sprintf("nb%d", len(e.norths))}
		e.norths = append(e.norths, n)
		g.commit, g.claims = n.commit, ovn.Claims
	} else {
		g.commit = func(ctx context.Context, ops []plan.Op) error { return e.local(ctx, t, ops) }
	}
	if e.groups == nil {
		e.groups = map[string]*group{}
	}
	e.groups[key] = g
	return g
}

// batch runs a step of ip(8). A removal goes on after a command that fails, and
// what is gone already is no failure.
func (e *Executor) batch(ctx context.Context, s plan.Step) error {
	var lines strings.Builder
	for _, op := range s.Ops {
		lines.WriteString(strings.Join(op.Do, " ") + "\n")
	}
	args := s.Target.Args
	if s.Removal {
		args = append([]string{"-force"}, args...)
	}
	_, err := e.run(ctx, lines.String(), s.Target.Program, args...)
	if err != nil && s.Removal && onlyMissing(err) {
		return nil
	}
	return err
}

// Transact runs a transaction and returns the answer to each operation. It
// fails with ovsdb.ErrTimedOut when an ovsdb.Wait did not come true.
func (e *Executor) Transact(ctx context.Context, t ovsdb.Transaction) ([]ovsdb.Result, error) {
	s := t.Step()
	out, err := e.run(ctx, "", s.Target.Program, append(slices.Clone(s.Target.Args), s.Ops[0].Do...)...)
	if err != nil {
		if IsUnreachable(err) {
			e.lost(t.Server)
		}
		return nil, err
	}
	return ovsdb.ParseReply(out)
}

// lost ends the daemon of a database that does not answer: one that connects again
// does so in its own time, and whatever goes by it waits for that.
func (e *Executor) lost(conn string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.norths {
		if slices.Contains(n.args, "--db="+conn) {
			n.drop(nil)
		}
	}
}

// observe logs a call at debug level.
func (e *Executor) observe(program string, took time.Duration, err error) {
	e.log.Debug("ran", zap.String("program", program), zap.Duration("took", took), zap.Bool("ok", err == nil))
}
