package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/release"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// TestHandMadeLayout is that a layout of before is used, gone back to, and not
// removed.
func TestHandMadeLayout(t *testing.T) {
	root := artifacts(t, openDir(t), 100)
	old := filepath.Join(root, "v0.9.0/bin")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(old, "tool"), []byte(script("v0.9.0")), 0o755), os.Symlink("v0.9.0", filepath.Join(root, "latest"))); err != nil {
		t.Fatal(err)
	}
	r := release.At(root)
	if dir, err := r.Current(); err != nil || dir != "../v0.9.0" || resource.ReleaseVersion(dir) != "v0.9.0" {
		t.Fatalf("latest leads to %q (%v)", dir, err)
	}
	if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	sound(t, root)
	j, ok, err := r.Journal()
	if err != nil || !ok || j.Previous != "../v0.9.0" {
		t.Fatalf("journal %+v (%v)", j, err)
	}
	if err := r.Flip(j.Previous); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(root, "latest")); err != nil || target != "v0.9.0" {
		t.Fatalf("latest is %q (%v)", target, err)
	}
}

// TestDamageIsMended is that what was changed, is missing or was added shows,
// and is put right from the archive that was kept.
func TestDamageIsMended(t *testing.T) {
	for name, hurt := range map[string]func(dir string) error{
		"changed": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "bin/tool"), []byte("#!/bin/sh\necho tool v1.0.1\n"), 0o755)
		},
		"missing": func(dir string) error { return os.Remove(filepath.Join(dir, "bin/tool")) },
		"added":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "bin/more"), nil, 0o755) },
		"a mode":  func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/tool"), 0o644) },
		"setuid":  func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/tool"), fs.ModeSetuid|0o755) },
		"owner":   func(dir string) error { return os.Chown(filepath.Join(dir, "bin/tool"), 65534, 65534) },
		"a link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "bin/tool")), os.Symlink("/bin/true", filepath.Join(dir, "bin/tool")))
		},
		"all of it": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			root := artifacts(t, openDir(t), 100)
			d := Open(Config{})
			if err := upgrade(d, root, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			r, _ := wanted(root, "v1.0.0")
			if err := hurt(release.At(root).Version(r.Dir)); err != nil {
				t.Fatal(err)
			}
			if err := upgrade(d, root, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			sound(t, root)
			clean(t, root)
		})
	}
}

