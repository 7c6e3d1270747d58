package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/state"
)

// systemd is a service manager of users, which real ones are but for their rights,
// in namespaces where it meets no other.
type systemd struct {
	*succeeding
	runtime string // its XDG_RUNTIME_DIR
}

// systemdScript prepares namespaces of mounts and cgroups and becomes the manager,
// which works only where a system manager has booted, as it takes this to be.
const systemdScript = `set -e
mount --make-rprivate /
mkdir "$BASE/run"
mount -t tmpfs run "$BASE/run"
mkdir -p "$BASE/run/netns" "$BASE/run/systemd/system"
mount --rbind /run/netns "$BASE/run/netns"
mount -n --move "$BASE/run" /run
mount -t tmpfs cgroup /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mkdir "/sys/fs/cgroup/systemd/$GROUP"
echo $$ >"/sys/fs/cgroup/systemd/$GROUP/cgroup.procs"
exec /lib/systemd/systemd --user
`

// systemd starts a manager that knows the unit of reconciler, and its sockets.
func (s *succeeding) systemd() *systemd {
	s.Helper()
	base := openDir(s.T)
	m := &systemd{succeeding: s, runtime: filepath.Join(base, "u")}
	units := filepath.Join(base, "conf/systemd/user")
	boot := filepath.Join(base, "reconciler-boot")
	if out, err := exec.Command("go", "build", "-o", boot, "../reconciler-boot").CombinedOutput(); err != nil {
		s.Fatalf("build: %v\n%s", err, out)
	}
	for _, dir := range []string{m.runtime, units} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			s.Fatal(err)
		}
	}
	socket := filepath.Join(s.state, "api.sock")
	for name, text := range map[string]string{
		"reconciler.socket": fmt.Sprintf("[Socket]\nListenStream=%s\nSocketMode=0660\n", socket),
		"reconciler.service": fmt.Sprintf(`[Service]
Type=notify
ExecStart=%s run --dir %s --pid-file %s
ExecReload=/bin/kill -HUP $MAINPID
Environment=RECONCILER_ROOT=%s RECONCILER_NETNS=%s RECONCILER_STATE_DIR=%s RECONCILER_SOCKET=%s RECONCILER_METRICS=127.0.0.1:9377
Restart=always
WatchdogSec=%s
KillMode=process
StandardError=append:%s
`, boot, s.tree, s.pid, s.root, s.ns.Name, s.state, socket, watchdog, filepath.Join(s.state, "log")),
	} {
		if err := state.WriteFile(filepath.Join(units, name), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--cgroup", "sh", "-c", systemdScript)
	cmd.Env = append(os.Environ(), "BASE="+base, "GROUP="+filepath.Base(base), "XDG_RUNTIME_DIR="+m.runtime, "XDG_CONFIG_HOME="+filepath.Join(base, "conf"))
	out, err := os.Create(filepath.Join(base, "log"))
	if err == nil {
		cmd.Stdout, cmd.Stderr = out, out
		err = cmd.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it stops its units
		_ = cmd.Wait()
		for _, log := range []string{out.Name(), filepath.Join(s.state, "log")} {
			if text, err := os.ReadFile(log); err == nil && s.Failed() {
				s.Logf("%s:\n%s", log, text)
			}
		}
	})
	m.eventually("the manager", func() bool { _, err := os.Stat(filepath.Join(m.runtime, "systemd/private")); return err == nil })
	return m
}

func (m *systemd) ctl(args ...string) string {
	m.Helper()
	cmd := exec.Command("systemctl", append([]string{"--user"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+m.runtime)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (m *systemd) property(name string) string {
	m.Helper()
	return m.ctl("show", "--value", "-p", name, "reconciler.service")
}

func (m *systemd) want(property, want string) {
	m.Helper()
	if got := m.property(property); got != want {
		m.Errorf("%s=%s, want %s", property, got, want)
	}
}

func (m *systemd) eventually(what string, is func() bool) {
	m.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// serves waits until the service's main process is of a version.
func (m *systemd) serves(version string) (pid string) {
	m.Helper()
	m.eventually("systemd knows the process of "+version, func() bool {
		pid = m.property("MainPID")
		exe, err := os.Readlink("/proc/" + pid + "/exe")
		return err == nil && strings.HasPrefix(exe, filepath.Join(m.root, "versions", version+"-"))
	})
	return pid
}

// byHand lays out a version, for reconciler-boot to start.
func (s *succeeding) byHand() {
	s.Helper()
	content, err := os.ReadFile(s.program)
	if err == nil {
		err = os.MkdirAll(filepath.Join(s.root, "v0.1.0"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.root, "v0.1.0", "reconciler"), content, 0o755)
	}
	if err == nil {
		err = os.Symlink("v0.1.0", filepath.Join(s.root, "latest"))
	}
	if err != nil {
		s.Fatal(err)
	}
}

// TestHandoversUnderSystemd is that one version after another becomes the service
// without a request lost and without a restart; that a bad one does not; and that
// a stop and a start lose no request either, as systemd holds the socket.
//
// It has the machine for itself: others count what they can do in some time.
func TestHandoversUnderSystemd(t *testing.T) {
	s := newSucceeding(t)
	versioned := s.template()
	version, sum := versioned(0)
	s.push(version, sum, "")
	s.byHand()
	m := s.systemd()
	m.ctl("start", "reconciler.socket")
	s.tells("(?m)version ", "status") // which starts it
	s.works(version)
	m.serves(version)
	l, before, began := s.load(100), s.usage(), time.Now()
	for n := range handovers {
		version, sum = versioned(n + 1)
		s.push(version, sum, "")
		s.works(version)
		m.serves(version)
	}
	t.Logf("%d handovers in %s", handovers, time.Since(began).Round(time.Millisecond))
	pid := m.serves(version)
	bad := s.make("v0.8.0", "./testdata/impostor", "dies-later")
	s.push("v0.8.0", bad, "")
	s.tells("! v0.8.0 failed: ", "get", "upgrades")
	s.unbroken(l)
	m.want("MainPID", pid)
	m.want("NRestarts", "0")
	m.want("ActiveState", "active")
	if log := readFile(t, filepath.Join(s.state, "log")); strings.Contains(string(log), "events were lost") {
		t.Error("a handover was told as a loss of events")
	}
	if after := s.usage(); after.descriptors > before.descriptors+10 || after.processes != 1 {
		t.Errorf("it grew from %+v to %+v", before, after)
	}
	m.ctl("reload", "reconciler.service")
	for range 3 { // systemd does not wait for the end of a process whose parent it was not
		m.ctl("restart", "reconciler.service")
		s.tells("(?m)version "+version+"$", "status")
		m.serves(version)
	}
	m.ctl("stop", "reconciler.service")
	m.want("ActiveState", "inactive")
	s.works(version) // who asks starts it
	m.want("NRestarts", "0")
}
