// Swap is what a guest does until its power is cut: one version after another
// comes into use on a disk, and each is told on the console once it is there. At
// its start it looks at what the cut before has left.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/artifact"
	"reconciler/internal/release"
	"reconciler/internal/resource"
	"reconciler/test/guest/script"
	"reconciler/test/tarball"
)

const (
	disk  = "/dev/vda"
	mount = "/mnt"
	root  = mount + "/tool"

	size = 256 << 10 // bytes of a version, which do not compress
)

func main() {
	if err := run(); err != nil {
		fmt.Println("--- FAIL:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := errors.Join(os.MkdirAll(mount, 0o755), unix.Mount(disk, mount, "ext4", 0, "")); err != nil {
		return fmt.Errorf("mount %s: %w", disk, err)
	}
	r := release.At(root)
	if err := errors.Join(r.Make(), r.Sweep()); err != nil {
		return err
	}
	told, over, err := orders()
	if err != nil {
		return err
	}
	now, err := found(r)
	switch {
	case err != nil:
		return err
	case now < told:
		return fmt.Errorf("version %d is in use, and %d was acknowledged", now, told)
	case over:
		fmt.Printf("--- PASS: version %d is in use, and whole; %d was acknowledged\n", now, told)
		return unix.Unmount(mount, 0)
	}
	for {
		now++
		if err := swap(r, now); err != nil {
			return err
		}
		fmt.Println(script.Acknowledged, now)
	}
}

// orders are what the kernel was told for us: the last version that was
// acknowledged, and whether this is to be the end.
func orders() (told int, over bool, err error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return 0, false, err
	}
	for _, word := range strings.Fields(string(line)) {
		if n, ok := strings.CutPrefix(word, script.AcknowledgedOption); ok {
			told, err = strconv.Atoi(n)
		}
		over = over || word == script.OverOption
	}
	return told, over, err
}

// found is the number of the version in use, which must be whole; 0 for none.
func found(r *release.Root) (int, error) {
	dir, err := r.Current()
	if err != nil || dir == "" {
		return 0, err
	}
	m, err := r.Manifest(dir)
	if err != nil {
		return 0, err
	}
	if damage := r.Damage(dir, m, nil); len(damage) > 0 {
		return 0, fmt.Errorf("version %s is in use: %v", dir, damage)
	}
	if _, _, err := r.Journal(); err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimPrefix(m.Version, "v0.0."))
}

// swap brings a version into use in the steps of an upgrade.
func swap(r *release.Root, n int) error {
	version := fmt.Sprintf("v0.0.%d", n)
	path := "/tmp/artifact.tar.gz"
	content, sum, err := pack(version)
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		return err
	}
	ref := artifact.Ref{URL: "file://" + path, SHA256: sum}
	store, err := artifact.Open(r.Cache(), artifact.Options{})
	if err == nil {
		err = store.Fetch(context.Background(), ref)
	}
	if err != nil {
		return err
	}
	dir := resource.ReleaseDir(version, ref.SHA256)
	before, err := r.Current()
	if err != nil {
		return err
	}
	m := release.Manifest{Version: version, SHA256: ref.SHA256}
	for _, step := range []func() error{
		func() error { return r.Publish(dir, m, func(to string) error { return store.Move(ref, to) }) },
		func() error {
			return r.WriteJournal(resource.Journal{Upgrade: "tool", State: resource.JournalTrying, From: before, To: dir})
		},
		func() error { return r.Flip(dir) },
		func() error { return r.WriteJournal(resource.Journal{Upgrade: "tool", Previous: before}) },
		func() error { return prune(r, dir) },
		func() error { return store.Keep([]artifact.Ref{ref}) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// prune removes all versions but one.
func prune(r *release.Root, but string) error {
	all, err := r.Versions()
	for dir := range all {
		if dir != but {
			err = errors.Join(err, r.Remove(dir))
		}
	}
	return err
}

func pack(version string) (packed []byte, sum string, err error) {
	junk := make([]byte, size)
	if _, err := rand.Read(junk); err != nil {
		return nil, "", err
	}
	packed, sum = tarball.Of(map[string][]byte{"bin/tool": []byte(version), "share/junk": junk})
	return packed, sum, nil
}
