package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler/examples/chains"
)

// chainYAML is pushed beside the tree: two programs on the port of the left
// tenant. The limit is one that nobody reaches.
const chainYAML = `version: 1
programs:
  tenant-count: {version: v1, object: {file: count.bpf.o}, entry: count_xdp}
  tenant-limit:
    version: v1
    object: {file: ratelimit.bpf.o}
    maps:
      limits: {mode: exact, entries: [{key: ` + trafficPort + `, value: 1000000}]}
chains:
  p0: {xdp-ingress: {programs: [tenant-count, tenant-limit]}}
`

const (
	chainFile = "chains.yaml"
	protoUDP  = 17 // its key in the map of count
	dropped   = 1  // its key in the map of ratelimit
)

// counted is how many UDP packets the counter has seen.
func (w *world) counted() (uint64, error) {
	return w.pins.counter("tenant-count", "protocols", protoUDP)
}

// limited is how many packets the limit has dropped.
func (w *world) limited() (uint64, error) { return w.pins.counter("tenant-limit", "verdicts", dropped) }

// flow is what became of the packets of a while.
type flow struct{ sent, lost, counted int }

// during sends packets from left to right while f is at work, before and after
// it, and reads a counter of the kernel beside it.
func (w *world) during(ctx context.Context, counter func() (uint64, error), f func() error) (flow, error) {
	t, err := newTraffic(w.left, w.right)
	if err != nil {
		return flow{}, err
	}
	before := uint64(0)
	if err = t.ready(ctx); err == nil {
		before, err = counter()
	}
	if err != nil {
		_, _, _ = t.stop()
		return flow{}, err
	}
	t.start()
	time.Sleep(w.pause())
	err = f()
	time.Sleep(w.pause())
	sent, lost, stopErr := t.stop()
	after, counterErr := counter()
	return flow{sent, lost, int(after - before)}, errors.Join(err, stopErr, counterErr)
}

func sceneProgram(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	err := errors.Join(
		w.repo.put(chainFile, chainYAML),
		w.repo.put("count.bpf.o", string(chains.Count)),
		w.repo.put("ratelimit.bpf.o", string(chains.RateLimit)))
	if err != nil {
		return "", 0, err
	}
	took, err := w.change(ctx, s, "count and limit what the left tenant sends")
	if err != nil {
		return "", 0, err
	}
	if err := w.kernel(ctx, s, "link show p0"); err != nil {
		return "", 0, err
	}
	f, err := w.during(ctx, w.counted, func() error { return nil })
	if err != nil {
		return "", 0, err
	}
	s.say("%d packets sent from left to right, %d counted in the map, %d lost.", f.sent, f.counted, f.lost)
	if f.counted != f.sent || f.lost != 0 {
		err = fmt.Errorf("%d packets were sent, %d counted, %d lost", f.sent, f.counted, f.lost)
	}
	return fmt.Sprintf("%d of %d packets counted", f.counted, f.sent), took, err
}

func sceneLimit(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	before, err := w.pins.xdp()
	if err != nil {
		return "", 0, err
	}
	if err := w.repo.edit(chainFile, "value: 1000000", "value: 100"); err != nil {
		return "", 0, err
	}
	took, err := w.change(ctx, s, "a hundred packets a second")
	if err != nil {
		return "", 0, err
	}
	f, err := w.during(ctx, w.limited, func() error { return nil })
	if err != nil {
		return "", 0, err
	}
	after, err := w.pins.xdp()
	if err != nil {
		return "", 0, err
	}
	s.say("%d packets sent, %d arrived; the program says it dropped %d.", f.sent, f.sent-f.lost, f.counted)
	s.say("Program %d is on p0, as before: one entry of a map was written, nothing was loaded.", after)
	switch {
	case f.lost == 0 || f.lost != f.counted:
		err = fmt.Errorf("%d packets were lost, and the limit dropped %d", f.lost, f.counted)
	case before != after:
		err = fmt.Errorf("program %d became %d", before, after)
	default:
		err = w.backOut(ctx, s)
	}
	return fmt.Sprintf("%d of %d packets dropped, no swap", f.lost, f.sent), took, err
}

func sceneReplace(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	before, err := w.pins.xdp()
	if err != nil {
		return "", 0, err
	}
	if err := w.repo.edit(chainFile, "{version: v1, object: {file: count.bpf.o}",
		"{version: v2, constants: {sample_rate: 1}, object: {file: count.bpf.o}"); err != nil {
		return "", 0, err
	}
	s.say("Numbered packets flow from left to right, through the program that is replaced.")
	var took time.Duration
	f, err := w.during(ctx, w.counted, func() (err error) {
		took, err = w.change(ctx, s, "the counter's new version")
		return err
	})
	if err != nil {
		return "", 0, err
	}
	after, err := w.pins.xdp()
	if err != nil {
		return "", 0, err
	}
	s.say("Program %d took the place of %d. %d packets sent, %d counted, %d lost.", after, before, f.sent, f.counted, f.lost)
	switch {
	case before == after:
		err = errors.New("no program was replaced")
	case f.lost != 0 || f.counted != f.sent:
		err = fmt.Errorf("%d packets were sent, %d counted, %d lost", f.sent, f.counted, f.lost)
	}
	return fmt.Sprintf("0 of %d packets lost, each seen once", f.sent), took, err
}

func sceneDetach(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	s.say("What `bpftool link detach` does, behind our back:")
	took, err := w.pins.detach()
	if err != nil {
		return "", 0, err
	}
	s.say("    p0 had no program for %s", short(took))
	if err := w.kernel(ctx, s, "link show p0"); err != nil {
		return "", 0, err
	}
	_, _, err = w.daemon.until(ctx, "sync", func(r report) bool { return r.InSync })
	return "a program is on p0 again", took, err
}

// change previews and pushes, and waits for that to be live.
func (w *world) change(ctx context.Context, s *stage, message string) (time.Duration, error) {
	commit, err := w.preview(ctx, s, message)
	if err != nil {
		return 0, err
	}
	took, err := w.daemon.live(ctx, commit)
	if err == nil {
		s.say("Live %s after the push.", short(took))
	}
	return took, err
}
