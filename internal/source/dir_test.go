package source

import (
	"testing"
	"time"
)

func TestDirFollowsEdits(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/a.yaml", "one")
	r := start(t, NewDir(root, DirOptions{Poll: time.Minute}))
	r.tree(1, 2*time.Second)
	write(t, root+"/sub/b.yml", "two")
	if got, want := show(r.tree(2, time.Second)), "a.yaml=one;sub/b.yml=two;"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
