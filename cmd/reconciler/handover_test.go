package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/state"
)

// standingBy brings a host to where v0.2.0 has taken over and v0.1.0 stands by,
// and returns the numbers of both processes.
func (s *succeeding) standingBy() (former, successor int) {
	s.Helper()
	s.push("v0.1.0", s.make("v0.1.0", ".", ""), "")
	s.first()
	began := s.main(0)
	s.works("v0.1.0")
	s.ends(began)
	s.soak = time.Hour
	former = s.main(0)
	s.push("v0.2.0", s.make("v0.2.0", ".", ""), "")
	successor = s.main(former)
	s.tells("(?m)version v0.2.0$", "status")
	s.tells("(?m)^reconciler +handover ", "get", "upgrades")
	return former, successor
}

// main waits until the pid file names another process than one.
func (s *succeeding) main(other int) int {
	s.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(s.pid)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && pid > 0 && pid != other {
			return pid
		}
		if time.Now().After(deadline) {
			s.Fatalf("the pid file still says %d (%v)", pid, err)
		}
	}
}

// ends waits until a process is gone. A zombie is not: threads of it may still hold
// its locks.
func (s *succeeding) ends(pid int) {
	s.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if gone(pid) {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("process %d is still there", pid)
		}
	}
}

func gone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

func (s *succeeding) signal(pid int, sig unix.Signal) {
	s.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		s.Fatal(err)
	}
}

// TestHandoverStopsTogether is that who stops one of the two processes stops both:
// else one nobody knows of would go on.
func TestHandoverStopsTogether(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"former", "successor"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			s := newSucceeding(t)
			former, successor := s.standingBy()
			told := former
			if who == "successor" {
				told = successor
			}
			s.signal(told, unix.SIGTERM)
			s.ends(former)
			s.ends(successor)
			if _, err := os.Stat(filepath.Join(s.state, "api.sock")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is still there (%v)", err)
			}
		})
	}
}

// TestHandoverPassesAHangupOn is that SIGHUP to the process that others still know
// has its successor look at the source.
func TestHandoverPassesAHangupOn(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	former, successor := s.standingBy()
	const asked = `reconciler_passes_total\{cause="request"\} [1-9]`
	if s.scrapes(asked) {
		t.Fatal("somebody asked for a pass before")
	}
	s.signal(former, unix.SIGHUP)
	for deadline := time.Now().Add(patience); !s.scrapes(asked); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the successor made no pass")
		}
	}
	if gone(former) || gone(successor) {
		t.Error("a process is gone")
	}
}

// scrapes reports that the metrics have a line.
func (s *succeeding) scrapes(line string) bool {
	s.Helper()
	r, err := (&http.Client{Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}}).Get("http://127.0.0.1:9377/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.Fatal(err)
	}
	return regexp.MustCompile(line).Match(text)
}

// TestHandoverFormerIsKilled is that the successor goes on alone.
func TestHandoverFormerIsKilled(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	former, _ := s.standingBy()
	s.signal(former, unix.SIGKILL)
	s.ends(former)
	s.soak = 100 * time.Millisecond
	s.push("v0.2.0", s.make("v0.2.0", ".", ""), "routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\n")
	s.works("v0.2.0")
	s.has("198.51.100.0/24")
}

// has waits for a route.
func (s *succeeding) has(route string) { s.Helper(); s.routed(route, true) }

func (s *succeeding) routed(route string, want bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if got := s.ns.IP("route", "show", route); (got != "") == want {
			return
		}
		if time.Now().After(deadline) {
			s.run("", "status")
			s.Fatalf("route %s: want it there: %v\n%s", route, want, s.last)
		}
	}
}

