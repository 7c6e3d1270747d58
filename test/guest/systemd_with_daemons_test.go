package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSystemdDaemons wants a helper process of the unit, with the drop-in that is
// shipped for them: in a cgroup of its own beside the unit's, limited, with few
// rights; still the same over a restart of the unit, and gone with its declaration.
func TestSystemdDaemons(t *testing.T) {
	u := enforced(t)
	const dropIn = "/etc/systemd/system/reconciler.service.d/daemons.conf"
	restart := func(with bool) {
		t.Helper()
		if with {
			u.run("install", "-D", "-m", "0644", "deploy/daemons.conf", dropIn)
		} else if err := os.Remove(dropIn); err != nil {
			t.Error(err)
		}
		u.run("systemctl", "daemon-reload")
		u.systemctl("restart")
		u.run("reconciler", "status", "--wait", "--timeout", "30s")
	}
	t.Cleanup(func() {
		_ = os.Remove(tree + "/daemons.yaml") // it is gone where all went well
		restart(false)
	})
	restart(true)
	u.write(tree+"/daemons.yaml", `version: 1
daemons:
  nap: {command: [/bin/sleep, "4711"], limits: {memory: 64MiB, cpu: 50%}, sockets: [{listen: "127.0.0.1:81"}], ready: {timeout: 1s}}
`)
	var group string
	u.within(soon, "the cgroup of a helper", func() bool {
		found, err := filepath.Glob("/sys/fs/cgroup/reconciler/*/nap-*")
		if err != nil || len(found) != 1 {
			return false
		}
		group = found[0]
		return u.file(group+"/cgroup.procs") != ""
	})
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	for name, want := range map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "4096"} {
		if got := u.file(filepath.Join(group, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	pid := u.file(group + "/cgroup.procs")
	status := u.file("/proc/" + pid + "/status")
	for _, want := range []string{`Uid:\s+65534\s+65534`, `Gid:\s+65534\s+65534`, `CapEff:\s+0+\n`, `CapBnd:\s+0+\n`, `NoNewPrivs:\s+1`} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("no %s in\n%s", want, status)
		}
	}
	if out := u.run("reconciler", "get", "daemons"); strings.Contains(out, "not limited") || !strings.Contains(out, "nap") {
		t.Errorf("get daemons:\n%s", out)
	}

	u.systemctl("restart")
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	if got := u.file(group + "/cgroup.procs"); got != pid {
		t.Errorf("after a restart of the unit the process is %q, and was %s", got, pid)
	}
	if n := u.metric("reconciler_operations_total"); n != 0 {
		t.Errorf("%v operations since the start, want 0", n)
	}
	if log := u.run("journalctl", "--no-pager", "-o", "cat", "-u", service); strings.Contains(log, "a listener is not held any more") {
		t.Errorf("its listener was not taken back:\n%s", log)
	}

	// Who forgets the drop-in has a process that goes on, and a unit that starts.
	restart(false)
	if got := u.file(group + "/cgroup.procs"); got != pid {
		t.Errorf("without the drop-in the process is %q, and was %s", got, pid)
	}
	restart(true)
	if err := os.Remove(tree + "/daemons.yaml"); err != nil {
		t.Fatal(err)
	}
	u.within(soon, "the end of it", func() bool { return !exists(group) && !exists("/proc/"+pid) })
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	u.applied()
}

// TestSystemdSocket wants the shipped socket to start the shipped unit for who
// connects, and to stay when that stops.
func TestSystemdSocket(t *testing.T) {
	u := enforced(t)
	u.run("install", "-D", "-m", "0644", "deploy/reconciler.socket", "/etc/systemd/system/reconciler.socket")
	u.run("systemctl", "daemon-reload")
	u.systemctl("stop")
	u.run("systemctl", "start", "reconciler.socket")
	u.want("ActiveState", "inactive")
	for range 2 {
		u.run("reconciler", "status", "--wait", "--timeout", "30s")
		u.want("ActiveState", "active")
		u.applied()
		u.systemctl("stop")
		u.want("ActiveState", "inactive")
	}
	u.run("systemctl", "stop", "reconciler.socket")
	u.systemctl("start")
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
}
