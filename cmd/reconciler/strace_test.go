package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
	"reconciler/test/strace"
)

// TestQuiet counts from outside, by the system calls, what the program asks the
// kernel to change: nothing where all is as declared, neither at once nor after
// a start, and one thing where one thing differs.
func TestQuiet(t *testing.T) {
	h := newTraced(t)
	const want = "testdata/failpoint/want"
	h.ns.Do(func() {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	})
	first := h.apply(want)
	if first.requests < 10 || first.parameters != 1 {
		t.Fatalf("making all took %s: the count cannot be trusted", first)
	}
	if again := h.apply(want); again != (changes{}) {
		t.Errorf("a second apply made %s, want none", again)
	}
	h.ns.IP("address", "delete", "10.0.0.9/24", "dev", "v0q")
	if repair := h.apply(want); repair != (changes{requests: 1}) {
		t.Errorf("to bring one address back took %s, want one request", repair)
	}
	if again := h.daemon(want); again != (changes{}) {
		t.Errorf("a first run made %s, want none", again)
	}
	if again := h.daemon(want); again != (changes{}) {
		t.Errorf("a run that is started again made %s, want none", again)
	}
}

// TestQuietDaemon is that a daemon, too, does what differs and no more.
func TestQuietDaemon(t *testing.T) {
	h := newTraced(t)
	const want = "testdata/failpoint/want"
	h.apply(want)
	h.ns.IP("address", "delete", "10.0.0.9/24", "dev", "v0q")
	if got := h.daemon(want); got != (changes{requests: 1}) {
		t.Errorf("to bring one address back took %s, want one request", got)
	}
}

// changes are the system calls that change, or may change, the network.
type changes struct {
	requests   int // messages to netlink that are not known to read only
	parameters int // files below /proc/sys that were opened to write
	controls   int // ioctl calls on sockets
	programs   int // bpf calls that make, attach, pin or write
}

func (c changes) String() string {
	return fmt.Sprintf("%d requests, %d parameters, %d ioctl calls, %d bpf calls", c.requests, c.parameters, c.controls, c.programs)
}

// traced is a host whose program runs under strace.
type traced struct {
	failHost
	trace string
}

func newTraced(t *testing.T) *traced {
	t.Helper()
	testns.NeedRoot(t)
	testns.NeedTool(t, "strace")
	dir := t.TempDir()
	return &traced{failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: dir}, filepath.Join(dir, "trace")}
}

// command is the program under strace.
func (h *traced) command(ctx context.Context, args ...string) *exec.Cmd {
	calls := "--trace=bpf,openat,ioctl,write,writev,sendto,sendmsg,sendmmsg"
	all := append([]string{"-f", "-yy", "-v", "-xx", "-s", "1000000", "-o", h.trace, calls, h.program}, args...)
	cmd := exec.CommandContext(ctx, "strace", all...)
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+h.ns.Name, "RECONCILER_STATE_DIR="+h.state,
		"RECONCILER_SOCKET="+filepath.Join(h.state, "api.sock"), "RECONCILER_METRICS=")
	return cmd
}

func (h *traced) apply(tree string) changes {
	h.Helper()
	if out, err := h.command(h.Context(), "apply", tree).CombinedOutput(); err != nil {
		h.Fatalf("apply: %v\n%s", err, out)
	}
	return h.count()
}

// daemon runs the daemon until the host is as declared and it has looked once
// more.
func (h *traced) daemon(tree string) changes {
	h.Helper()
	cmd := h.command(h.Context(), "run", "--dir", tree)
	log, err := os.Create(filepath.Join(h.TempDir(), "log"))
	if err != nil {
		h.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	h.settle(ended)
	if err := unix.Kill(h.child(cmd.Process.Pid), unix.SIGINT); err != nil {
		h.Fatal(err)
	}
	if err := <-ended; err != nil {
		text, _ := os.ReadFile(log.Name())
		h.Fatalf("run: %v\n%s", err, text)
	}
	return h.count()
}

// settle waits until the daemon has looked twice.
func (h *traced) settle(ended <-chan error) {
	h.Helper()
	for deadline := time.Now().Add(patience); h.run("", "status", "--wait", "--timeout", "20s") != 0; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			h.Fatalf("the daemon ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			h.Fatalf("not within %s\n%s", patience, h.last)
		}
	}
	h.mustRun("", 0, "sync")
	h.mustRun("", 0, "status", "--wait", "--timeout", "20s")
}

