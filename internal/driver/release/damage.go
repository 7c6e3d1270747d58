package release

import (
	"io/fs"
	"syscall"

	"reconciler/internal/release"
)

// look is how a file was when its digest was found good. One that is the same
// in all of it was not written to.
type look struct {
	size   int64
	inode  uint64
	mtime  syscall.Timespec
	change syscall.Timespec
}

// maxLooks bounds how many are remembered.
const maxLooks = 100000

func lookAt(info fs.FileInfo) (look, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return look{}, false
	}
	return look{size: s.Size, inode: s.Ino, mtime: s.Mtim, change: s.Ctim}, true
}

// damage holds a version against its manifest. Bytes are read once, and again
// when a file shows that it was written to.
func (d *Driver) damage(root *release.Root, dir string, m release.Manifest) []string {
	fresh := make(map[string]look)
	told := root.Damage(dir, m, func(path string, info fs.FileInfo) bool {
		now, ok := lookAt(info)
		if ok {
			fresh[path] = now
		}
		return ok && d.looks[path] == now
	})
	if len(d.looks)+len(fresh) > maxLooks {
		clear(d.looks)
	}
	for path, l := range fresh {
		if len(told) > 0 {
			delete(d.looks, path) // which of them are good nobody said
		} else {
			d.looks[path] = l
		}
	}
	return told
}
