package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// never is a poll that no test lives to see: events alone must do.
const never = time.Hour

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDirScenarios holds what editors, tools and orchestrators do to a watched
// directory. Each change must be seen as a whole: no tree is ever delivered
// but the one before and the one after.
func TestDirScenarios(t *testing.T) {
	const before = "net.yaml=one;"
	for _, c := range []struct {
		name   string
		poll   time.Duration // never unless set
		set    func(t *testing.T, root string)
		change func(t *testing.T, root string)
		want   string
	}{
		{
			name:   "write in place",
			change: func(t *testing.T, root string) { write(t, root+"/net.yaml", "two") },
			want:   "net.yaml=two;",
		}, {
			name: "slow write",
			change: func(t *testing.T, root string) {
				f, err := os.Create(root + "/net.yaml")
				must(t, err)
				for range 4 {
					_, err := f.WriteString("part ")
					must(t, err)
					time.Sleep(400 * time.Millisecond)
				}
				must(t, f.Close())
			},
			want: "net.yaml=part part part part ;",
		}, {
			name: "rename over",
			change: func(t *testing.T, root string) {
				write(t, root+"/.net.yaml.tmp", "two")
				must(t, os.Rename(root+"/.net.yaml.tmp", root+"/net.yaml"))
			},
			want: "net.yaml=two;",
		}, {
			name: "rename from outside",
			change: func(t *testing.T, root string) {
				write(t, root+"/../outside", "two")
				must(t, os.Rename(root+"/../outside", root+"/net.yaml"))
			},
			want: "net.yaml=two;",
		}, {
			name: "vim with a backup",
			change: func(t *testing.T, root string) {
				write(t, root+"/4913", "")
				must(t, os.Remove(root+"/4913"))
				write(t, root+"/.net.yaml.swp", "swap")
				must(t, os.Rename(root+"/net.yaml", root+"/net.yaml~"))
				write(t, root+"/net.yaml", "two")
				must(t, os.Remove(root+"/net.yaml~"))
			},
			want: "net.yaml=two;",
		}, {
			name: "emacs with a lock and a backup",
			change: func(t *testing.T, root string) {
				must(t, os.Symlink("ann@host.1234:1", root+"/.#net.yaml"))
				write(t, root+"/#net.yaml#", "autosave")
				must(t, os.Link(root+"/net.yaml", root+"/net.yaml~"))
				write(t, root+"/new", "two")
				must(t, os.Rename(root+"/new", root+"/net.yaml"))
				must(t, os.Remove(root+"/.#net.yaml"))
			},
			want: "net.yaml=two;",
		}, {
			name: "remove, pause, create",
			change: func(t *testing.T, root string) {
				must(t, os.Remove(root+"/net.yaml"))
				time.Sleep(350 * time.Millisecond)
				write(t, root+"/net.yaml", "two")
			},
			want: "net.yaml=two;",
		}, {
			name: "truncate, pause, write",
			change: func(t *testing.T, root string) {
				write(t, root+"/net.yaml", "")
				time.Sleep(350 * time.Millisecond)
				write(t, root+"/net.yaml", "two")
			},
			want: "net.yaml=two;",
		}, {
			name: "Kubernetes volume",
			set: func(t *testing.T, root string) {
				must(t, os.Remove(root+"/net.yaml"))
				write(t, root+"/..1/net.yaml", "one")
				must(t, os.Symlink("..1", root+"/..data"))
				must(t, os.Symlink("..data/net.yaml", root+"/net.yaml"))
			},
			change: func(t *testing.T, root string) {
				write(t, root+"/..2/net.yaml", "two")
				must(t, os.Symlink("..2", root+"/..data_tmp"))
				must(t, os.Rename(root+"/..data_tmp", root+"/..data"))
				must(t, os.RemoveAll(root+"/..1"))
			},
			want: "net.yaml=two;",
		}, {
			name: "Kubernetes volume with directories",
			change: func(t *testing.T, root string) {
				write(t, root+"/..1/hosts/a.yaml", "two")
				must(t, os.Symlink("..1", root+"/..data"))
				must(t, os.Symlink("..data/hosts", root+"/hosts"))
			},
			want: "hosts/a.yaml=two;net.yaml=one;",
		}, {
			name: "root is a symlink and is retargeted",
			set: func(t *testing.T, root string) {
				must(t, os.Rename(root, root+"-1"))
				must(t, os.Symlink(filepath.Base(root)+"-1", root))
			},
			change: func(t *testing.T, root string) {
				write(t, root+"-2/net.yaml", "two")
				must(t, os.Symlink(filepath.Base(root)+"-2", root+"-new"))
				must(t, os.Rename(root+"-new", root))
			},
			want: "net.yaml=two;",
		}, {
			name: "root exchanged with another",
			change: func(t *testing.T, root string) {
				write(t, root+"-2/net.yaml", "two")
				must(t, unix.Renameat2(unix.AT_FDCWD, root, unix.AT_FDCWD, root+"-2", unix.RENAME_EXCHANGE))
				must(t, os.RemoveAll(root+"-2"))
			},
			want: "net.yaml=two;",
		}, {
			name: "subdirectory exchanged with another, then edited",
			set:  func(t *testing.T, root string) { write(t, root+"/sub/x.txt", "x") },
			change: func(t *testing.T, root string) {
				write(t, root+"/../other/x.txt", "x")
				must(t, unix.Renameat2(unix.AT_FDCWD, root+"/sub", unix.AT_FDCWD, root+"/../other", unix.RENAME_EXCHANGE))
				time.Sleep(300 * time.Millisecond)
				write(t, root+"/sub/b.yaml", "two")
			},
			want: "net.yaml=one;sub/b.yaml=two;",
		}, {
			name: "root removed and back at once",
			change: func(t *testing.T, root string) {
				must(t, os.RemoveAll(root))
				time.Sleep(200 * time.Millisecond)
				write(t, root+"/net.yaml", "two")
			},
			want: "net.yaml=two;",
		}, {
			name: "mmap",
			poll: 200 * time.Millisecond, // no event tells of it
			change: func(t *testing.T, root string) {
				f, err := os.OpenFile(root+"/net.yaml", os.O_RDWR, 0)
				must(t, err)
				memory, err := unix.Mmap(int(f.Fd()), 0, 3, unix.PROT_WRITE, unix.MAP_SHARED)
				must(t, err)
				must(t, f.Close())
				copy(memory, "t")
				time.Sleep(500 * time.Millisecond)
				copy(memory, "two")
				must(t, unix.Munmap(memory))
			},
			want: "net.yaml=two;",
		}, {
			name: "hard link from outside",
			poll: 200 * time.Millisecond,
			change: func(t *testing.T, root string) {
				must(t, os.Mkdir(root+"-out", 0o755))
				must(t, os.Link(root+"/net.yaml", root+"-out/alias"))
				time.Sleep(300 * time.Millisecond)
				write(t, root+"-out/alias", "two")
			},
			want: "net.yaml=two;",
		}, {
			name:   "nested new directories",
			change: func(t *testing.T, root string) { write(t, root+"/a/b/c/d.yaml", "two") },
			want:   "a/b/c/d.yaml=two;net.yaml=one;",
		}, {
			name: "new directory, file later",
			change: func(t *testing.T, root string) {
				must(t, os.MkdirAll(root+"/a/b", 0o755))
				time.Sleep(300 * time.Millisecond)
				write(t, root+"/a/b/d.yml", "two")
			},
			want: "a/b/d.yml=two;net.yaml=one;",
		}, {
			name: "moved directory",
			set:  func(t *testing.T, root string) { write(t, root+"/../moved/m.yaml", "two") },
			change: func(t *testing.T, root string) {
				must(t, os.Rename(root+"/../moved", root+"/sub"))
			},
			want: "net.yaml=one;sub/m.yaml=two;",
		}, {
			name: "hidden things and other names",
			change: func(t *testing.T, root string) {
				write(t, root+"/.git/config.yaml", "x")
				write(t, root+"/.hidden.yaml", "x")
				write(t, root+"/readme.txt", "x")
				write(t, root+"/b.yaml", "two")
			},
			want: "b.yaml=two;net.yaml=one;",
		}, {
			name: "loops of links",
			change: func(t *testing.T, root string) {
				must(t, os.Mkdir(root+"/sub", 0o755))
				must(t, os.Symlink(".", root+"/self"))
				must(t, os.Symlink("..", root+"/sub/up"))
				write(t, root+"/b.yaml", "two")
			},
			want: "b.yaml=two;net.yaml=one;",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir() + "/root"
			write(t, root+"/net.yaml", "one")
			if c.set != nil {
				c.set(t, root)
			}
			if c.poll == 0 {
				c.poll = never
			}
			r := start(t, NewDir(root, DirOptions{Poll: c.poll}))
			if got := show(r.tree(1, waitLong)); got != before {
				t.Fatalf("at first %s, want %s", got, before)
			}
			time.Sleep(2 * settle) // until it rests
			c.change(t, root)
			changed := time.Now()
			r.tree(2, waitLong)
			time.Sleep(2 * settleLoss) // for what should not come
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.trees) != 2 || show(r.trees[1]) != c.want {
				t.Errorf("delivered %d trees, the last %s; want 2, and %s", len(r.trees), show(r.trees[len(r.trees)-1]), c.want)
			}
			delay := r.at[1].Sub(changed)
			t.Logf("delivered %v after the change", delay.Round(time.Millisecond))
			// A second where the machine is free; here only what would be a
			// poll instead of an event counts.
			if delay > 4*time.Second {
				t.Error("want a second or so")
			}
			for _, err := range r.health {
				if err != nil {
					t.Errorf("health: %v", err)
				}
			}
		})
	}
}

