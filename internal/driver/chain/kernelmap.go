package chain

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// batchSize is how many entries one system call reads or writes.
const batchSize = 4096

// each calls f with every entry of a map, whose bytes are f's only until it
// returns. The value of a per-CPU map is that of its CPUs if all have the
// same; else it is empty, which is no value.
func each(m *ebpf.Map, f func(key, value []byte)) error {
	err := eachBatch(m, f)
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	var key []byte
	it := m.Iterate()
	if isPerCPU(m.Type()) {
		var values [][]byte
		for it.Next(&key, &values) {
			f(key, agreed(values))
		}
		return it.Err()
	}
	var value []byte
	for it.Next(&key, &value) {
		f(key, value)
	}
	return it.Err()
}

// eachBatch reads many entries a system call, into memory of one piece.
func eachBatch(m *ebpf.Map, f func(key, value []byte)) error {
	keySize, valueSize := int(m.KeySize()), int(m.ValueSize())
	return batches(m, func(keys, values []byte) {
		for i := range len(keys) / keySize {
			f(keys[i*keySize:(i+1)*keySize], values[i*valueSize:(i+1)*valueSize])
		}
	})
}

// batches calls f with the keys and values of many entries at a time, one
// behind the other, whose bytes are f's only until it returns.
func batches(m *ebpf.Map, f func(keys, values []byte)) error {
	if isPerCPU(m.Type()) {
		return ebpf.ErrNotSupported
	}
	n := min(batchSize, int(m.MaxEntries()))
	keySize, valueSize := int(m.KeySize()), int(m.ValueSize())
	keys, keyBytes := array(n, keySize)
	values, valueBytes := array(n, valueSize)
	var cursor ebpf.MapBatchCursor
	for {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		f(keyBytes[:got*keySize], valueBytes[:got*valueSize])
		if err != nil {
			return nil // that was the last
		}
	}
}

// array is n elements of a size, for a library that tells sizes by types, and
// the same memory as bytes.
func array(n, size int) (elements any, raw []byte) {
	t := reflect.ArrayOf(size, reflect.TypeFor[byte]())
	s := reflect.MakeSlice(reflect.SliceOf(t), n, n)
	if n*size == 0 {
		return s.Interface(), nil
	}
	whole := reflect.NewAt(reflect.ArrayOf(n*size, reflect.TypeFor[byte]()), s.UnsafePointer()).Elem()
	return s.Interface(), whole.Slice(0, n*size).Bytes()
}

func isPerCPU(t ebpf.MapType) bool {
	return t == ebpf.PerCPUHash || t == ebpf.PerCPUArray || t == ebpf.LRUCPUHash
}

// lookup reads one value; of a per-CPU map as each does.
func lookup(m *ebpf.Map, key []byte) ([]byte, error) {
	if !isPerCPU(m.Type()) {
		v := make([]byte, m.ValueSize())
		return v, m.Lookup(key, v)
	}
	var values [][]byte
	if err := m.Lookup(key, &values); err != nil {
		return nil, err
	}
	return agreed(values), nil
}

// agreed is the value of all CPUs; empty where they differ.
func agreed(values [][]byte) []byte {
	for _, v := range values[1:] {
		if string(v) != string(values[0]) {
			return nil
		}
	}
	return values[0]
}

// erase deletes an entry; an element of an array becomes zero.
func erase(m *ebpf.Map, key []byte) error {
	if isArray(m.Type()) {
		return putOne(m, key, make([]byte, m.ValueSize()))
	}
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// put writes entries, many a system call where the kernel can.
func put(m *ebpf.Map, keys, values [][]byte) error {
	if len(keys) > fewEntries && !isPerCPU(m.Type()) {
		err := putBatches(m, keys, values)
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return err
		}
	}
	for i := range keys {
		if err := putOne(m, keys[i], values[i]); err != nil {
			return err
		}
	}
	return nil
}

func putBatches(m *ebpf.Map, keys, values [][]byte) error {
	for len(keys) > 0 {
		n := min(batchSize, len(keys))
		k, rawKeys := array(n, int(m.KeySize()))
		v, rawValues := array(n, int(m.ValueSize()))
		for i := range n {
			copy(rawKeys[i*int(m.KeySize()):], keys[i])
			copy(rawValues[i*int(m.ValueSize()):], values[i])
		}
		if done, err := m.BatchUpdate(k, v, nil); err != nil {
			return fmt.Errorf("after %d of %d entries: %w", done, n, err)
		}
		keys, values = keys[n:], values[n:]
	}
	return nil
}

// putOne writes one entry, on all CPUs of a per-CPU map.
func putOne(m *ebpf.Map, key, value []byte) error {
	if !isPerCPU(m.Type()) {
		return m.Put(key, value)
	}
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	values := make([][]byte, n)
	for i := range values {
		values[i] = value
	}
	return m.Put(key, values)
}

// copyMap puts the entries of a map into another with keys and values of the
// same sizes, as far as there is room.
func copyMap(from, to *ebpf.Map) error {
	if isPerCPU(from.Type()) {
		return copyPerCPU(from, to)
	}
	var keys, values [][]byte
	err := each(from, func(k, v []byte) {
		if isArray(to.Type()) && word(k) >= to.MaxEntries() {
			return
		}
		keys, values = append(keys, append([]byte{}, k...)), append(values, append([]byte{}, v...))
	})
	if err != nil {
		return err
	}
	if len(keys) > int(to.MaxEntries()) {
		return fmt.Errorf("%d entries, and room for %d", len(keys), to.MaxEntries())
	}
	return put(to, keys, values)
}

func copyPerCPU(from, to *ebpf.Map) error {
	var key []byte
	var values [][]byte
	it := from.Iterate()
	for it.Next(&key, &values) {
		if isArray(to.Type()) && word(key) >= to.MaxEntries() {
			continue
		}
		if err := to.Put(key, values); err != nil {
			return err
		}
	}
	return it.Err()
}
