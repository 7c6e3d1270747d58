package release

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"reconciler/internal/resource"
)

const program = "tool"

// tried is a root where v2 is tried in the place of v1.
func tried(t *testing.T) *Root {
	t.Helper()
	r := At(filepath.Join(t.TempDir(), "root"))
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"v1", "v2"} {
		err := r.Publish(dir, Manifest{Version: dir}, func(to string) error {
			return errors.Join(os.Mkdir(to, 0o755), os.WriteFile(filepath.Join(to, program), []byte("#!/bin/sh\n"), 0o755))
		})
		if err := errors.Join(err, r.Flip(dir)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.WriteJournal(resource.Journal{State: resource.JournalTrying, From: "v1", To: "v2"}); err != nil {
		t.Fatal(err)
	}
	return r
}

// starts is the version that a start is of.
func starts(t *testing.T, r *Root) string {
	t.Helper()
	candidates, _ := r.Boot(program)
	if len(candidates) == 0 {
		t.Fatal("there is nothing to start")
	}
	path, err := filepath.EvalSymlinks(candidates[0])
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(filepath.Dir(path))
}

func TestBootCountsStarts(t *testing.T) {
	r := tried(t)
	for i := range resource.MaxReleaseStarts {
		if got := starts(t, r); got != "v2" {
			t.Fatalf("start %d is of %s", i+1, got)
		}
	}
	if got := starts(t, r); got != "v1" {
		t.Fatalf("the start after those is of %s", got)
	}
	if dir, err := r.Current(); dir != "v1" || err != nil || !r.BootRecord().Reverted {
		t.Errorf("latest leads to %q, %+v (%v)", dir, r.BootRecord(), err)
	}
}

// TestBootGoesBack is that the version before it is started whatever keeps the
// way back from being finished.
func TestBootGoesBack(t *testing.T) {
	for name, hurt := range map[string]func(r *Root) error{
		"it died before the flip": func(r *Root) error {
			return r.WriteJournal(resource.Journal{State: resource.JournalRollback, From: "v1", To: "v2"})
		},
		"it died before the flip, which fails": func(r *Root) error {
			return errors.Join(
				r.WriteJournal(resource.Journal{State: resource.JournalRollback, From: "v1", To: "v2"}),
				os.Remove(r.own("manifest", "v1")))
		},
		"the starts cannot be counted": func(r *Root) error { return os.Mkdir(r.own("boot.tmp"), 0o755) },
		"neither counted nor flipped": func(r *Root) error {
			return errors.Join(os.Mkdir(r.own("boot.tmp"), 0o755), os.Remove(r.own("manifest", "v1")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := tried(t)
			if err := hurt(r); err != nil {
				t.Fatal(err)
			}
			if got := starts(t, r); got != "v1" {
				t.Errorf("the first start is of %s", got)
			}
		})
	}
}

// TestBootCountIsOfOneTry is that a count which a crash has left is not taken for
// one of the next try of the same version.
func TestBootCountIsOfOneTry(t *testing.T) {
	r := tried(t)
	for range resource.MaxReleaseStarts + 1 {
		starts(t, r)
	}
	count, err := os.ReadFile(r.own("boot"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		r.WriteJournal(resource.Journal{State: resource.JournalIdle, Previous: "v1"}),
		os.WriteFile(r.own("boot"), count, 0o644), // as if it had died before it was removed
		r.Flip("v2"),
		r.WriteJournal(resource.Journal{State: resource.JournalTrying, From: "v1", To: "v2"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := starts(t, r); got != "v2" {
		t.Errorf("the first start is of %s", got)
	}
}

// TestUnreadableJournal is that one which cannot be read just now is not
// taken for senseless.
func TestUnreadableJournal(t *testing.T) {
	for name, c := range map[string]struct {
		hurt      func(path string) error
		senseless bool
	}{
		"no JSON":     {func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) }, true},
		"odd state":   {func(path string) error { return os.WriteFile(path, []byte(`{"state":"odd"}`), 0o600) }, true},
		"too large":   {func(path string) error { return os.WriteFile(path, make([]byte, maxRecord+1), 0o600) }, true},
		"a directory": {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, true},
		"not its name": {func(path string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := tried(t)
			if err := c.hurt(r.own("journal")); err != nil {
				t.Fatal(err)
			}
			_, ok, err := r.Journal()
			if ok || err == nil || errors.Is(err, ErrUnreadable) != c.senseless {
				t.Errorf("%t, %v", ok, err)
			}
		})
	}
}