// child is the process that strace started.
func (h *traced) child(pid int) int {
	h.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		h.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		h.Fatal(err)
	}
	return child
}

func (h *traced) count() changes {
	h.Helper()
	text, err := os.ReadFile(h.trace)
	if err != nil {
		h.Fatal(err)
	}
	if !strings.Contains(string(text), "NETLINK:[") {
		h.Fatal("the trace shows no netlink socket")
	}
	got, err := countChanges(string(text))
	if err != nil {
		h.Fatal(err)
	}
	return got
}

// What strace prints: the kind of a socket beside its descriptor, and bytes as
// hex.
var (
	netlinkCall = regexp.MustCompile(`^\d+ +(?:write|writev|sendto|sendmsg|sendmmsg)\(\d+<NETLINK:`)
	socketCall  = regexp.MustCompile(`^\d+ +ioctl\(\d+<(?:UDP|TCP|RAW|NETLINK|socket)\b`)
	bpfCall     = regexp.MustCompile(`^\d+ +bpf\(BPF_(?:MAP_CREATE|PROG_LOAD|BTF_LOAD|OBJ_PIN|LINK_CREATE|LINK_UPDATE|LINK_DETACH|PROG_ATTACH|PROG_DETACH|MAP_(?:UPDATE|DELETE)_(?:ELEM|BATCH)|MAP_LOOKUP_AND_DELETE_(?:ELEM|BATCH)|MAP_FREEZE),`)
	openCall    = regexp.MustCompile(`^\d+ +openat\([^,]*, "((?:\\x[0-9a-f]{2})+)", ([A-Z_|]+)`)
)

func countChanges(trace string) (c changes, err error) {
	for line := range strings.Lines(trace) {
		switch {
		case netlinkCall.MatchString(line):
			n, err := strace.Mutations(line)
			if err != nil {
				return c, fmt.Errorf("%w: %.200s", err, line)
			}
			c.requests += n
		case socketCall.MatchString(line):
			c.controls++
		case bpfCall.MatchString(line):
			c.programs++
		case openCall.MatchString(line):
			m := openCall.FindStringSubmatch(line)
			name, err := strace.Unhex(m[1])
			if err != nil {
				return c, err
			}
			if strings.HasPrefix(string(name), "/proc/sys/") && !strings.HasPrefix(m[2], "O_RDONLY") {
				c.parameters++
			}
		}
	}
	return c, nil
}

func TestCountChanges(t *testing.T) {
	trace := `1 openat(AT_FDCWD<\x2f>, "\x2f\x70\x72\x6f\x63\x2f\x73\x79\x73\x2f\x61", O_RDONLY|O_CLOEXEC) = 3
1 openat(AT_FDCWD<\x2f>, "\x2f\x70\x72\x6f\x63\x2f\x73\x79\x73\x2f\x61", O_WRONLY|O_CLOEXEC) = 3
1 openat(AT_FDCWD<\x2f>, "\x2f\x74\x6d\x70", O_RDWR|O_CLOEXEC) = 3
1 write(1<\x2f>, "\x10\x00", 2) = 2
12 write(3<NETLINK:[31]>, "\x10\x00\x00\x00\x16\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00", 16) = 16
1 write(3<NETLINK:[31]>, "\x10\x00\x00\x00\x14\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x19\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00", 32 <unfinished ...>
1 <... write resumed>) = 32
1 sendto(3<NETLINK:[ROUTE:31]>, [[{nlmsg_len=32, nlmsg_type=0x14}], [{nlmsg_len=32, nlmsg_type=RTM_GETROUTE}]], 64) = 64
1 ioctl(4<UDP:[31]>, SIOCETHTOOL, 0x7fff) = 0
1 ioctl(1<\x2f\x64\x65\x76>, TCGETS, 0x7fff) = 0
1 bpf(BPF_MAP_LOOKUP_ELEM, {map_fd=3}, 32) = 0
1 bpf(BPF_MAP_UPDATE_ELEM, {map_fd=3}, 32) = 0
1 bpf(BPF_MAP_FREEZE, {map_fd=3}, 4 <unfinished ...>
`
	got, err := countChanges(trace)
	if want := (changes{requests: 3, parameters: 1, controls: 1, programs: 2}); got != want || err != nil {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := countChanges(`1 write(3<NETLINK:[31]>, "\x10", 1) = 1`); err == nil {
		t.Error("half a message is no error")
	}
}
