package shim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		fmt.Fprintln(os.Stderr, Exec())
		os.Exit(127)
	}
	os.Exit(m.Run())
}

// nobody is a Spec that runs a script.
func nobody(t *testing.T, script string) Spec {
	t.Helper()
	testns.NeedRoot(t)
	s, err := As("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s.Argv, s.Dir = []string{"/bin/sh", "-c", script}, "/"
	return s
}

// TestRights is that a program has the rights of its user, no way to more, its
// limits, and no descriptor but its own.
func TestRights(t *testing.T) {
	s := nobody(t, "cat /proc/self/status /proc/self/limits; ls -l /proc/$$/fd | grep -c -- '->'; umask")
	s.Limits = []Limit{{unix.RLIMIT_CPU, 30}, {unix.RLIMIT_NOFILE, 77}, {unix.RLIMIT_DATA, 1 << 30}, {unix.RLIMIT_CORE, 0}}
	var out bytes.Buffer
	if err := s.Run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`Uid:\s+%[1]d\s+%[1]d\s+%[1]d`, s.UID), fmt.Sprintf(`Gid:\s+%[1]d\s+%[1]d\s+%[1]d`, s.GID), `Groups:\s*\n`,
		`CapPrm:\s+0+\n`, `CapEff:\s+0+\n`, `CapBnd:\s+0+\n`, `NoNewPrivs:\s+1`,
		`Max cpu time\s+30\s+30`, `Max open files\s+77\s+77`, `Max data size\s+1073741824\s+1073741824`, `Max core file size\s+0\s+0`,
		`\n3\n0022\n$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string
	}{
		"it succeeds":          {"echo hello", ""},
		"it fails":             {"exit 7", "exit status 7"},
		"it hangs":             {"sleep 60", context.DeadlineExceeded.Error()},
		"it leaves one":        {"sleep 60 & exit 0", ""},
		"it wants more memory": {"exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'", "exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			s := nobody(t, c.script)
			s.Limits = []Limit{{unix.RLIMIT_DATA, 64 << 20}}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			var out bytes.Buffer
			err := s.Run(ctx, &out)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q: %s", err, c.want, out.String())
			}
		})
	}
}

func TestNoProgram(t *testing.T) {
	s := nobody(t, "")
	s.Argv[0] = "/no/such/program"
	if err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "execute /no/such/program: no such file") {
		t.Errorf("Run: %v", err)
	}
	started := 0
	err := s.Start(int(os.Stderr.Fd()), nil, func(pid, pidfd int) error { started = pid; return unix.Close(pidfd) })
	if err == nil || !strings.Contains(err.Error(), "no such file") || started == 0 {
		t.Errorf("Start: %v, pid %d", err, started)
	}
	if _, err := unix.Wait4(started, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

// TestHeld is that a process which its starter cannot keep becomes nothing.
func TestHeld(t *testing.T) {
	file := t.TempDir() + "/made"
	s := nobody(t, "touch "+file)
	s.UID, s.GID = 0, 0
	full := errors.New("the disk is full")
	var started int
	if err := s.Start(int(os.Stderr.Fd()), nil, func(pid, pidfd int) error { started = pid; return errors.Join(full, unix.Close(pidfd)) }); !errors.Is(err, full) {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(started, nil, 0, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran")
	}
}
