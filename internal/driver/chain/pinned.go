package chain

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// openProgram opens a pinned program. The library's way would first make a map,
// to learn whether the kernel keeps names: a look must not change anything.
func openProgram(path string) (*ebpf.Program, error) {
	fd, err := onPin(unix.BPF_OBJ_GET, path, 0)
	if err != nil {
		return nil, fmt.Errorf("open pin %s: %w", path, err)
	}
	return ebpf.NewProgramFromFD(fd)
}

// pin pins what a descriptor is of. The same may be pinned there already; what
// else is goes.
func pin(fd int, path string) error {
	_, err := onPin(unix.BPF_OBJ_PIN, path, fd)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	id, err := objectID(fd)
	if err != nil || pinned(path) == id {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	_, err = onPin(unix.BPF_OBJ_PIN, path, fd)
	return err
}

// pinned is the id of what is pinned; 0 if there is nothing.
func pinned(path string) uint32 {
	fd, err := onPin(unix.BPF_OBJ_GET, path, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	id, err := objectID(fd)
	if err != nil {
		return 0
	}
	return id
}

func pinnedID(path string) ebpf.ProgramID { return ebpf.ProgramID(pinned(path)) }
func pinnedMapID(path string) ebpf.MapID  { return ebpf.MapID(pinned(path)) }

// onPin is a system call about a pin. The library's asks for the file system
// each time, and lets a map have one pin only.
func onPin(command uintptr, path string, of int) (fd int, err error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return 0, err
	}
	attr := struct { // of BPF_OBJ_*, as in linux/bpf.h on machines of 64 bits
		path  *byte
		fd    uint32
		flags uint32
	}{path: name, fd: uint32(of)}
	r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(name)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