// What changes nothing in the content is no revision.
func TestDirSameContent(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, root string){
		"written again": func(t *testing.T, root string) { write(t, root+"/net.yaml", "one") },
		"mode":          func(t *testing.T, root string) { must(t, os.Chmod(root+"/net.yaml", 0o600)) },
		"time":          func(t *testing.T, root string) { must(t, os.Chtimes(root+"/net.yaml", time.Now(), time.Now())) },
		"there and back": func(t *testing.T, root string) {
			write(t, root+"/net.yaml", "two")
			write(t, root+"/net.yaml", "one")
		},
		"moved away and back": func(t *testing.T, root string) {
			must(t, os.Rename(root+"/net.yaml", root+"/net.off"))
			time.Sleep(300 * time.Millisecond)
			must(t, os.Rename(root+"/net.off", root+"/net.yaml"))
		},
		"replaced by the same": func(t *testing.T, root string) {
			write(t, root+"/n", "one")
			must(t, os.Rename(root+"/n", root+"/net.yaml"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root+"/net.yaml", "one")
			r := start(t, NewDir(root, DirOptions{Poll: 200 * time.Millisecond}))
			first := r.tree(1, waitLong)
			change(t, root)
			time.Sleep(1500 * time.Millisecond)
			if n := r.count(); n != 1 {
				t.Errorf("%d trees, want 1", n)
			}
			again, err := ReadDir(root)
			if err != nil || again.Revision != first.Revision {
				t.Errorf("revision %s, %v; want %s", again.Revision, err, first.Revision)
			}
		})
	}
}

