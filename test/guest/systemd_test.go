package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler/examples/chains"
)

const (
	service = "reconciler"
	tree    = "/srv/edge"
	// soon is for what takes a second on a real machine.
	soon = 20 * time.Second
)

// enforcing is what the service is told after its installation. It confirms by a
// ping, which opens a socket of another kind than the rest.
const enforcing = `version: 1
source: {dir: ` + tree + `}
mode: enforce
confirm: {probes: [{ping: 127.0.0.1}]}
`

const declared = `version: 1
interfaces:
  d0: {kind: dummy, mtu: 1400, addresses: [192.0.2.10/24]}
sysctl: {net.ipv4.ip_forward: 1}
programs:
  count: {object: {file: count.bpf.o}, entry: count_xdp}
chains:
  d0: {xdp-ingress: {mode: generic, programs: [count]}}
`

// unit is the service as systemd has it.
type unit struct{ *testing.T }

// run runs a program and wants its success.
func (u unit) run(name string, args ...string) string {
	u.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := exec.Command("journalctl", "--no-pager", "-n", "40", "-o", "cat", "-u", service).CombinedOutput()
		u.Fatalf("%s: %v\n%s\n%s", strings.Join(cmd.Args, " "), err, out, log)
	}
	return strings.TrimSpace(string(out))
}

// systemctl names the service after a verb.
func (u unit) systemctl(verb string, args ...string) {
	u.Helper()
	u.run("systemctl", append(append([]string{verb}, args...), service)...)
}

// property is one of the service, as `systemctl show` prints it.
func (u unit) property(name string) string {
	u.Helper()
	return u.run("systemctl", "show", "--value", "-p", name, service)
}

func (u unit) want(property, want string) {
	u.Helper()
	if got := u.property(property); got != want {
		u.Errorf("%s=%s, want %s", property, got, want)
	}
}

// within waits for a condition.
func (u unit) within(d time.Duration, what string, holds func() bool) {
	u.Helper()
	for end := time.Now().Add(d); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			status, _ := exec.Command("reconciler", "status").CombinedOutput() // 1 where it is not in sync
			u.Fatalf("not within %v: %s\n%s\n%s", d, what, status, u.run("journalctl", "--no-pager", "-n", "40", "-o", "cat", "-u", service))
		}
	}
}

// restarted waits for systemd to start the service again after restarts of
// its own.
func (u unit) restarted(restarts string) {
	u.Helper()
	u.within(soon, "started again", func() bool {
		return u.property("NRestarts") != restarts && u.property("ActiveState") == "active"
	})
}

// metric is the sum of the series that a prefix selects.
func (u unit) metric(prefix string) (sum float64) {
	u.Helper()
	answer, err := http.Get("http://127.0.0.1:9377/metrics")
	if err != nil {
		u.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		u.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(prefix)+`.* (\S+)$`).FindAllStringSubmatch(string(text), -1)
	if len(found) == 0 {
		u.Fatalf("no series %s", prefix)
	}
	for _, series := range found {
		value, err := strconv.ParseFloat(series[1], 64)
		if err != nil {
			u.Fatal(err)
		}
		sum += value
	}
	return sum
}

// applied fails unless the kernel is as declared.
func (u unit) applied() {
	u.Helper()
	if out := u.run("ip", "address", "show", "dev", "d0"); !strings.Contains(out, "mtu 1400") || !strings.Contains(out, "192.0.2.10/24") {
		u.Errorf("d0 is not as declared:\n%s", out)
	}
	if out := u.run("ip", "link", "show", "dev", "d0"); !strings.Contains(out, "prog/xdp") {
		u.Errorf("no chain is on d0:\n%s", out)
	}
	if got := u.file("/proc/sys/net/ipv4/ip_forward"); got != "1" {
		u.Errorf("ip_forward is %s", got)
	}
}

func (u unit) file(name string) string {
	u.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		u.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (u unit) write(name, text string) {
	u.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		u.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		u.Fatal(err)
	}
}

// index is the number that a link keeps as long as it lives.
func (u unit) index() string {
	u.Helper()
	return u.file("/sys/class/net/d0/ifindex")
}

// installed is the service after README's own commands. They are run by the
// first test; the next ones find what it left.
func installed(t *testing.T) unit {
	t.Helper()
	if os.Getenv("RECONCILER_GUEST") != "systemd" {
		t.Skip("for a guest with systemd: make test-guest")
	}
	u := unit{t}
	if _, err := os.Stat("/usr/bin/reconciler"); err == nil {
		return u
	}
	_, section, _ := strings.Cut(u.file("../../README.md"), "## Install")
	_, block, _ := strings.Cut(section, "```sh\n")
	commands, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(commands, "systemctl enable --now") {
		t.Fatalf("README's installation is not found: %q", commands)
	}
	commands = strings.NewReplacer("make build && ", "", "sudo ", "").Replace(commands)
	u.run("bash", "-exuo", "pipefail", "-c", commands)
	return u
}

// enforced is the service in charge of d0.
func enforced(t *testing.T) unit {
	t.Helper()
	u := installed(t)
	if !strings.Contains(u.file("/etc/reconciler/agent.yaml"), tree) {
		u.write(tree+"/count.bpf.o", string(chains.Count))
		u.write(tree+"/net.yaml", declared)
		u.write("/etc/reconciler/agent.yaml", enforcing)
		u.systemctl("restart")
	}
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	return u
}

// TestSystemdInstall wants the service active by its own word, in observe mode
// and with a repository that cannot be reached, as it is shipped.
func TestSystemdInstall(t *testing.T) {
	u := installed(t)
	u.want("ActiveState", "active")
	u.want("Type", "notify")
	u.want("NRestarts", "0")
	u.want("UnitFileState", "enabled")
	if text := u.property("StatusText"); !strings.Contains(text, "SourceUnhealthy") {
		t.Errorf("StatusText=%s", text)
	}
	if out := u.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/reconciler.service"); strings.Contains(out, service) {
		t.Errorf("verify: %s", out)
	}
}

