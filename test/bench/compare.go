package main

import (
	"fmt"
	"slices"
	"time"
)

// subject is one way to do some work.
type subject struct {
	name string
	// once does the work one time and returns how long the part of it took
	// that is measured.
	once func() (time.Duration, error)
}

// compare runs the subjects in turn, round by round, each round beginning
// with another one, and returns the times by subject and round. What disturbs
// the machine for longer than a round disturbs all of them.
func compare(rounds int, subjects ...subject) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(subjects))
	for i := range times {
		times[i] = make([]time.Duration, rounds)
	}
	for round := range rounds {
		for turn := range subjects {
			i := (round + turn) % len(subjects)
			d, err := subjects[i].once()
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", subjects[i].name, round+1, err)
			}
			times[i][round] = d
		}
	}
	return times, nil
}

// ratios divides round by round.
func ratios(a, b []time.Duration) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = float64(a[i]) / float64(b[i])
	}
	return out
}

// quantile is the value below which a share q of the values lies.
func quantile[T int | float64 | time.Duration](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func median[T int | float64 | time.Duration](values []T) T { return quantile(values, 0.5) }

// clock times f.
func clock(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}
