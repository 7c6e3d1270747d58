// Package demo shows the daemon at work to somebody who does not believe it:
// a bare Git repository, a few network namespaces, and the scenes in which
// such programs fail. Each scene makes one claim and ends with what the kernel
// says about it.
//
// It owns the stage and everything on it. It uses the reconciler only as a
// user would, through its binary, so it imports nothing of ours but the
// examples' objects; and it never touches a link, an address or a route of the
// namespace it was started in, which it verifies.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say how to run.
type Options struct {
	Binary string    // the reconciler's, as an absolute path
	Out    io.Writer // where the show goes
	Fast   bool      // shorter waits and less traffic, for tests
}

// limit is the time after which a demo that hangs gives up.
const limit = 3 * time.Minute

// Run plays all scenes and cleans up, also when the context ends. The error
// says which claims did not hold.
func Run(ctx context.Context, o Options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("run demo: it makes network namespaces, which takes root: sudo reconciler demo")
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before, err := fingerprint(ctx)
	if err != nil {
		return fmt.Errorf("run demo: %w", err)
	}
	s := newStage(o.Out)
	w, err := newWorld(ctx, o)
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	s.opening(w)
	results := play(ctx, s, w)
	if ctx.Err() != nil {
		return fmt.Errorf("run demo: %w", context.Cause(ctx))
	}
	results = append(results, hostUntouched(ctx, before))
	s.summary(results)
	if err := verdict(results); err != nil {
		return err
	}
	s.closing(len(results), time.Since(start))
	return nil
}

// result is what became of a claim.
type result struct {
	name, claim, proof string
	took               time.Duration // zero where time says nothing
	err                error
}

// play runs the scenes in order. Each builds on the one before, so the first
// that fails ends the show.
func play(ctx context.Context, s *stage, w *world) []result {
	var results []result
	for i, sc := range scenes() {
		s.title(i+1, sc.title)
		r := result{name: sc.name, claim: sc.claim}
		r.proof, r.took, r.err = sc.play(ctx, s, w)
		if ctx.Err() != nil {
			return results
		}
		results = append(results, r)
		if r.err != nil {
			s.failed(r.err, w.daemon.lastWords())
			return results
		}
		s.proved(r.proof)
	}
	return results
}

func hostUntouched(ctx context.Context, before string) result {
	r := result{name: "host", claim: "your own namespace is untouched", proof: "links, addresses, routes are as before"}
	after, err := fingerprint(ctx)
	switch {
	case err != nil:
		r.err = err
	case after != before:
		r.err = fmt.Errorf("it differs: %s", firstDifference(before, after))
	}
	return r
}

func verdict(results []result) error {
	var errs []error
	for _, r := range results {
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("a claim does not hold: %w", errors.Join(errs...))
}
