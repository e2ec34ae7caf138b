package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/plan"
)

// undoTimeout bounds taking back a plan that failed.
const undoTimeout = 3 * time.Second

// Executor runs plans and transactions. It is safe for concurrent use and
// holds no lock while a program runs.
type Executor struct {
	// Sysctl is where /proc/sys of the host is mounted; "" for /proc/sys.
	Sysctl string
	// TLS returns the folder with ca.pem, cert.pem and key.pem, for databases at ssl:.
	TLS func() string

	log *zap.Logger
}

// New returns an executor that logs every plan at debug level, in a form that
// can be pasted into a shell.
func New(log *zap.Logger) *Executor { return &Executor{log: log} }

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
	e.log.Debug("plan\n" + p.String())
	for i, step := range p.Steps {
		err := e.step(ctx, step)
		if err == nil {
			continue
		}
		done := plan.Plan{Steps: p.Steps[:i]}
		if partial(step, err) {
			done.Steps = p.Steps[:i+1]
		}
		return errors.Join(err, e.undo(ctx, done))
	}
	return nil
}

// Undo takes back what the plan made, as far as possible: a step that fails
// does not keep the others from being taken back.
func (e *Executor) Undo(ctx context.Context, p plan.Plan) error {
	back := p.Reverse()
	if err := back.Validate(); err != nil {
		return fmt.Errorf("checking the plan: %w", err)
	}
	if !back.Empty() {
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
		args := slices.Clone(s.Target.Args)
		for i, op := range s.Ops {
			if i > 0 {
				args = append(args, "--")
			}
			args = append(args, op.Do...)
		}
		_, err := e.run(ctx, "", s.Target.Program, args...)
		return err
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
		return nil, err
	}
	return ovsdb.ParseReply(out)
}

// observe logs a call at debug level.
func (e *Executor) observe(program string, took time.Duration, err error) {
	e.log.Debug("ran", zap.String("program", program), zap.Duration("took", took), zap.Bool("ok", err == nil))
}
