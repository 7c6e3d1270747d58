package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// offer makes the artifact of a version of reconciler, and returns its digest.
func (u unit) offer(version string, program []byte) string {
	u.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		u.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: "reconciler", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(program)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		u.Fatal(err)
	}
	u.write("/srv/artifacts/"+version+".tar.gz", b.String())
	return fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

// upgrade declares a version. What it prints of itself is that of its build.
func (u unit) upgrade(version, sum string) {
	u.Helper()
	u.write(tree+"/upgrade.yaml", fmt.Sprintf(`version: 1
upgrades:
  reconciler:
    version: %s
    artifact: {url: "file:///srv/artifacts/{version}.tar.gz", sha256: "%s"}
    start: {mode: handover}
    preflight: {version: []}
    ready: {timeout: 20s}
    soak: 1s
`, version, sum))
}

// TestSystemdUpgrade wants another process to be the service after an upgrade,
// as systemd sees it too; a bad version to change nothing; and the version in
// use to be what the unit starts from then on.
func TestSystemdUpgrade(t *testing.T) {
	u := enforced(t)
	program, err := os.ReadFile("/usr/bin/reconciler")
	if err != nil {
		t.Fatal(err)
	}
	restarts, before := u.property("NRestarts"), u.property("MainPID")
	u.upgrade("v0.2.0", u.offer("v0.2.0", program))
	u.within(2*soon, "another main process", func() bool { return u.property("MainPID") != before })
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	pid := u.property("MainPID")
	runs := func() string {
		path, err := os.Readlink("/proc/" + u.property("MainPID") + "/exe")
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if !strings.HasPrefix(runs(), "/usr/local/lib/reconciler/versions/v0.2.0-") {
		t.Errorf("the service runs %s", runs())
	}
	u.want("ActiveState", "active")
	u.want("NRestarts", restarts)
	u.applied()

	u.upgrade("v0.3.0", u.offer("v0.3.0", []byte("no program")))
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
	u.run("reconciler", "status", "--wait", "--timeout", "30s")
	if !strings.HasPrefix(runs(), "/usr/local/lib/reconciler/versions/v0.2.0-") {
		t.Errorf("after a restart the service runs %s", runs())
	}
	u.applied()
}