// A tree that cannot be taken is a condition; the last one stays, and the next
// good one is taken.
func TestDirTroubles(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, root string)
		want   error
		mend   func(t *testing.T, root string)
	}{
		{
			name:   "root removed",
			change: func(t *testing.T, root string) { must(t, os.RemoveAll(root)) },
			want:   ErrMissing,
			mend:   func(t *testing.T, root string) { write(t, root+"/net.yaml", "two") },
		}, {
			name:   "all files removed",
			change: func(t *testing.T, root string) { must(t, os.Remove(root+"/net.yaml")) },
			want:   ErrEmpty,
			mend:   func(t *testing.T, root string) { write(t, root+"/net.yaml", "two") },
		}, {
			name:   "large file",
			change: func(t *testing.T, root string) { write(t, root+"/big.yaml", strings.Repeat("x", MaxFile+1)) },
			want:   ErrTooLarge,
			mend:   func(t *testing.T, root string) { write(t, root+"/big.yaml", "small") },
		}, {
			name: "large tree",
			change: func(t *testing.T, root string) {
				for i := range MaxTree/MaxFile + 1 {
					write(t, fmt.Sprintf("%s/%d.yaml", root, i), strings.Repeat("x", MaxFile))
				}
			},
			want: ErrTooLarge,
			mend: func(t *testing.T, root string) { must(t, os.Remove(root+"/0.yaml")); write(t, root+"/1.yaml", "") },
		}, {
			name: "many files",
			change: func(t *testing.T, root string) {
				for i := range MaxFiles {
					write(t, fmt.Sprintf("%s/%d.yaml", root, i), "")
				}
			},
			want: ErrTooLarge,
			mend: func(t *testing.T, root string) { must(t, os.Remove(root+"/0.yaml")) },
		}, {
			name: "deep directories",
			change: func(t *testing.T, root string) {
				write(t, root+"/deep/"+strings.Repeat("d/", maxDepth)+"a.yaml", "x")
			},
			want: ErrTooLarge,
			mend: func(t *testing.T, root string) {
				must(t, os.RemoveAll(root+"/deep"))
				write(t, root+"/a.yaml", "x")
			},
		}, {
			name:   "fifo",
			change: func(t *testing.T, root string) { must(t, unix.Mkfifo(root+"/f.yaml", 0o644)) },
			want:   ErrUnreadable,
			mend:   func(t *testing.T, root string) { must(t, os.Remove(root+"/f.yaml")); write(t, root+"/f.yaml", "two") },
		}, {
			name:   "link to itself",
			change: func(t *testing.T, root string) { must(t, os.Symlink("l.yaml", root+"/l.yaml")) },
			want:   ErrUnreadable,
			mend:   func(t *testing.T, root string) { must(t, os.Remove(root+"/l.yaml")); write(t, root+"/l.yaml", "two") },
		}, {
			name:   "link outside",
			change: func(t *testing.T, root string) { must(t, os.Symlink("/etc/passwd", root+"/l.yaml")) },
			want:   ErrUnreadable,
			mend:   func(t *testing.T, root string) { must(t, os.Remove(root+"/l.yaml")); write(t, root+"/l.yaml", "two") },
		}, {
			name:   "directory linked outside",
			change: func(t *testing.T, root string) { must(t, os.Symlink("../..", root+"/hosts")) },
			want:   ErrUnreadable,
			mend:   func(t *testing.T, root string) { must(t, os.Remove(root+"/hosts")); write(t, root+"/l.yaml", "two") },
		}, {
			name:   "link to nothing",
			change: func(t *testing.T, root string) { must(t, os.Symlink("none", root+"/hosts")) },
			want:   ErrMissing,
			mend:   func(t *testing.T, root string) { write(t, root+"/none/a.yaml", "two") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir() + "/root"
			write(t, root+"/net.yaml", "one")
			r := start(t, NewDir(root, DirOptions{Poll: time.Second}))
			r.tree(1, waitLong)
			c.change(t, root)
			r.sick(waitLong, func(err error) bool { return errors.Is(err, c.want) })
			if n := r.count(); n != 1 {
				t.Fatalf("%d trees delivered, want the first to stay", n)
			}
			c.mend(t, root)
			r.tree(2, waitLong)
			r.well(waitLong)
		})
	}
}

