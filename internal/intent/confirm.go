package intent

import "time"

// Answer is what a probe said.
type Answer struct {
	Asked Instant // when the probe was sent
	OK    bool
}

// Baseline decides which probes an apply must not break: those that answered
// well after the change was first planned. It is ready when all have answered
// or patience is over; a probe that is silent by then is not required.
func Baseline(probes []string, answers map[string]Answer, planned Instant, patience time.Duration, now Instant) (required []string, ready bool, next Instant) {
	next = planned.Add(patience)
	missing := false
	for _, p := range probes {
		a, ok := answers[p]
		switch {
		case !ok || a.Asked < planned:
			missing = true
		case a.OK:
			required = append(required, p)
		}
	}
	if missing && now < next {
		return nil, false, next
	}
	return required, true, Never
}

// Verdict is what becomes of an apply.
type Verdict uint8

// Verdicts. Wait is no verdict yet.
const (
	Wait   Verdict = iota
	Accept         // final
	Revert         // the former state is put back
)

// Unconfirmed is an apply without a verdict.
type Unconfirmed struct {
	Required []string `json:"required"` // probes
	Applied  Instant  `json:"applied"`  // when it ended
	Deadline Instant  `json:"deadline"`
}

// Confirm judges an apply by the probes it must not break: final once each has
// answered well since, undone when the deadline passes before that. next is
// when the answer changes without an answer.
func Confirm(u Unconfirmed, answers map[string]Answer, now Instant) (v Verdict, next Instant) {
	good := true
	for _, p := range u.Required {
		a, ok := answers[p]
		good = good && ok && a.OK && a.Asked >= u.Applied
	}
	switch {
	case good:
		return Accept, Never
	case now >= u.Deadline:
		return Revert, Never
	}
	return Wait, u.Deadline
}
