package plane

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// native is the byte order of the object, which is for little-endian machines.
var native = binary.LittleEndian

// array is a map of the kernel's in this process's memory: what is written
// there is in force at once.
type array[T any] []T

func (a array[T]) at(i int) *T { return &a[i] }
func (a array[T]) len() int    { return len(a) }

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

func cast[T any](raw []byte) *T { return (*T)(unsafe.Pointer(&raw[0])) }

// mmap maps all arrays that the program's maps have.
func (p *Plane) mmap() error {
	var weights array[byte]
	for _, err := range []error{
		mapArray(p, bpf.LBMapLbControl, &p.control), mapArray(p, bpf.LBMapLbAddresses, &p.addresses), mapArray(p, bpf.LBMapLbClaims, &p.claims),
		mapArray(p, bpf.LBMapLbServices, &p.services), mapArray(p, bpf.LBMapLbVipNames, &p.names),
		mapArray(p, bpf.LBMapLbRings, &p.rings), mapArray(p, bpf.LBMapLbWeights, &weights),
		mapArray(p, bpf.LBMapLbBackends, &p.backends), mapArray(p, bpf.LBMapLbBeNames, &p.hosts),
	} {
		if err != nil {
			return err
		}
	}
	p.weights = weights
	return nil
}

func mapArray[T any](p *Plane, name string, to *array[T]) error {
	m := p.maps[name]
	size := int(m.MaxEntries()) * int(m.ValueSize())
	page := os.Getpagesize()
	mem, err := unix.Mmap(m.FD(), 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s into memory: %w", name, err)
	}
	p.mapped = append(p.mapped, mem)
	*to = unsafe.Slice(cast[T](mem), size/sizeOf[T]())
	return nil
}

// words is a value as the words that are stored as one.
func words[T any](v *T) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(v)), sizeOf[T]()/8)
}

func store(word *uint64, v uint64) {
	if atomic.LoadUint64(word) != v {
		atomic.StoreUint64(word, v)
	}
}
