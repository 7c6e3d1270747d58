package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/release"
	"reconciler/internal/resource"
	"reconciler/test/tarball"
)

// one is a set of a version v2.0.0 whose program is a script.
func one(t *testing.T, script string) (*resource.Set, resource.Release) {
	t.Helper()
	base := openDir(t)
	packed, digest := tarball.Of(map[string][]byte{"tool": []byte(script)})
	path := filepath.Join(base, "tool.tar.gz")
	if err := os.WriteFile(path, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	r := resource.Release{
		Upgrade: "u", Root: filepath.Join(base, "root"), Version: "v2.0.0", Dir: resource.ReleaseDir("v2.0.0", digest), Command: "tool",
		Source:    resource.ObjectSource{URL: "file://" + path, SHA256: digest},
		Preflight: resource.Preflight{Version: []string{"--version"}, Timeout: 5 * time.Second},
	}
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: r})
	return want, r
}

// TestCalledOffFetch is that a preflight which was called off says nothing of the
// version.
func TestCalledOffFetch(t *testing.T) {
	want, r := one(t, "#!/bin/sh\nsleep 0.7\necho tool v2.0.0\n")
	d := Open(Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := d.Fetch(ctx, want); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if err := d.Fetch(context.Background(), want); err != nil || !d.here(r) {
		t.Fatalf("here: %t (%v)", d.here(r), err)
	}
}

// TestUnfitVersion is that an unfit version is told each time, and its program
// started once, until somebody forgives it or another one was wanted.
func TestUnfitVersion(t *testing.T) {
	starts := filepath.Join(openDir(t), "starts")
	if err := errors.Join(os.WriteFile(starts, nil, 0o666), os.Chmod(starts, 0o666)); err != nil {
		t.Fatal(err)
	}
	want, _ := one(t, "#!/bin/sh\necho x >> "+starts+"\nexit 3\n")
	d := Open(Config{})
	fails := func(after string, started int) {
		t.Helper()
		err := d.Fetch(context.Background(), want)
		told, read := os.ReadFile(starts)
		if !errors.Is(err, errPreflight) || read != nil || strings.Count(string(told), "x") != started {
			t.Errorf("%s: started %q, want %d times: %v (%v)", after, told, started, err, read)
		}
	}
	fails("first", 1)
	fails("again", 1)
	if _, notes := d.Resolve(context.Background(), want); len(notes) != 1 || !strings.Contains(notes[0].Text, "exit status 3") {
		t.Errorf("notes %+v", notes)
	}
	d.Forgive()
	fails("forgiven", 2)
	if err := d.Fetch(context.Background(), resource.NewSet(0)); err != nil {
		t.Error(err)
	}
	fails("wanted anew", 3)
}

// TestPreflightLimits is that a version which wants all of the memory, or fills
// the disk, is unfit, with the rights that the shipped unit leaves.
func TestPreflightLimits(t *testing.T) {
	for name, script := range map[string]string{
		"memory": "exec awk 'BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s }'",
		"disk":   "exec head -c 20000000 /dev/zero > /tmp/release-preflight-$$",
	} {
		t.Run(name, func(t *testing.T) {
			want, r := one(t, "#!/bin/sh\n"+script+"\n")
			err := Open(Config{}).Fetch(context.Background(), want)
			left, _ := filepath.Glob("/tmp/release-preflight-*")
			for _, path := range left {
				info, statErr := os.Stat(path)
				if statErr != nil || info.Size() > 16<<20 {
					t.Errorf("%s has %d bytes", path, info.Size())
				}
				_ = os.Remove(path)
			}
			if !errors.Is(err, errPreflight) || errors.Is(err, context.DeadlineExceeded) || Open(Config{}).here(r) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSenselessJournal is that it is put aside by who may write, and by nobody
// else.
func TestSenselessJournal(t *testing.T) {
	root := artifacts(t, openDir(t), 100)
	if err := upgrade(Open(Config{}), root, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(root, ".upgrade/journal")
	if err := os.WriteFile(journal, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, current := wanted(root, "v1.0.0")
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: current})
	for _, readOnly := range []bool{true, false} {
		state, err := Open(Config{ReadOnly: readOnly}).Observe(context.Background(), observed.Query{Want: want})
		if err != nil || len(state.Blind) > 0 {
			t.Fatal(err, state.Blind)
		}
		if _, err := os.Stat(journal); (err == nil) != readOnly {
			t.Errorf("read-only %t: %v", readOnly, err)
		}
	}
	if _, ok, err := release.At(root).Journal(); ok || err != nil {
		t.Errorf("journal: %t (%v)", ok, err)
	}
	sound(t, root)
}

// TestMendNeedsNobody is that damage is repaired though the archive is not where it
// was, and, where nothing was kept of it either, that this is told.
func TestMendNeedsNobody(t *testing.T) {
	want, r := one(t, "#!/bin/sh\necho tool v2.0.0\n")
	d := Open(Config{})
	if err := d.Fetch(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	root := release.At(r.Root)
	tool := filepath.Join(root.Version(r.Dir), "tool")
	if err := errors.Join(os.Remove(strings.TrimPrefix(r.Source.URL, "file://")), os.Remove(tool)); err != nil {
		t.Fatal(err)
	}
	update := diff.Op{Verb: diff.Update, Key: r.Key(), To: r}
	if err := d.Apply(context.Background(), []diff.Op{update})[0]; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root.Cache()); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(context.Background(), []diff.Op{update})[0]; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Error(err)
	}
}

// TestDamageOfASpare is that one damaged version has no other one read again.
func TestDamageOfASpare(t *testing.T) {
	root := artifacts(t, openDir(t), 1000)
	d := Open(Config{})
	for _, v := range []string{"v1.0.0", "v2.0.0"} {
		if err := upgrade(d, root, v); err != nil {
			t.Fatal(err)
		}
	}
	spare, _ := wanted(root, "v1.0.0")
	used, current := wanted(root, "v2.0.0")
	if err := os.WriteFile(filepath.Join(release.At(root).Version(spare.Dir), "extra"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: current})
	for range 3 { // in any order
		if _, err := d.Observe(context.Background(), observed.Query{Want: want}); err != nil {
			t.Fatal(err)
		}
		known := 0
		for path := range d.looks {
			if strings.Contains(path, used.Dir) {
				known++
			} else {
				t.Errorf("%s is taken for good", path)
			}
		}
		if known == 0 {
			t.Error("the good version is to be read again")
		}
	}
}
