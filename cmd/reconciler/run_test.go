package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"reconciler/internal/engine"
)

// TestGuarded: a panic of a task ends the program in order, with a status that
// means nothing else.
func TestGuarded(t *testing.T) {
	err := guarded("socket", func() error { panic("boom") })
	var p *engine.PanicError
	if !errors.As(err, &p) || p.Task != "socket" || p.Value != "boom" {
		t.Errorf("got %v, want a *PanicError of socket", err)
	}
	if err := guarded("socket", func() error { return nil }); err != nil {
		t.Errorf("without a panic: %v", err)
	}
}

// brokenWriter panics when it is written to.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("boom") }

func TestPanicIsInternalError(t *testing.T) {
	var stderr bytes.Buffer
	if got := run([]string{"version"}, brokenWriter{}, &stderr); got != exitInternal {
		t.Errorf("exit status %d, want %d", got, exitInternal)
	}
	if !strings.HasPrefix(stderr.String(), "internal error: boom") {
		t.Errorf("stderr: %q", stderr.String())
	}
}
