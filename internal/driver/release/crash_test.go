package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/release"
	"reconciler/internal/resource"
	"reconciler/internal/shim"
	"reconciler/test/tarball"
)

// The environment of a child that upgrades, and dies at a point or when it is
// killed.
const (
	envRoot  = "TEST_RELEASE_ROOT"
	envWant  = "TEST_RELEASE_WANT" // the version
	envPoint = "TEST_RELEASE_POINT"
	envForth = "TEST_RELEASE_FORTH" // go back and forth until killed
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shim.Command {
		fmt.Fprintln(os.Stderr, shim.Exec())
		os.Exit(127)
	}
	if root := os.Getenv(envRoot); root != "" {
		os.Exit(upgradeAgain(root))
	}
	os.Exit(m.Run())
}

func upgradeAgain(root string) int {
	point := os.Getenv(envPoint)
	d := Open(Config{At: func(name string) {
		if name == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}})
	versions := []string{os.Getenv(envWant)}
	if os.Getenv(envForth) != "" {
		versions = []string{"v1.0.0", "v2.0.0"}
	}
	for i := 0; i == 0 || os.Getenv(envForth) != ""; i++ {
		if err := upgrade(d, root, versions[i%len(versions)]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// script is the program of a version: it prints which one it is.
func script(version string) string { return "#!/bin/sh\necho tool " + version + "\n" }

// pack makes the artifact of a version, with a file of some size beside the
// program.
func pack(version string, size int) []byte {
	junk := make([]byte, size)
	for i := range junk {
		junk[i] = byte(rand.Uint32()) // does not compress
	}
	packed, _ := tarball.Of(map[string][]byte{"bin/tool": []byte(script(version)), "share/junk": junk})
	return packed
}

// artifacts puts those of both versions beside a root, and returns the root.
func artifacts(t *testing.T, base string, size int) string {
	t.Helper()
	for _, version := range []string{"v1.0.0", "v2.0.0"} {
		if err := os.WriteFile(filepath.Join(base, version+".tar.gz"), pack(version, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(base, "root")
}

func wanted(root, version string) (resource.Release, resource.Current) {
	path := filepath.Join(filepath.Dir(root), version+".tar.gz")
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	r := resource.Release{
		Upgrade: "u", Root: root, Version: version, Dir: resource.ReleaseDir(version, digest), Command: "bin/tool",
		Source:    resource.ObjectSource{URL: "file://" + path, SHA256: digest},
		Preflight: resource.Preflight{Version: []string{"--version"}, Timeout: 5 * time.Second},
	}
	return r, resource.Current{
		Upgrade: "u", Root: root, Dir: r.Dir, Version: version, Mode: resource.StartNone, Keep: 2, AllowDowngrade: true,
	}
}

// upgrade goes on until a version is in use and kept, as the engine would.
func upgrade(d *Driver, root, version string) error {
	r, c := wanted(root, version)
	want := resource.NewSet(2)
	want.Put(resource.Object{Resource: r})
	want.Put(resource.Object{Resource: c})
	ctx := context.Background()
	if err := d.Fetch(ctx, want); err != nil {
		return err
	}
	for range 20 {
		have, err := d.Observe(ctx, observed.Query{Want: want})
		if err != nil {
			return err
		}
		u := intent.Upgrade(want, have.Objects, intent.UpgradeFacts{Now: intent.Moment{At: intent.Instant(bootNow()), Boot: "b"}, Settled: true})
		plan, err := diff.Compute(u.Want, have)
		if err != nil {
			return err
		}
		if plan.Empty() {
			return nil
		}
		if err := errors.Join(d.Apply(ctx, plan.Ops)...); err != nil {
			return err
		}
	}
	return errors.New("it does not come to rest")
}

func bootNow() time.Duration { return time.Duration(time.Now().UnixNano()) }

// start starts a child.
func start(root, version string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append([]string{envRoot + "=" + root, envWant + "=" + version}, env...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// sound wants latest to lead to a whole version that starts.
func sound(t *testing.T, root string) {
	t.Helper()
	r := release.At(root)
	dir, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Manifest(dir)
	if err != nil {
		t.Fatalf("latest leads to %q: %v", dir, err)
	}
	if damage := r.Damage(dir, m, nil); len(damage) > 0 {
		t.Fatalf("latest leads to %s: %v", dir, damage)
	}
	out, err := exec.Command(filepath.Join(root, "latest/bin/tool")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "tool "+m.Version {
		t.Fatalf("%s starts as %q (%v)", dir, out, err)
	}
}

// clean wants no leftovers.
func clean(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"staged", "gone"} {
		if entries, err := os.ReadDir(filepath.Join(root, ".upgrade", dir)); err != nil || len(entries) > 0 {
			t.Fatalf("left in %s: %v (%v)", dir, entries, err)
		}
	}
	versions, _ := os.ReadDir(filepath.Join(root, "versions"))
	manifests, _ := os.ReadDir(filepath.Join(root, ".upgrade/manifest"))
	if len(versions) != len(manifests) || len(versions) > 2 {
		t.Fatalf("%d versions, %d manifests", len(versions), len(manifests))
	}
	for _, pattern := range []string{"*.tmp", "cache/tmp-*"} {
		if left, _ := filepath.Glob(filepath.Join(root, ".upgrade", pattern)); len(left) > 0 {
			t.Fatalf("left: %v", left)
		}
	}
}

// points are all there are: the test fails if one is never met.
var points = []string{
	"preflight-passed", "publish-staged", "publish-manifest", "publish-renamed", "journal-begin", "journal-written", "flip-linked", "flip-renamed",
	"remove-renamed", "remove-manifest",
}

// TestKilledAtEachPoint kills an upgrade at each point, and its recovery at each
// point, and then lets it go on.
func TestKilledAtEachPoint(t *testing.T) {
	met := make(map[string]int)
	for _, first := range points {
		for _, second := range points {
			root := artifacts(t, openDir(t), 1000)
			if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(first, "remove-") || strings.HasPrefix(second, "remove-") {
				litter(t, root)
			}
			for _, point := range []string{first, second} {
				if err := start(root, "v2.0.0", envPoint+"="+point).Run(); err != nil {
					met[point]++
				}
				sound(t, root)
			}
			d := Open(Config{})
			if err := upgrade(d, root, "v2.0.0"); err != nil {
				t.Fatalf("%s, %s: %v", first, second, err)
			}
			sound(t, root)
			clean(t, root)
		}
	}
	for _, point := range points {
		if met[point] < len(points) {
			t.Errorf("%s killed only %d times", point, met[point])
		}
	}
}

// litter adds a version that is to be removed.
func litter(t *testing.T, root string) {
	t.Helper()
	tree := filepath.Join(openDir(t), "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	err := release.At(root).Publish("v0.1.0-000000000000", release.Manifest{Version: "v0.1.0"}, func(to string) error {
		return os.CopyFS(to, os.DirFS(tree))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKilledAtRandom kills upgrades and downgrades in a row at random moments.
func TestKilledAtRandom(t *testing.T) {
	kills := 200
	if n, err := strconv.Atoi(os.Getenv("SOAK_KILLS")); err == nil {
		kills = n
	}
	root := artifacts(t, openDir(t), 20000)
	if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	for range kills {
		cmd := start(root, "", envForth+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		sound(t, root)
	}
	for _, version := range []string{"v1.0.0", "v2.0.0"} {
		if err := upgrade(Open(Config{}), root, version); err != nil {
			t.Fatal(err)
		}
	}
	sound(t, root)
	clean(t, root)
}

// TestTwoAtOnce is that two upgrades of one root do not hurt each other.
func TestTwoAtOnce(t *testing.T) {
	root := artifacts(t, openDir(t), 100000)
	if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		a, b := start(root, "v1.0.0"), start(root, "v2.0.0")
		a.Stderr, b.Stderr = nil, nil // one of them is told that the other is at work
		if err := errors.Join(a.Start(), b.Start()); err != nil {
			t.Fatal(err)
		}
		first, second := a.Wait(), b.Wait()
		if first != nil && second != nil {
			t.Errorf("both failed: %v, %v", first, second)
		}
		sound(t, root)
	}
}
