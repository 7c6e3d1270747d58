// Package failpoint wraps a driver so that an operation of an apply fails, or
// the process dies at it: what a test needs to show that every point in between
// leads to a clean state later.
//
// It owns no state of a dataplane and knows no driver.
package failpoint

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Env names the variable that sets a failpoint: INDEX:error or INDEX:kill,
// where INDEX counts the operations of this process from 0.
const Env = "RECONCILER_FAILPOINT"

// ErrInjected is the error of an operation that failed on purpose.
var ErrInjected = errors.New("failed on purpose")

// Wrap returns the drivers with the failpoint that spec names, which counts the
// operations of all of them; the drivers themselves where spec is empty.
func Wrap(drivers []driver.Driver, spec string) ([]driver.Driver, error) {
	if spec == "" {
		return drivers, nil
	}
	index, action, _ := strings.Cut(spec, ":")
	at, err := strconv.Atoi(index)
	if err != nil || at < 0 || action != "error" && action != "kill" {
		return nil, fmt.Errorf("read %s=%q: want INDEX:error or INDEX:kill", Env, spec)
	}
	point := &point{at: at, kill: action == "kill"}
	out := make([]driver.Driver, len(drivers))
	for i, d := range drivers {
		out[i] = &wrapped{d, point}
	}
	return out, nil
}

// point is where it fails.
type point struct {
	at   int
	done int
	kill bool
}

type wrapped struct {
	driver.Driver
	*point
}

// Apply does the operations before the failpoint, then fails or dies, and does
// those behind it.
func (w *wrapped) Apply(ctx context.Context, ops []diff.Op) []error {
	at := w.at - w.done
	w.done += len(ops)
	if at < 0 || at >= len(ops) {
		return w.Driver.Apply(ctx, ops)
	}
	errs := w.Driver.Apply(ctx, ops[:at])
	if w.kill {
		// Not os.Exit: nothing of ours may run after a kill.
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {}
	}
	errs = append(errs, fmt.Errorf("%s %s: %w", ops[at].Verb, ops[at].Key, ErrInjected))
	return append(errs, w.Driver.Apply(ctx, ops[at+1:])...)
}

// What a driver may be able to do beside reaches it, if it can.

func (w *wrapped) Prepare(ctx context.Context, op diff.Op) error {
	if p, ok := w.Driver.(driver.Preparer); ok {
		return p.Prepare(ctx, op)
	}
	return nil
}

// Fetch reaches the driver.
func (w *wrapped) Fetch(ctx context.Context, want *resource.Set) error {
	if f, ok := w.Driver.(driver.Fetcher); ok {
		return f.Fetch(ctx, want)
	}
	return nil
}

// Resolve reaches the driver.
func (w *wrapped) Resolve(ctx context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	if r, ok := w.Driver.(driver.Resolver); ok {
		return r.Resolve(ctx, want)
	}
	return want, nil
}

// StandsOnLinks lets Observe be asked by the kernel's names of links, which are
// those of the configuration for the driver that reads them.
func (w *wrapped) StandsOnLinks() {}

// Annotate reaches the driver.
func (w *wrapped) Annotate(have observed.State, plan *diff.Plan) {
	if a, ok := w.Driver.(driver.Annotator); ok {
		a.Annotate(have, plan)
	}
}

// Watch reaches the driver.
func (w *wrapped) Watch(ctx context.Context, changed func(...resource.Key)) error {
	if v, ok := w.Driver.(driver.Watcher); ok {
		return v.Watch(ctx, changed)
	}
	<-ctx.Done()
	return nil
}

// Samples reaches the driver.
func (w *wrapped) Samples(want *resource.Set) []driver.Sample {
	if s, ok := w.Driver.(driver.Sampler); ok {
		return s.Samples(want)
	}
	return nil
}

// Explain reaches the driver.
func (w *wrapped) Explain(ctx context.Context, f driver.Flow, ops []diff.Op) (driver.Explanation, error) {
	if e, ok := w.Driver.(driver.Explainer); ok {
		return e.Explain(ctx, f, ops)
	}
	return driver.Explanation{}, nil
}
