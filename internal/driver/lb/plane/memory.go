package plane

import (
	"encoding/binary"
	"errors"
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

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

func cast[T any](raw []byte) *T { return (*T)(unsafe.Pointer(&raw[0])) }

// openShared maps what the program asks, if its first words say that it is of
// this ABI.
func (p *Plane) openShared() error {
	var raw array[byte]
	if err := mapArray(p, bpf.LBMapLbPlane, &raw); err != nil {
		return err
	}
	if len(raw) < 8 || native.Uint32(raw) != magic {
		return errors.New("the pinned maps are not a load balancer's")
	}
	if found := native.Uint32(raw[4:]); found != abi || len(raw) != sizeOf[bpf.LBPlane]() {
		return &ABIError{Found: found, Wanted: abi}
	}
	p.shared = cast[bpf.LBPlane](raw)
	return nil
}

// mapOne maps an array of one element.
func mapOne[T any](p *Plane, name string, to **T) error {
	var elements array[T]
	if err := mapArray(p, name, &elements); err != nil {
		return err
	}
	*to = &elements[0]
	return nil
}

// mmap maps all other arrays.
func (p *Plane) mmap() error {
	var weights array[byte]
	for _, err := range []error{
		mapArray(p, bpf.LBMapLbVipNames, &p.names), mapArray(p, bpf.LBMapLbBeNames, &p.hosts),
		mapArray(p, bpf.LBMapLbRings, &p.rings), mapArray(p, bpf.LBMapLbWeights, &weights),
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