// TestHandoverGoesBackAfterWork is that the former process, when its successor
// dies after it has written, goes on from what that has left: not from what it
// remembers.
func TestHandoverGoesBackAfterWork(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	former, successor := s.standingBy()
	next := s.make("v0.2.0", ".", "")
	object, err := os.ReadFile(verdictObject)
	if err == nil {
		err = state.WriteFile(filepath.Join(s.tree, "verdict.o"), object, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	dropPins(t, s.ns)
	work := fmt.Sprintf("routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\ndaemons: {helper: {command: [/bin/sleep, \"%d\"]}}\n", 1000000+os.Getpid()) +
		"programs: {a: {object: {file: verdict.o}, entry: plain}}\nchains: {v0: {xdp-ingress: {programs: [a]}}}\n"
	s.push("v0.2.0", next, work)
	s.has("198.51.100.0/24")
	s.tells("(?m)^helper ", "get", "daemons")
	s.says("^in sync|Upgrading")
	attached := s.ns.IP("-details", "link", "show", "v0")
	if !strings.Contains(attached, "xdp") {
		t.Fatalf("no chain is attached:\n%s", attached)
	}
	helper := s.helpers()
	if len(helper) != 1 {
		t.Fatalf("helpers %v", helper)
	}
	s.signal(successor, unix.SIGKILL)
	if got := s.main(successor); got != former {
		t.Fatalf("process %d goes on, want %d", got, former)
	}
	s.tells("! v0.2.0 failed: it had taken over: it ended, signal: killed", "get", "upgrades")
	s.says("(?m)version v0.1.0$")
	s.has("198.51.100.0/24")
	if got := s.helpers(); fmt.Sprint(got) != fmt.Sprint(helper) {
		t.Errorf("helpers %v, want %v as they were", got, helper)
	}
	if got := s.ns.IP("-details", "link", "show", "v0"); got != attached {
		t.Errorf("the link is\n%s\nand was\n%s", got, attached)
	}
	// What the successor saved is still known.
	s.push("v0.2.0", next, "")
	s.routed("198.51.100.0/24", false)
	for deadline := time.Now().Add(patience); len(s.helpers()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("helpers %v are left", s.helpers())
		}
	}
	if got := s.ns.IP("-details", "link", "show", "v0"); strings.Contains(got, "xdp") {
		t.Errorf("the chain is still attached:\n%s", got)
	}
	s.mustRun("", 0, "history")
	if !strings.Contains(string(s.last), "create") && strings.Count(string(s.last), "\n") < 3 {
		t.Errorf("history:\n%s", s.last)
	}
}

// helpers are the processes of the test's daemon.
func (s *succeeding) helpers() (pids []string) {
	s.Helper()
	want := fmt.Sprintf("/bin/sleep\x00%d\x00", 1000000+os.Getpid())
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.Fatal(err)
	}
	for _, path := range found {
		if text, err := os.ReadFile(path); err == nil && string(text) == want {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

// TestHandoverBothAreKilled is that, wherever a handover is cut short, the next
// starts find the host as it was, and the version is left that kills.
func TestHandoverBothAreKilled(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"kills-at-start", "kills-at-look", "kills-when-let", "kills-later"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := newSucceeding(t)
			s.push("v0.1.0", s.make("v0.1.0", ".", ""), "routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\n")
			s.first()
			s.works("v0.1.0")
			was := s.ns.IP("route", "show")
			pid := s.main(0)
			s.push("v0.2.0", s.make("v0.2.0", "./testdata/impostor", fault), "routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\n")
			starts := 0
			for s.ends(pid); starts < 5; starts++ {
				if got := s.ns.IP("route", "show"); got != was {
					t.Fatalf("routes are\n%s\nand were\n%s", got, was)
				}
				s.vacant()
				s.first()
				pid = s.main(pid)
				if s.survives(pid) {
					break
				}
			}
			t.Logf("after %d starts", starts+1)
			s.tells("! v0.2.0 failed: ", "get", "upgrades")
			if got, err := os.Readlink(filepath.Join(s.root, "latest")); err != nil || !strings.HasPrefix(got, "versions/v0.1.0-") {
				t.Errorf("latest leads to %q (%v)", got, err)
			}
			s.says("Unfit")
		})
	}
}

// survives waits until a process has ended, or has given the version up.
func (s *succeeding) survives(pid int) bool {
	s.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s.run("", "get", "upgrades"); strings.Contains(string(s.last), "! v0.2.0 failed: ") {
			return true
		}
		if gone(pid) {
			return false
		}
	}
	s.Fatalf("process %d neither ends nor gives up:\n%s", pid, s.last)
	return false
}

// vacant waits until no process of a version is left: who kills the former one
// ends a moment later, and holds its listeners until then.
func (s *succeeding) vacant() {
	s.Helper()
	for deadline := time.Now().Add(patience); s.processes() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatal("a process is left")
		}
	}
}

// processes is how many run from below the root.
func (s *succeeding) processes() (n int) {
	s.Helper()
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		s.Fatal(err)
	}
	for _, exe := range programs {
		if to, err := os.Readlink(exe); err == nil && strings.HasPrefix(to, s.root) {
			n++
		}
	}
	return n
}
