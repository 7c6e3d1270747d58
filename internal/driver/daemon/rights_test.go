package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// A process has the rights of nobody, and of what the program has open only
// what is meant for it.
func TestRights(t *testing.T) {
	r := newRig(t)
	leak, err := os.Open("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	t.Setenv("OF_RECONCILER", "1")
	d := r.daemon("show")
	d.Env = []resource.NamedText{{Name: "GIVEN", Text: "a b"}}
	r.apply(create(d))
	r.waitFor("what it shows", func() bool { return strings.Contains(r.log(d), "shown") })
	log := r.log(d)
	for _, line := range []string{
		"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n", "NoNewPrivs:\t1\n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
		"SigBlk:\t0000000000000000\n",
		"env GIVEN=a b\n", "leads true\n", "umask 22\n", "oom 200\n",
		"dir " + r.filesOf(d) + " ",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("no %q", line)
		}
	}
	var ignored uint64
	_, after, _ := strings.Cut(log, "SigIgn:\t")
	if _, err := fmt.Sscanf(after, "%x", &ignored); err != nil {
		t.Error(err)
	}
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTERM} { // beyond 31 they are the C library's
		if ignored&(1<<(s-1)) != 0 {
			t.Errorf("%v is ignored", s)
		}
	}
	if strings.Contains(log, "OF_RECONCILER") || strings.Contains(log, "LISTEN_") || strings.Contains(log, "NOTIFY_SOCKET") {
		t.Errorf("too much in its environment")
	}
	if t.Failed() {
		t.Log(log)
	}
	r.descriptors(d, []string{"/dev/null", r.logOf(d), r.logOf(d)})
}

// descriptors wants a process to have these, and none but the runtime's own beside.
func (r *rig) descriptors(d resource.Daemon, want []string) {
	r.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", r.seen(d).PID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		if got[e.Name()], err = os.Readlink(filepath.Join(dir, e.Name())); err != nil {
			r.Fatal(err)
		}
	}
	for i, w := range want {
		if n := fmt.Sprint(i); !strings.HasPrefix(got[n], w) {
			r.Errorf("descriptor %d is %q, want %q", i, got[n], w)
		} else {
			delete(got, n)
		}
	}
	for n, to := range got {
		if !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			r.Errorf("descriptor %s is %s", n, to)
		}
	}
}

func TestAnotherUser(t *testing.T) {
	r := newRig(t)
	d := r.daemon("show")
	d.User = "daemon"
	if f := r.Check(d); len(f) != 0 {
		t.Errorf("faults %v", f)
	}
	r.apply(create(d))
	r.waitFor("what it shows", func() bool { return strings.Contains(r.log(d), "shown") })
	if log := r.log(d); !strings.Contains(log, "Uid:\t1\t1\t1\t1\n") || !strings.Contains(log, "CapEff:\t0000000000000000\n") {
		t.Error(log)
	}
	d.Name, d.User = "two", "bin"
	r.refused(d, "bin")
	d.User = ""
	d.Ready.Exec = []string{"/bin/true"}
	r.refused(d, "/bin/true")
	d.Ready.Exec = nil
	r.cfg.Forbidden = true
	r.reopen()
	r.refused(d, "no daemon")
}

// refused wants a fault from Check, and no process, whoever asks for one.
func (r *rig) refused(d resource.Daemon, why string) {
	r.Helper()
	faults := r.Check(d)
	if len(faults) != 1 || !strings.Contains(faults[0].Message, why) || faults[0].Code != driver.Unsupported {
		r.Errorf("faults %v", faults)
	}
	before := len(r.mine())
	if err := r.Driver.Apply(r.Context(), ops(create(d)))[0]; err == nil || !strings.Contains(err.Error(), why) {
		r.Errorf("error %v, want one of %s", err, why)
	}
	if n := len(r.mine()); n != before {
		r.Errorf("%d processes, %d before", n, before)
	}
}

// One that uses more memory than it may is ended by the kernel.
func TestMemoryLimit(t *testing.T) {
	r := newRig(t)
	if len(r.groups.dirs("x")) == 0 {
		t.Fatal("no cgroups here")
	}
	d := r.daemon("hog")
	d.Memory, d.CPU = 64<<20, 50
	r.apply(create(d))
	if s := r.seen(d); s.Memory == 0 || s.Memory > d.Memory {
		t.Errorf("%d bytes in use", s.Memory)
	}
	r.limits(d, "max", "50000")
	if s := r.awaitState(d, resource.DaemonExited); s.Reason != "signal: SIGKILL" || !s.Failed || strings.Contains(r.log(d), "has it all") {
		t.Errorf("seen %+v", s)
	}
	d.Memory, d.CPU, d.Argv[1] = 0, 0, "sleep" // a limit does not outlive what set it
	r.apply(create(d))
	r.limits(d, "9223372036854771712", "-1")
}

func (r *rig) limits(d resource.Daemon, memory, cpu string) {
	r.Helper()
	name := strings.TrimSuffix(fileOf(d), recordSuffix)
	if r.groups.v2 != "" {
		r.Fatal("say what is to be read of version 2")
	}
	got := map[string]string{}
	for controller, file := range map[string]string{"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us"} {
		text, err := os.ReadFile(filepath.Join(r.groups.v1[controller], r.groups.within, name, file))
		if err != nil {
			r.Fatal(err)
		}
		got[controller] = strings.TrimSpace(string(text))
	}
	if memory == "max" {
		memory = fmt.Sprint(d.Memory)
	}
	if got["memory"] != memory || got["cpu"] != cpu {
		r.Errorf("limits %v, want %s and %s", got, memory, cpu)
	}
}

// Where cgroups cannot be written, a process without limits runs, and one with limits too, and says so.
func TestCgroupsThatCannotBeWritten(t *testing.T) {
	r := newRig(t)
	r.Driver.groups = groups{v2: "/proc/sys/kernel", within: "reconciler/" + r.mark}
	d := r.daemon("sleep")
	d.Memory = 64 << 20
	r.apply(create(d))
	if s := r.seen(d); s.State != resource.DaemonRunning || !strings.Contains(s.Reason, "not limited") {
		t.Errorf("seen %+v", s)
	}
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
}

// A log stays bounded whoever writes to it, and what was written last is there.
func TestLogIsBounded(t *testing.T) {
	r := newRig(t)
	d := r.daemon("spam")
	r.apply(create(d))
	_, stop := r.watch()
	defer stop()
	path := r.logOf(d)
	r.waitFor("rotation", func() bool { _, err := os.Stat(path + ".2"); return err == nil })
	var sizes []int64
	for range 50 {
		r.observe()
		total := int64(0)
		files, _ := filepath.Glob(path + "*")
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				total += info.Size()
			}
		}
		sizes = append(sizes, total)
		time.Sleep(20 * time.Millisecond)
	}
	if most := slices.Max(sizes); most > 10*maxLog {
		t.Errorf("%d bytes of logs", most)
	}
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.observe()
	if files, _ := filepath.Glob(path + "*"); len(files) != 3 {
		t.Errorf("files %v", files)
	}
}
