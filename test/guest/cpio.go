package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// archive writes a cpio archive as the kernel unpacks it into its first root:
// the "newc" format of Documentation/driver-api/early-userspace/buffer-format.rst.
// Compressing it would cost more than it saves: the guest is emulated.
type archive struct {
	out   *bufio.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newArchive(w io.Writer) *archive {
	return &archive{out: bufio.NewWriter(w), dirs: map[string]bool{".": true, "/": true}}
}

const (
	modeDir     = 0o040755
	modeFile    = 0o100755
	modeRegular = 0o100000 // without rights
	modeLink    = 0o120777
)

// add puts content at a slash path, with the folders above it.
func (a *archive) add(name string, content []byte) {
	a.mkdir(path.Dir(name))
	a.entry(name, modeFile, content)
}

// addFile puts a file of this host at a slash path.
func (a *archive) addFile(name, from string) {
	content, err := os.ReadFile(from)
	if err != nil {
		a.fail(err)
		return
	}
	a.add(name, content)
}

// addMode is addFile with rights of its own.
func (a *archive) addMode(name, from string, rights fs.FileMode) {
	content, err := os.ReadFile(from)
	if err != nil {
		a.fail(err)
		return
	}
	a.mkdir(path.Dir(name))
	a.entry(name, modeRegular|int(rights), content)
}

// link puts a symbolic link at a slash path.
func (a *archive) link(name, target string) {
	a.mkdir(path.Dir(name))
	a.entry(name, modeLink, []byte(target))
}

func (a *archive) mkdir(name string) {
	if a.dirs[name] {
		return
	}
	a.mkdir(path.Dir(name))
	a.dirs[name] = true
	a.entry(name, modeDir, nil)
}

func (a *archive) entry(name string, mode int, content []byte) {
	a.inode++
	a.write("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad(110 + len(name) + 1)
	_, err := a.out.Write(content)
	a.fail(err)
	a.pad(len(content))
}

// pad fills up to a multiple of four.
func (a *archive) pad(n int) { a.write("%s", "\x00\x00\x00"[:(4-n%4)%4]) }

func (a *archive) write(format string, args ...any) {
	_, err := fmt.Fprintf(a.out, format, args...)
	a.fail(err)
}

// fail keeps the first error; close tells it.
func (a *archive) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	a.fail(a.out.Flush())
	return a.err
}
