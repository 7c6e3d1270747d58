package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// said is what a process told the service manager.
type said struct {
	pid  int
	what string
	at   time.Time
}

// manager hears what processes tell it, as systemd does: with who says it.
type manager struct {
	mu  sync.Mutex
	all []said
}

// watchdog is how often it wants to hear.
const watchdog = 2 * time.Second

func (s *succeeding) managed() *manager {
	s.Helper()
	path := filepath.Join(s.state, "notify.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		var set error
		err = errors.Join(raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }), set)
	}
	if err != nil {
		s.Fatal(err)
	}
	m, ended := &manager{}, make(chan struct{})
	go func() { defer close(ended); m.listen(c) }()
	s.Cleanup(func() { c.Close(); <-ended })
	s.env = append(s.env, "NOTIFY_SOCKET="+path, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	return m
}

func (m *manager) listen(c *net.UnixConn) {
	text, control := make([]byte, 4096), make([]byte, 256)
	for {
		n, oob, _, _, err := c.ReadMsgUnix(text, control)
		if err != nil {
			return
		}
		one := said{what: string(text[:n]), at: time.Now()}
		if messages, err := unix.ParseSocketControlMessage(control[:oob]); err == nil && len(messages) == 1 {
			if who, err := unix.ParseUnixCredentials(&messages[0]); err == nil {
				one.pid = int(who.Pid)
			}
		}
		m.mu.Lock()
		m.all = append(m.all, one)
		m.mu.Unlock()
	}
}

// of is what a process has said that begins so.
func (m *manager) of(pid int, begin string) (out []said) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.all {
		if one.pid == pid && strings.HasPrefix(one.what, begin) {
			out = append(out, one)
		}
	}
	return out
}

// TestHandoverTellsTheManager is that the service manager, who listens to the main
// process only, is never left without a sign of life, and told who is the main one.
func TestHandoverTellsTheManager(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	m := s.managed()
	former, successor := s.standingBy()
	began := time.Now()
	time.Sleep(2 * watchdog) // what has to come is that it goes on while it stands by
	if got := m.of(former, "MAINPID="); len(got) > 0 {
		t.Fatalf("it left before its time: %v", got)
	}
	s.soak = 100 * time.Millisecond
	s.push("v0.2.0", s.make("v0.2.0", ".", ""), "")
	s.ends(former)
	named := m.of(former, fmt.Sprintf("MAINPID=%d", successor))
	if len(named) != 1 {
		t.Fatalf("it named its successor %v", named)
	}
	last := m.of(former, "")
	if got := last[len(last)-1]; got != named[0] {
		t.Errorf("its last word is %q", got.what)
	}
	if got := m.of(former, "STOPPING"); len(got) > 0 {
		t.Errorf("it said that the service stops: %v", got)
	}
	gap, at := time.Duration(0), began
	for _, one := range m.of(former, "WATCHDOG=1") {
		if one.at.After(began) {
			gap, at = max(gap, one.at.Sub(at)), one.at
		}
	}
	if gap = max(gap, named[0].at.Sub(at)); gap >= watchdog {
		t.Errorf("it was silent for %s, the manager waits %s", gap, watchdog)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		pings := m.of(successor, "WATCHDOG=1")
		if len(pings) > 0 && pings[len(pings)-1].at.After(named[0].at) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the successor gives no sign of life")
		}
	}
}

// TestHandoverUnderAManagerWhoseProcessIsKilled is that the successor does not go on
// where the manager starts another one.
func TestHandoverUnderAManagerWhoseProcessIsKilled(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	s.managed()
	former, successor := s.standingBy()
	s.signal(former, unix.SIGKILL)
	s.ends(successor)
	s.first() // as the manager would
	s.main(successor)
	s.soak = 100 * time.Millisecond
	s.push("v0.2.0", s.make("v0.2.0", ".", ""), "routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\n")
	s.works("v0.2.0")
	s.has("198.51.100.0/24")
}
