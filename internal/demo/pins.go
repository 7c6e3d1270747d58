package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// bpffs is where the reconciler pins what has to outlive it.
const bpffs = "/sys/fs/bpf"

// pins is the directory of the pins of one namespace, and what of the way there
// was made for the demo.
type pins struct {
	dir     string
	mounted bool // the file system was there before
}

func newPins(n namespace) (pins, error) {
	info, err := os.Stat(n.path())
	if err != nil {
		return pins{}, err
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	return pins{filepath.Join(bpffs, "reconciler", fmt.Sprint(inode)), isBPFFS()}, nil
}

func isBPFFS() bool {
	var fs unix.Statfs_t
	return unix.Statfs(bpffs, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// remove unpins all, and with it what is attached by nothing else.
func (p pins) remove() error {
	if p.dir == "" {
		return nil
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Dir(p.dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if !p.mounted && isBPFFS() {
		return unix.Unmount(bpffs, 0)
	}
	return nil
}

// counter sums an entry of a per-CPU map of a program on p0 over the CPUs: the
// first 64 bits of its values.
func (p pins) counter(program, name string, key uint32) (uint64, error) {
	found, err := filepath.Glob(filepath.Join(p.dir, "programs", program+"@p0", "*", "map:"+name))
	if err != nil || len(found) == 0 {
		return 0, fmt.Errorf("find map %s of %s: %w", name, program, errors.Join(err, fs.ErrNotExist))
	}
	m, err := ebpf.LoadPinnedMap(found[0], &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	var perCPU [][]byte
	if err := m.Lookup(key, &perCPU); err != nil {
		return 0, fmt.Errorf("read map %s of %s: %w", name, program, err)
	}
	sum := uint64(0)
	for _, value := range perCPU {
		sum += binary.NativeEndian.Uint64(value)
	}
	return sum, nil
}

// xdp is the id of the program that the pinned link of p0 holds there; 0 if it
// holds none.
func (p pins) xdp() (ebpf.ProgramID, error) {
	l, err := p.open()
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if x := info.XDP(); x == nil || x.Ifindex == 0 {
		return 0, nil
	}
	return info.Program, nil
}

func (p pins) open() (link.Link, error) {
	return link.LoadPinnedLink(filepath.Join(p.dir, "chains", "p0", "xdp-ingress", "link"), nil)
}

// detach takes the chain off p0 by force, behind the reconciler's back, and
// returns how long it was off.
func (p pins) detach() (time.Duration, error) {
	l, err := p.open()
	if err != nil {
		return 0, err
	}
	defer l.Close()
	start := time.Now()
	if err := l.Detach(); err != nil {
		return 0, err
	}
	for time.Since(start) < patience {
		if id, err := p.xdp(); err == nil && id != 0 {
			return time.Since(start), nil
		}
		time.Sleep(lookEvery)
	}
	return 0, fmt.Errorf("await a chain on p0: not within %s", patience)
}
