package chain

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/chain/bpf"
)

// facts are what never changes of what a pin holds.
type facts struct {
	at    inode
	id    ebpf.ProgramID // of a program
	maps  []ebpf.MapID   // that the program uses
	state *bpf.XDPChain  // of the .rodata of a dispatcher, which is frozen
}

// inode tells pins apart that had the same path one after the other: a pin
// holds the same object for as long as its inode lives.
type inode struct {
	number  uint64
	changed unix.Timespec
}

// known are the facts of the pins that a look meets, so that the next one asks
// the kernel only for what is new to it.
type known struct{ was, now map[string]facts }

// next begins a look: what it does not meet is forgotten.
func (k *known) next() { k.was, k.now = k.now, make(map[string]facts, len(k.now)) }

// get returns the facts of a pin, read where its inode is another than at the
// last look.
func (k *known) get(path string, read func() (facts, error)) (facts, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return facts{}, fmt.Errorf("look at pin: %w", &os.PathError{Op: "lstat", Path: path, Err: err})
	}
	at := inode{st.Ino, st.Ctim}
	f, ok := k.was[path]
	if !ok || f.at != at {
		var err error
		if f, err = read(); err != nil {
			return facts{}, err
		}
		f.at = at
	}
	if k.now != nil {
		k.now[path] = f
	}
	return f, nil
}

// program returns the facts of a pinned program.
func (k *known) program(path string) (facts, error) {
	return k.get(path, func() (facts, error) {
		p, err := openProgram(path)
		if err != nil {
			return facts{}, err
		}
		defer p.Close()
		id, maps, err := programMaps(p)
		return facts{id: id, maps: maps}, err
	})
}

// stateOf returns what the pinned state of a dispatcher says.
func (k *known) stateOf(path string) (*bpf.XDPChain, error) {
	f, err := k.get(path, func() (facts, error) {
		m, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			return facts{}, err
		}
		defer m.Close()
		s, err := readState(m)
		return facts{state: s}, err
	})
	return f.state, err
}
