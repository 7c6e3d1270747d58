package handover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is a Former that notes what is asked of it.
type host struct {
	ops   []string
	pause error
	told  bool
	did   []string
}

func (h *host) Plan(context.Context) (string, []string, error) { return "r1", h.ops, nil }
func (h *host) Pause(context.Context) error                    { h.did = append(h.did, "pause"); return h.pause }
func (h *host) Resume(context.Context) error                   { h.did = append(h.did, "resume"); return nil }
func (h *host) Drain(int)                                      { h.did = append(h.did, "drain") }
func (h *host) Leave(int)                                      { h.did = append(h.did, "leave") }
func (h *host) Told() bool                                     { return h.told }
func (h *host) End()                                           { h.did = append(h.did, "end") }

// pair connects a former process to who plays its successor.
func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	own, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(file.Fd())) // as a successor has it: another number
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	theirs, err := inherit(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close(); theirs.Close() })
	return own, theirs
}

// TestHandOver is each way that a handover ends, by what the successor says.
func TestHandOver(t *testing.T) {
	hello := Message{Kind: Hello, Version: "v1.1.0", Dir: "v1.1.0-abc"}
	plan := Message{Kind: Plan, Ops: []string{"+ route 1"}}
	for name, c := range map[string]struct {
		says []Message
		ops  []string
		want string // of the error; empty for none
		did  string
	}{
		"commits":        {[]Message{hello, plan, {Kind: Serving}, {Kind: Alive}, {Kind: Committed}}, plan.Ops, "", "pause drain leave"},
		"other version":  {[]Message{{Kind: Hello, Version: "v9.9.9", Dir: hello.Dir}}, nil, "it says that it is version v9.9.9, and not v1.1.0", ""},
		"other place":    {[]Message{{Kind: Hello, Version: "1.1.0", Dir: "v1"}}, nil, `it says that it runs from "v1"`, ""},
		"would change":   {[]Message{hello, plan}, nil, "it would change + route 1", ""},
		"would leave":    {[]Message{hello, {Kind: Plan}}, plan.Ops, "it would leave + route 1", ""},
		"cannot plan":    {[]Message{hello, {Kind: Quit, Reason: "no snapshot"}}, nil, "no snapshot", ""},
		"says something": {[]Message{hello, {Kind: Alive}}, nil, "it says alive, and not plan", ""},
		"is silent":      {[]Message{hello, plan}, plan.Ops, "it did not take over: it says nothing", "pause"},
		"gives back":     {[]Message{hello, plan, {Kind: Serving}, {Kind: Quit, Reason: "no"}}, plan.Ops, "gives back: no", "pause drain"},
		"was told":       {[]Message{hello, plan, {Kind: Serving}, {Kind: Stop}}, plan.Ops, ErrStop.Error(), "pause drain"},
	} {
		t.Run(name, func(t *testing.T) {
			own, theirs := pair(t)
			for _, m := range c.says {
				if err := theirs.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			h := &host{ops: c.ops}
			err := HandOver(t.Context(), h, Successor{Conn: own, Dir: hello.Dir, Version: "v1.1.0", Wait: 200 * time.Millisecond})
			if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if got := strings.Join(h.did, " "); got != c.did {
				t.Errorf("did %q, want %q", got, c.did)
			}
		})
	}
}

// TestHandOverToOneThatEnds tells how it ended.
func TestHandOverToOneThatEnds(t *testing.T) {
	own, theirs := pair(t)
	theirs.Close()
	err := HandOver(t.Context(), &host{}, Successor{Conn: own, Wait: time.Second, Ended: func() string { return "exit status 3" }})
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
}

// TestPauseFails leaves the former process as it was.
func TestPauseFails(t *testing.T) {
	own, theirs := pair(t)
	for _, m := range []Message{{Kind: Hello}, {Kind: Plan}} {
		if err := theirs.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	busy := errors.New("busy")
	if err := HandOver(t.Context(), &host{pause: busy}, Successor{Conn: own, Wait: time.Second}); !errors.Is(err, busy) {
		t.Errorf("%v, want %v", err, busy)
	}
}

// TestLease holds until it is over, and is never left on.
func TestLease(t *testing.T) {
	l := Lease{Path: filepath.Join(t.TempDir(), "freeze")}
	if _, ok := l.Held(); ok {
		t.Error("held before it was taken")
	}
	if err := l.Take("a test", time.Hour); err != nil {
		t.Fatal(err)
	}
	if h, ok := l.Held(); !ok || h.Reason != "a test" || h.Owner != os.Getpid() {
		t.Errorf("%+v, %v", h, ok)
	}
	if err := errors.Join(l.End(), l.End()); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"{}", "nonsense", `{"owner":1,"until":"2020-01-01T00:00:00Z"}`} {
		if err := os.WriteFile(l.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, ok := l.Held(); ok {
			t.Errorf("%s: held: %+v", text, h)
		}
		if _, err := os.Stat(l.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is left on (%v)", text, err)
		}
	}
}

// TestMessagesAreBounded is that a plan of any length travels.
func TestMessagesAreBounded(t *testing.T) {
	own, theirs := pair(t)
	long := Message{Kind: Plan}
	for range 100_000 {
		long.Ops = append(long.Ops, "+ route 198.51.100.0/24")
	}
	if err := theirs.Send(long); err != nil {
		t.Fatal(err)
	}
	got, err := own.Receive(time.Second)
	if err != nil || len(got.Ops) != 101 || got.Ops[100] != "and 99900 more" {
		t.Errorf("%d operations, %v", len(got.Ops), err)
	}
}