// TestPreflight lists what makes a version unfit, and that nothing of it is left.
func TestPreflight(t *testing.T) {
	for name, tt := range map[string]struct {
		program string
		want    string
	}{
		"another version": {script("v1.0.1"), "and not version v2.0.0"},
		"it fails":        {"#!/bin/sh\nexit 7\n", "exit status 7"},
		"it hangs":        {"#!/bin/sh\nsleep 60\n", "not done within"},
		"it goes on":      {"#!/bin/sh\nwhile :; do echo x; done\n", "not done within"},
		"no program":      {"", "exec"},
		"it asks who":     {"#!/bin/sh\n[ $(id -u) != 0 ] && echo tool v2.0.0\n", ""},
		"it leaves one":   {"#!/bin/sh\nsleep 61 &\necho tool v2.0.0\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := openDir(t)
			root := artifacts(t, base, 100)
			if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			tree := filepath.Join(base, "tree")
			if err := errors.Join(os.MkdirAll(tree, 0o755), os.WriteFile(filepath.Join(tree, "tool"), []byte(tt.program), 0o755)); err != nil {
				t.Fatal(err)
			}
			err := preflight(context.Background(), tree, resource.Release{
				Version: "v2.0.0", Command: "tool", Preflight: resource.Preflight{Version: []string{"--version"}, Timeout: 300 * time.Millisecond},
			})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// openDir is a directory that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "release-*")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestFullDisk upgrades on disks of many sizes, and with few inodes: it succeeds,
// or says that the disk is full and leaves the former version as it was.
func TestFullDisk(t *testing.T) {
	testns.NeedRoot(t)
	const size = 1 << 20
	base := openDir(t)
	artifacts(t, base, size)
	fits, full := 0, 0
	for _, disk := range sweep() {
		mount := filepath.Join(openDir(t), "m")
		if err := os.Mkdir(mount, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", mount, "tmpfs", 0, disk.options+",mode=755"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
		for _, version := range []string{"v1.0.0", "v2.0.0"} {
			if err := os.Symlink(filepath.Join(base, version+".tar.gz"), filepath.Join(mount, version+".tar.gz")); err != nil {
				t.Fatal(err)
			}
		}
		root := filepath.Join(mount, "root")
		if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
			saysFull(t, disk.options, err)
			full++
			continue
		}
		sound(t, root)
		fill(t, mount, disk.inodes)
		if err := upgrade(Open(Config{}), root, "v2.0.0"); err != nil {
			saysFull(t, disk.options, err)
			full++
		} else {
			fits++
		}
		sound(t, root)
	}
	t.Logf("%d fitted, %d did not", fits, full)
	if fits < 3 || full < 10 {
		t.Errorf("%d fitted, %d did not: not the sweep that was meant", fits, full)
	}
}

// fill leaves a disk with as many inodes; with as many as there are where it is
// negative.
func fill(t *testing.T, mount string, left int) {
	t.Helper()
	for i := 0; left >= 0; i++ {
		var s unix.Statfs_t
		if err := unix.Statfs(mount, &s); err != nil {
			t.Fatal(err)
		}
		if int(s.Ffree) <= left {
			return
		}
		if err := os.WriteFile(filepath.Join(mount, fmt.Sprint("x", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// disk is one to upgrade on.
type disk struct {
	options string
	inodes  int // free after the first version; negative: as many as there are
}

func sweep() []disk {
	var out []disk
	for kib := 512; kib <= 16<<10; kib += 512 {
		out = append(out, disk{fmt.Sprintf("size=%dk", kib), -1})
	}
	for left := range 60 {
		out = append(out, disk{"size=64m,nr_inodes=200", left})
	}
	return out
}

func saysFull(t *testing.T, options string, err error) {
	t.Helper()
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "disk full") && !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%s: %v", options, err)
	}
}

// TestReadOnlyDisk is that nothing can be upgraded there, and that this is told.
func TestReadOnlyDisk(t *testing.T) {
	testns.NeedRoot(t)
	base := openDir(t)
	artifacts(t, base, 100)
	mount := filepath.Join(base, "m")
	if err := errors.Join(os.Mkdir(mount, 0o755), unix.Mount("none", mount, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	root := artifacts(t, mount, 100)
	if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := upgrade(Open(Config{}), root, "v2.0.0"); !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v", err)
	}
	sound(t, root)
}

// TestUnreadableJournal is that one blocks nothing.
func TestUnreadableJournal(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "{", "another state": `{"state":"later"}`, "empty": "", "zeros": strings.Repeat("\x00", 4096)} {
		t.Run(name, func(t *testing.T) {
			root := artifacts(t, openDir(t), 100)
			if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, ".upgrade/journal"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if candidates, err := release.At(root).Boot("bin/tool"); len(candidates) == 0 || err == nil {
				t.Errorf("a start finds %v (%v)", candidates, err)
			}
			if err := upgrade(Open(Config{}), root, "v2.0.0"); err != nil {
				t.Fatal(err)
			}
			sound(t, root)
		})
	}
}

// TestBootGoesBack is that a version that is being tried is started a few times,
// and then left by who starts it.
func TestBootGoesBack(t *testing.T) {
	root := artifacts(t, openDir(t), 100)
	for _, version := range []string{"v1.0.0", "v2.0.0"} {
		if err := upgrade(Open(Config{}), root, version); err != nil {
			t.Fatal(err)
		}
	}
	old, _ := wanted(root, "v1.0.0")
	next, c := wanted(root, "v2.0.0")
	r := release.At(root)
	if err := r.WriteJournal(resource.Journal{Upgrade: "u", State: resource.JournalTrying, From: old.Dir, To: next.Dir}); err != nil {
		t.Fatal(err)
	}
	for i := range resource.MaxReleaseStarts + 2 {
		candidates, err := r.Boot("bin/tool")
		if err != nil || len(candidates) == 0 {
			t.Fatal(candidates, err)
		}
		dir, err := r.Current()
		if want := map[bool]string{true: next.Dir, false: old.Dir}[i < resource.MaxReleaseStarts]; err != nil || dir != want {
			t.Fatalf("start %d: latest leads to %s, want %s (%v)", i+1, dir, want, err)
		}
	}
	d := Open(Config{})
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: c})
	have, err := d.Observe(context.Background(), observed.Query{Want: want})
	if err != nil {
		t.Fatal(err)
	}
	o, _ := have.Objects.Get(resource.JournalKey("u"))
	if j := o.Resource.(resource.Journal); j.State != resource.JournalRollback || j.Fault(next.Dir) == "" {
		t.Fatalf("journal %+v", j)
	}
}

// TestSamples tells which version is in use, and what an upgrade does.
func TestSamples(t *testing.T) {
	root := artifacts(t, openDir(t), 100)
	d := Open(Config{})
	if got := d.Samples(nil); len(got) != 0 {
		t.Errorf("before a look: %v", got)
	}
	if err := upgrade(d, root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	r, current := wanted(root, "v1.0.0")
	journal := resource.Journal{State: resource.JournalTrying, From: "../v0", To: r.Dir, Bad: []resource.BadRelease{{Dir: "v0.9.0-abc"}}}
	if err := release.At(root).WriteJournal(journal); err != nil {
		t.Fatal(err)
	}
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: current})
	if _, err := d.Observe(context.Background(), observed.Query{Want: want}); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, s := range d.Samples(want) {
		got[s.Name+" "+s.Labels[len(s.Labels)-1].Value] = s.Value
	}
	for name, value := range map[string]float64{
		"upgrade_version_info v1.0.0": 1, "upgrade_state trying": 1, "upgrade_state idle": 0, "upgrade_state rolling-back": 0,
		"upgrade_failed_versions " + r.Upgrade: 1,
	} {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, value)
		}
	}
}
