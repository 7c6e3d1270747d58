package chain

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// openProgram opens a pinned program. The library's way would first make a map,
// to learn whether the kernel keeps names: a look must not change anything.
func openProgram(path string) (*ebpf.Program, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return nil, err
	}
	attr := struct { // of BPF_OBJ_GET, as in linux/bpf.h on machines of 64 bits
		path  *byte
		fd    uint32
		flags uint32
	}{path: name}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(name)
	if errno != 0 {
		return nil, fmt.Errorf("open pin %s: %w", path, errno)
	}
	return ebpf.NewProgramFromFD(int(fd))
}

// pinnedID is the id of a pinned program; 0 if there is none.
func pinnedID(path string) ebpf.ProgramID {
	p, err := openProgram(path)
	if err != nil {
		return 0
	}
	defer p.Close()
	id, err := programID(p)
	if err != nil {
		return 0
	}
	return id
}
