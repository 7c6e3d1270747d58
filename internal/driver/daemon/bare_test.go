package daemon

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/resource"
)

// Where there are no cgroups, a process still ends with its session.
func TestWithoutCgroups(t *testing.T) {
	r := newRig(t)
	r.Driver.groups = groups{}
	d := r.daemon("fork")
	r.apply(create(d))
	r.waitFor("its child", func() bool { return len(r.mine()) == 2 })
	r.apply(remove(d))
	kill := r.seen(d).Kill
	r.waitFor("the deadline", func() bool { return clock.Boottime() > kill })
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })

	d.Argv[1] = "forkleave"
	r.apply(create(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
}

// The unified hierarchy ends all of a process by itself, also where it limits
// nothing.
func TestUnifiedCgroup(t *testing.T) {
	r := newRig(t)
	mount := ""
	for _, m := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(m, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			mount = m
		}
	}
	if mount == "" {
		t.Fatal("no unified hierarchy here")
	}
	r.Driver.groups = groups{v2: mount, within: r.groups.within}
	d := r.daemon("ignore")
	r.apply(create(d))
	r.waitFor("its child", func() bool { return len(r.mine()) == 2 })
	if s := r.seen(d); s.Reason != "" {
		t.Errorf("seen %+v", s)
	}
	for _, pid := range r.mine() {
		text, err := os.ReadFile(strings.Replace("/proc/PID/cgroup", "PID", strconv.Itoa(pid), 1))
		if err != nil || !strings.Contains(string(text), r.groups.within+"/"+strings.TrimSuffix(fileOf(d), recordSuffix)) {
			t.Errorf("%d is of %s, %v", pid, text, err)
		}
	}
	r.apply(remove(d))
	kill := r.seen(d).Kill
	r.waitFor("the deadline", func() bool { return clock.Boottime() > kill })
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
	r.apply(remove(d))
	if _, err := os.Stat(r.groups.dirs(strings.TrimSuffix(fileOf(d), recordSuffix))[0]); err == nil {
		t.Error("its cgroup is left")
	}
}