// TestSystemdEnforce wants the kernel as declared through all that the unit
// takes away.
func TestSystemdEnforce(t *testing.T) {
	u := enforced(t)
	u.within(soon, "StatusText of a service in sync", func() bool { return strings.HasPrefix(u.property("StatusText"), "in sync") })
	u.applied()
	if n := u.metric("reconciler_confirmed_total"); n != 1 {
		t.Errorf("%v applies confirmed by a ping, want 1", n)
	}
	for name, want := range map[string]string{
		"/run/reconciler":                 "drwxr-xr-x root root",
		"/run/reconciler/reconciler.sock": "srw-rw---- root root",
		"/var/lib/reconciler":             "drwx------ root root",
	} {
		if got := u.run("stat", "-c", "%A %U %G", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestSystemdConfinement looks at the process from outside.
func TestSystemdConfinement(t *testing.T) {
	u := enforced(t)
	proc := "/proc/" + u.property("MainPID")
	status := u.file(proc + "/status")
	for _, want := range []string{"CapBnd:\t000000c0002030e0", "CapEff:\t000000c0002030e0", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	for _, dir := range []string{"/etc", "/usr/bin", "/root", tree} {
		err := os.WriteFile(proc+"/root"+dir+"/probe", nil, 0o600)
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("write below %s: %v, want %v", dir, err, syscall.EROFS)
		}
	}
}

// TestSystemdChain wants a program replaced, and a pin that is gone put back:
// both open by their ids what the kernel runs.
func TestSystemdChain(t *testing.T) {
	u := enforced(t)
	pin := func() string { // of the dispatcher that runs
		found, err := filepath.Glob("/sys/fs/bpf/reconciler/*/chains/d0/xdp-ingress/*/dispatcher")
		if err != nil || len(found) != 1 {
			t.Fatalf("pins of dispatchers: %v %v", found, err)
		}
		return found[0]
	}
	first := pin()
	u.write(tree+"/net.yaml", strings.Replace(declared, "entry: count_xdp", "entry: count_xdp, constants: {sample_rate: 2}", 1))
	u.within(soon, "another generation", func() bool { return !exists(first) })
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	second := pin()
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	u.within(soon, "a chain that is repaired", func() bool {
		found, _ := filepath.Glob(filepath.Dir(filepath.Dir(second)) + "/*/dispatcher")
		return len(found) == 1
	})
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	u.applied()
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// TestSystemdReload wants a pass because of a reload, and the same process.
func TestSystemdReload(t *testing.T) {
	u := enforced(t)
	const passes = `reconciler_passes_total{cause="request"}`
	pid, before := u.property("MainPID"), u.metric(passes)
	u.systemctl("reload")
	u.within(5*time.Second, "a pass on request", func() bool { return u.metric(passes) > before })
	u.want("MainPID", pid)
	u.want("ActiveState", "active")
}

// TestSystemdKill wants a killed service back, and nothing written by it.
func TestSystemdKill(t *testing.T) {
	u := enforced(t)
	pid, link, restarts := u.property("MainPID"), u.index(), u.property("NRestarts")
	u.systemctl("kill", "-s", "KILL")
	u.restarted(restarts)
	if u.property("MainPID") == pid {
		t.Errorf("the process is still %s", pid)
	}
	u.untouched(link)
}

// untouched wants a service in sync that changed nothing since its start.
func (u unit) untouched(link string) {
	u.Helper()
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	if n := u.metric("reconciler_operations_total"); n != 0 {
		u.Errorf("%v operations since the start, want 0", n)
	}
	if got := u.index(); got != link {
		u.Errorf("d0 is link %s, it was %s", got, link)
	}
	u.applied()
}

// TestSystemdWatchdog wants a service that lives left alone, and one that hangs
// replaced. The unit's own minute is too long to wait for.
func TestSystemdWatchdog(t *testing.T) {
	u := enforced(t)
	u.want("WatchdogUSec", "1min")
	const dropIn = "/etc/systemd/system/reconciler.service.d/short.conf"
	u.write(dropIn, "[Service]\nWatchdogSec=4\n")
	t.Cleanup(func() {
		if err := os.Remove(dropIn); err != nil {
			t.Error(err)
		}
		u.run("systemctl", "daemon-reload")
	})
	u.run("systemctl", "daemon-reload")
	u.systemctl("restart")
	link := u.index()
	for range 3 {
		heard := u.property("WatchdogTimestampMonotonic")
		u.within(soon, "a sign of life", func() bool { return u.property("WatchdogTimestampMonotonic") != heard })
	}
	u.want("NRestarts", "0")

	u.systemctl("kill", "-s", "STOP")
	u.restarted("0")
	if log := u.run("journalctl", "--no-pager", "-o", "cat", "-u", service); !strings.Contains(log, "Watchdog timeout") {
		t.Errorf("it was not the watchdog:\n%s", log)
	}
	u.untouched(link)
}

// TestSystemdStop wants the network to outlive the service.
func TestSystemdStop(t *testing.T) {
	u := enforced(t)
	link := u.index()
	u.systemctl("stop")
	u.want("ActiveState", "inactive")
	u.want("Result", "success")
	if got := u.index(); got != link {
		t.Errorf("d0 is link %s, it was %s", got, link)
	}
	u.applied()
	err := exec.Command("reconciler", "status").Run()
	if want := "exit status 3"; fmt.Sprint(err) != want {
		t.Errorf("status of no daemon: %v, want %s", err, want)
	}
	u.systemctl("start")
	u.untouched(link)
}
