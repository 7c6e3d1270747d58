package chain

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// objectInfo is the beginning of struct bpf_prog_info of linux/bpf.h; that of
// maps and links has the id in the same place. The library asks for all there
// is, with the code of a program and what /proc tells of it.
type objectInfo struct {
	kind, id   uint32
	_          [40]byte
	uid, nMaps uint32
	maps       unsafe.Pointer
}

// mapsAtOnce is how many maps of a program one system call tells.
const mapsAtOnce = 64

// idOnly is the size of an objectInfo up to the id.
const idOnly = 8

func infoOf(fd int, info *objectInfo, size uintptr) error {
	attr := struct { // of BPF_OBJ_GET_INFO_BY_FD
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(size), unsafe.Pointer(info)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(info)
	if errno != 0 {
		return fmt.Errorf("read what the kernel tells of an object: %w", errno)
	}
	return nil
}

// objectID is the kernel's id of a program, a map or a link.
func objectID(fd int) (uint32, error) {
	var info objectInfo
	err := infoOf(fd, &info, idOnly)
	return info.id, err
}

func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	id, err := objectID(p.FD())
	return ebpf.ProgramID(id), err
}

func mapID(m *ebpf.Map) (ebpf.MapID, error) {
	id, err := objectID(m.FD())
	return ebpf.MapID(id), err
}

// programMaps are the id of a program and the maps that it uses.
func programMaps(p *ebpf.Program) (id ebpf.ProgramID, maps []ebpf.MapID, err error) {
	for room := uint32(mapsAtOnce); ; {
		maps = make([]ebpf.MapID, room)
		info := objectInfo{nMaps: room, maps: unsafe.Pointer(&maps[0])}
		err := infoOf(p.FD(), &info, unsafe.Sizeof(info))
		runtime.KeepAlive(maps)
		if err != nil {
			return 0, nil, err
		}
		if info.nMaps <= room {
			return ebpf.ProgramID(info.id), maps[:info.nMaps], nil
		}
		room = info.nMaps
	}
}
