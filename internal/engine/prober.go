package engine

import (
	"context"
	"time"

	"reconciler/internal/intent"
)

// probePatience bounds one probe.
const probePatience = 2 * time.Second

// answer is what a probe said to a question.
type answer struct {
	probe string
	intent.Answer
	err error
}

// prober asks all probes at once whenever it is told to, and hands the answers
// to the loop. It changes nothing.
type prober struct {
	probes  []Probe
	enter   func(func())
	now     func() intent.Instant
	ask     chan struct{} // holds one
	answers chan<- answer
}

func (p *prober) String() string { return "prober" }

// request asks for a round; one that is waiting to start will do.
func (p *prober) request() {
	select {
	case p.ask <- struct{}{}:
	default:
	}
}

// Run serves requests until the context ends.
func (p *prober) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.ask:
			if err := p.round(ctx); err != nil {
				return err
			}
		}
	}
}

// round asks every probe, and hands each answer on as soon as it is there.
func (p *prober) round(ctx context.Context) error {
	asking := make([]task, len(p.probes))
	for i, probe := range p.probes {
		asking[i] = taskFunc{"probe " + probe.String(), func(ctx context.Context) error { return p.one(ctx, probe) }}
	}
	return runTasks(ctx, asking)
}

func (p *prober) one(ctx context.Context, probe Probe) error {
	limited, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	asked := p.now()
	var err error
	p.enter(func() { err = probe.Run(limited) })
	send(ctx, p.answers, answer{probe.String(), intent.Answer{Asked: asked, OK: err == nil}, err})
	return nil
}