func TestDirAppearsLater(t *testing.T) {
	root := t.TempDir() + "/not/yet"
	r := start(t, NewDir(root, DirOptions{Poll: 200 * time.Millisecond}))
	r.sick(waitLong, func(err error) bool { return errors.Is(err, ErrMissing) })
	write(t, root+"/net.yaml", "one")
	r.tree(1, waitLong)
	r.well(waitLong)
}

func TestDirSync(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/net.yaml", "one")
	must(t, os.Mkdir(root+"-out", 0o755))
	must(t, os.Link(root+"/net.yaml", root+"-out/alias"))
	s := NewDir(root, DirOptions{Poll: never})
	r := start(t, s)
	r.tree(1, waitLong)
	write(t, root+"-out/alias", "two") // no event
	time.Sleep(500 * time.Millisecond)
	if n := r.count(); n != 1 {
		t.Fatalf("%d trees before Sync", n)
	}
	s.Sync()
	r.tree(2, waitLong)
}

func TestDirSingleFile(t *testing.T) {
	path := t.TempDir() + "/net.conf"
	write(t, path, "one")
	s := NewDir(path, DirOptions{Poll: never})
	r := start(t, s)
	if got := show(r.tree(1, waitLong)); got != "net.conf=one;" {
		t.Errorf("got %s", got)
	}
	write(t, path, "two")
	if got := show(r.tree(2, waitLong)); got != "net.conf=two;" {
		t.Errorf("got %s", got)
	}
	if s.String() != "dir "+path {
		t.Errorf("named %s", s)
	}
}
