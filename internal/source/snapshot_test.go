package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func tree(revision, content string) Tree {
	return Tree{
		Revision: revision, Title: "set " + revision, Author: "Ann <ann@example.net>",
		Time: time.Unix(1700000000, 0).UTC(), Files: map[string][]byte{"net.yaml": []byte(content)},
	}
}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	must(t, err)
	return s
}

// place says which revisions a store goes to, and "-" for none.
func places(s *Store) string {
	name := func(snap Snapshot, ok bool) string {
		if !ok {
			return "-"
		}
		return snap.Revision
	}
	return name(s.Current()) + " " + name(s.LastGood()) + " " + name(s.Previous())
}

func TestStoreRemembers(t *testing.T) {
	dir := t.TempDir() + "/snapshots"
	s := openStore(t, dir)
	for _, step := range []struct {
		do   func() error
		want string // current, last good, previous
	}{
		{func() error { return nil }, "- - -"},
		{func() error { return s.Save(tree("aaaa1", "one")) }, "aaaa1 - -"},
		{func() error { return s.Mark("aaaa1", Good, "") }, "aaaa1 aaaa1 -"},
		{func() error { return s.Save(tree("bbbb2", "two")) }, "bbbb2 aaaa1 aaaa1"},
		{func() error { return s.Mark("bbbb2", Bad, "cut us off") }, "bbbb2 aaaa1 aaaa1"},
		{func() error { return s.Save(tree("cccc3", "three")) }, "cccc3 aaaa1 aaaa1"},
		{func() error { return s.Mark("cccc", Good, "") }, "cccc3 cccc3 aaaa1"},
		{func() error { return s.Save(tree("aaaa1", "one")) }, "aaaa1 aaaa1 cccc3"}, // a rollback
		{func() error { return s.Mark("bbbb2", Unjudged, "") }, "aaaa1 aaaa1 cccc3"},
	} {
		must(t, step.do())
		if got := places(s); got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
		s = openStore(t, dir) // a restart changes nothing
		if got := places(s); got != step.want {
			t.Errorf("after a restart %s, want %s", got, step.want)
		}
	}
	got, err := s.Get("cccc")
	must(t, err)
	if want := tree("cccc3", "three"); show(got) != show(want) || got.Title != want.Title || !got.Time.Equal(want.Time) || got.Author != want.Author {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The verdict on a commit is not one on other files under the same hash, as
// another path in the repository gives.
func TestStoreVerdictIsOnTheFiles(t *testing.T) {
	s := openStore(t, t.TempDir())
	must(t, s.Save(tree("aaaa1", "one")))
	must(t, s.Mark("aaaa1", Bad, "why"))
	must(t, s.Save(tree("aaaa1", "one")))
	if snap, _ := s.Current(); snap.Verdict != Bad || snap.Reason != "why" {
		t.Errorf("the same files lost their verdict: %+v", snap)
	}
	must(t, s.Save(tree("aaaa1", "two")))
	if snap, _ := s.Current(); snap.Verdict != Unjudged || len(s.List()) != 1 {
		t.Errorf("other files kept the verdict: %+v", s.List())
	}
}

func TestStoreFinds(t *testing.T) {
	s := openStore(t, t.TempDir())
	must(t, s.Save(tree("abcd11", "one")))
	must(t, s.Save(tree("abcd22", "two")))
	must(t, s.Save(tree("dir-ef0123", "three")))
	for name, want := range map[string]string{"abcd11": "abcd11", "abcd1": "abcd11", "dir-ef01": "dir-ef0123", "ef01": "dir-ef0123"} {
		if got, err := s.Get(name); err != nil || got.Revision != want {
			t.Errorf("%s: got %s, %v", name, got.Revision, err)
		}
	}
	for _, name := range []string{"", "abc", "dir-", "ffff", "../../etc/passwd"} {
		if _, err := s.Get(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v, want fs.ErrNotExist", name, err)
		}
	}
	if _, err := s.Get("abcd"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ambiguous: got %v", err)
	}
	for _, bad := range []string{"", "../x", "a/b", "\x1b[31m", strings.Repeat("a", 200)} {
		if s.Save(tree(bad, "x")) == nil {
			t.Errorf("revision %q is taken", bad)
		}
	}
}

func TestStoreStaysSmall(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	must(t, s.Save(tree("good-0", "zero")))
	must(t, s.Mark("good-0", Good, ""))
	for i := range 50 {
		must(t, s.Save(tree(fmt.Sprintf("revision-%d", i), fmt.Sprint(i))))
	}
	files, err := filepath.Glob(dir + "/*" + filesSuffix)
	must(t, err)
	if len(s.List()) != MaxSnapshots || len(files) != MaxSnapshots {
		t.Errorf("%d snapshots in %d files, want %d", len(s.List()), len(files), MaxSnapshots)
	}
	if got := places(s); got != "revision-49 good-0 good-0" {
		t.Errorf("got %s", got)
	}
	if _, err := s.Get("good-0"); err != nil {
		t.Error(err)
	}
}

func TestStoreThinsBySize(t *testing.T) {
	var index []Snapshot
	for i := range 10 {
		index = append(index, Snapshot{Revision: fmt.Sprint(i), Bytes: MaxSnapshotBytes / 4})
	}
	index[8].Verdict, index[9].Verdict = Good, Good
	kept := thin(index)
	var names []string
	for _, snap := range kept {
		names = append(names, snap.Revision)
	}
	if got := strings.Join(names, " "); got != "0 1 2 8" {
		t.Errorf("kept %s", got)
	}
}

func TestStoreCorruption(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"emptied":   func(path string) error { return os.Truncate(path, 0) },
		"altered":   func(path string) error { return os.WriteFile(path, []byte(`{"net.yaml":"eA=="}`), 0o600) },
		"removed":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			must(t, s.Save(tree("aaaa1", "one")))
			must(t, s.Save(tree("bbbb2", "two")))
			must(t, harm(s.path(digest(tree("", "one").Files)+filesSuffix)))
			s = openStore(t, dir)
			if _, err := s.Get("aaaa1"); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "aaaa1") {
				t.Errorf("got %v, want it to name the snapshot", err)
			}
			if _, err := s.Get("bbbb2"); err != nil {
				t.Errorf("the other: %v", err)
			}
			must(t, s.Save(tree("aaaa1", "one"))) // heals
			if _, err := s.Get("aaaa1"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStoreCorruptIndex(t *testing.T) {
	for _, content := range []string{"", "{", "[1]", `[{"revision":"../../x"}]`, `[{"revision":"a","digest":"d","verdict":"fine"}]`} {
		dir := t.TempDir()
		must(t, openStore(t, dir).Save(tree("aaaa1", "one")))
		write(t, dir+"/"+indexName, content)
		s, err := OpenStore(dir)
		if !errors.Is(err, ErrCorrupt) || s == nil {
			t.Fatalf("%q: got %v", content, err)
		}
		if len(s.List()) != 0 {
			t.Errorf("%q: lists %v", content, s.List())
		}
		must(t, s.Save(tree("bbbb2", "two")))
		if got := places(openStore(t, dir)); got != "bbbb2 - -" {
			t.Errorf("%q: got %s", content, got)
		}
	}
}

func TestStoreOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, "128k")
	s := openStore(t, dir)
	must(t, s.Save(tree("aaaa1", "one")))
	must(t, s.Mark("aaaa1", Good, ""))
	for range 3 {
		err := s.Save(tree("bbbb2", noise(256<<10)))
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "disk full") {
			t.Fatalf("got %v", err)
		}
	}
	if got := places(openStore(t, dir)); got != "aaaa1 aaaa1 -" {
		t.Errorf("got %s", got)
	}
	if _, err := s.Get("aaaa1"); err != nil {
		t.Error(err)
	}
	must(t, s.Save(tree("cccc3", "small")))
}
