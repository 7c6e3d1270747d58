package source

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// An operation that does not hear is left alone, and only one at a time.
func TestOperationsThatHang(t *testing.T) {
	var o operations
	let := make(chan struct{})
	deaf := func(context.Context) error { <-let; return nil }
	if err := o.Run(t.Context(), 10*time.Millisecond, deaf); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v", err)
	}
	ran := false
	op := func(context.Context) error { ran = true; return nil }
	if err := o.Run(t.Context(), time.Second, op); !errors.Is(err, ErrUnreachable) || ran {
		t.Fatalf("a second operation beside one that hangs: %v", err)
	}
	close(let)
	wait(t, time.Second, "free again", func() bool { return o.Run(t.Context(), time.Second, op) == nil })
	if !ran {
		t.Error("did not run")
	}
}

func TestOperationsThatPanic(t *testing.T) {
	var o operations
	err := o.Run(t.Context(), time.Second, func(context.Context) error { panic("index out of range") })
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v", err)
	}
}
