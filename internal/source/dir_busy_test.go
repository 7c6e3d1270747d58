package source

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestDirGitPull(t *testing.T) {
	repo := newRepository(t)
	for i := range 100 {
		write(t, fmt.Sprintf("%s/hosts/%d/net.yaml", repo.work, i), "one")
	}
	repo.push("net.yaml", "one")
	clone := t.TempDir() + "/clone"
	repo.git("clone", "-q", repo.bare, clone)
	r := start(t, NewDir(clone, DirOptions{Poll: never}))
	r.tree(1, waitLong)
	for i := range 100 {
		write(t, fmt.Sprintf("%s/hosts/%d/net.yaml", repo.work, i), "two")
	}
	repo.push("net.yaml", "two")
	repo.git("-C", clone, "pull", "-q")
	tree := r.tree(2, waitLong)
	if len(tree.Files) != 101 {
		t.Errorf("%d files, want 101", len(tree.Files))
	}
	for name, content := range tree.Files {
		if string(content) != "two" {
			t.Errorf("%s is %q: half a pull was taken", name, content)
		}
	}
}

// While Git holds its lock, what it has checked out so far is not taken.
func TestDirWaitsForACheckout(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/.git/HEAD", "x")
	write(t, root+"/fleet/a.yaml", "one")
	r := start(t, NewDir(root+"/fleet", DirOptions{Poll: never}))
	r.tree(1, waitLong)
	write(t, root+"/.git/index.lock", "")
	write(t, root+"/fleet/a.yaml", "two")
	time.Sleep(700 * time.Millisecond)
	write(t, root+"/fleet/b.yaml", "two")
	time.Sleep(700 * time.Millisecond)
	if n := r.count(); n != 1 {
		t.Errorf("%d trees in the middle of a checkout", n)
	}
	must(t, os.Remove(root+"/.git/index.lock"))
	if got := show(r.tree(2, waitLong)); got != "a.yaml=two;b.yaml=two;" {
		t.Errorf("got %s", got)
	}
}

func TestDirManyFilesAtOnce(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/net.yaml", "one")
	r := start(t, NewDir(root, DirOptions{Poll: never}))
	r.tree(1, waitLong)
	for i := range 300 {
		write(t, fmt.Sprintf("%s/%d.yaml", root, i), "two")
		time.Sleep(time.Millisecond)
	}
	if tree := r.tree(2, waitLong); len(tree.Files) != 301 {
		t.Errorf("%d files in the first tree after it, want 301", len(tree.Files))
	}
}

// The kernel's queue overflows while the one who listens is busy; afterwards
// both what was lost and what comes is seen.
func TestDirOverflow(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/net.yaml", "one")
	s := NewDir(root, DirOptions{Poll: never}).(*dir)
	blocked, goOn := make(chan struct{}), make(chan struct{})
	r := &running{t: t, source: s}
	first := true
	startWith(t, r, func(tree Tree) {
		r.deliver(tree)
		if first {
			first = false
			close(blocked)
			<-goOn
		}
	})
	<-blocked
	f, err := os.Create(root + "/noise")
	must(t, err)
	for i := range 60_000 { // two names in turn, because the kernel merges equal events
		if i%2 == 0 {
			_, err = f.WriteString("x")
		} else {
			err = os.Chmod(root+"/noise", 0o644)
		}
		must(t, err)
	}
	must(t, f.Close())
	write(t, root+"/net.yaml", "two")
	close(goOn)
	if got := show(r.tree(2, waitLong)); got != "net.yaml=two;" {
		t.Errorf("got %s", got)
	}
	write(t, root+"/net.yaml", "three")
	if got := show(r.tree(3, waitLong)); got != "net.yaml=three;" {
		t.Errorf("got %s", got)
	}
}

// A file that another process keeps open for writing is waited for, but not
// for ever.
func TestBeingWritten(t *testing.T) {
	path := t.TempDir() + "/net.yaml"
	write(t, path, "one")
	writer := exec.Command("sleep", "60")
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	writer.Stdout = out
	must(t, writer.Start())
	must(t, out.Close())
	if r := readDir(path); !r.busy {
		t.Error("open for writing, yet not busy")
	}
	must(t, writer.Process.Kill())
	_ = writer.Wait()
	if r := readDir(path); r.busy {
		t.Error("busy with nobody there")
	}
	s := settling{poll: time.Minute, deliver: func(Tree) {}, health: func(error) {}}
	r := reading{files: map[string][]byte{"a": nil}, busy: true}
	now := time.Now()
	for waited := time.Duration(0); s.taken == ""; waited += settle {
		if waited > 2*patience {
			t.Fatal("waits for ever")
		}
		s.look(r, now.Add(waited))
	}
}
