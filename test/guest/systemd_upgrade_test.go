package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/test/tarball"
)

// offer makes the artifact of a version of reconciler, and returns its digest.
func (u unit) offer(version string, program []byte) string {
	u.Helper()
	packed, sum := tarball.Of(map[string][]byte{"reconciler": program})
	u.write("/srv/artifacts/"+version+".tar.gz", string(packed))
	return sum
}

// upgrade declares a version. What it prints of itself is that of its build, so a
// check can want no more than that it runs, with what rights the unit leaves.
func (u unit) upgrade(version, sum, check string) {
	u.Helper()
	u.write(tree+"/upgrade.yaml", fmt.Sprintf(`version: 1
upgrades:
  reconciler:
    version: %s
    artifact: {url: "file:///srv/artifacts/{version}.tar.gz", sha256: "%s"}
    start: {mode: handover}
    preflight: {version: [], check: [%s], timeout: 20s}
    ready: {timeout: 20s}
    soak: 1s
`, version, sum, check))
}

// runs is what the service's main process executes; empty while there is none.
func (u unit) runs() string {
	u.Helper()
	path, _ := os.Readlink("/proc/" + u.property("MainPID") + "/exe")
	return path
}

// upgraded waits until the service's main process is of a version, and that is
// kept.
func (u unit) upgraded(version string) {
	u.Helper()
	u.within(2*soon, "the service runs "+version, func() bool {
		return strings.HasPrefix(u.runs(), "/usr/local/lib/reconciler/versions/"+version+"-")
	})
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
}

// TestSystemdUpgrade wants another process to be the service after an upgrade,
// as systemd sees it too, with what rights the unit leaves; a bad version to
// change nothing; and the version in use to be what the unit starts from then on.
func TestSystemdUpgrade(t *testing.T) {
	u := enforced(t)
	program, err := os.ReadFile("/usr/bin/reconciler")
	if err != nil {
		t.Fatal(err)
	}
	restarts := u.property("NRestarts")
	u.upgrade("v0.2.0", u.offer("v0.2.0", program), "version")
	u.upgraded("v0.2.0")
	u.want("ActiveState", "active")
	u.want("NRestarts", restarts)
	u.applied()

	pid := u.property("MainPID")
	u.upgrade("v0.3.0", u.offer("v0.3.0", []byte("no program")), "")
	u.within(soon, "a version that failed", func() bool {
		return strings.Contains(u.run("reconciler", "get", "upgrades"), "! v0.3.0 failed: it cannot be started: ")
	})
	u.want("MainPID", pid)
	u.want("NRestarts", restarts)
	u.applied()

	if err := os.Remove(filepath.Join(tree, "upgrade.yaml")); err != nil {
		t.Fatal(err)
	}
	u.systemctl("restart")
	u.upgraded("v0.2.0")
	u.applied()
}
