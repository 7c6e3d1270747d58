package chain

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/chain/value"
	"reconciler/internal/resource"
)

// What is recorded of a map for the way back is bounded, in bytes.
const (
	maxWas  = 4 << 20
	rawCost = 24 // of an entry, beside its key and value
)

// was is what a change touches of a map, as it is before: bytes, so that it can
// be put back by who has no object. Where that is too much it is only counted.
func (f difference) was(c *contents, m *ebpf.Map) (was []resource.RawEntry, unrecorded int, err error) {
	there := len(f.differs) + len(f.extra)
	n, cpus := len(f.missing)+there, 1
	if isPerCPU(m.Type()) {
		cpus = ebpf.MustPossibleCPU()
	}
	if n*(int(m.KeySize())+rawCost)+there*int(m.ValueSize())*cpus > maxWas {
		return nil, n, nil
	}
	add := func(key, value []byte) {
		if cpus > 1 {
			v, e := rawValue(m, key)
			value, err = v, errors.Join(err, e)
		}
		was = append(was, resource.RawEntry{Key: key, Value: value})
	}
	for _, i := range f.missing {
		was = append(was, resource.RawEntry{Key: c.keys[i]})
	}
	for n, i := range f.differs {
		add(c.keys[i], f.is[n])
	}
	for _, e := range f.extra {
		add(e.key, e.value)
	}
	return was, 0, err
}

// rawValue reads the bytes of an entry; nil where there is none.
func rawValue(m *ebpf.Map, key []byte) ([]byte, error) {
	var raw []byte
	var err error
	if isPerCPU(m.Type()) {
		var values [][]byte
		err = m.Lookup(key, &values)
		raw = bytes.Join(values, nil)
	} else {
		raw, err = lookup(m, key)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	return raw, err
}

// readRecord is what a map holds now of what was recorded of it.
func readRecord(m resource.Map, open *ebpf.Map) (resource.Map, error) {
	now := m
	now.Was, now.Unrecorded = make([]resource.RawEntry, len(m.Was)), 0
	find := func(key []byte) ([]byte, error) { return rawValue(open, key) }
	if open.Type() == ebpf.LPMTrie {
		all, err := prefixes(open)
		if err != nil {
			return m, err
		}
		find = func(key []byte) ([]byte, error) { return all[prefix(key)], nil }
	}
	for i, e := range m.Was {
		if len(e.Key) != int(open.KeySize()) {
			return m, errors.New("what was recorded of it is of another map")
		}
		v, err := find(e.Key)
		if err != nil {
			return m, err
		}
		now.Was[i] = resource.RawEntry{Key: e.Key, Value: v}
	}
	return now, nil
}

// prefixes reads a trie: a look-up finds a wider prefix for one that is not
// there.
func prefixes(m *ebpf.Map) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := each(m, func(k, v []byte) { all[prefix(k)] = bytes.Clone(v) })
	return all, err
}

// prefix is a key of a trie without the bits that it takes no notice of.
func prefix(key []byte) string {
	k := bytes.Clone(key)
	value.LPM(value.Plain(len(k))).Normalize(k)
	return string(k)
}

func (d *Driver) prepareRecord(m resource.Map, open *ebpf.Map) error {
	if m.Unrecorded > 0 {
		open.Close()
		return fmt.Errorf("%d entries of map %s were changed, too many to be recorded", m.Unrecorded, m.Name)
	}
	d.ready[m.Key()] = &writing{m: open, was: m.Was}
	return nil
}

// putBack makes the entries that were recorded what they were. What was not
// there goes first, as a full map takes nothing more.
func putBack(m *ebpf.Map, was []resource.RawEntry) error {
	var keys, values [][]byte
	for _, e := range was {
		if e.Value != nil {
			keys, values = append(keys, e.Key), append(values, e.Value)
			continue
		}
		if err := erase(m, e.Key); err != nil {
			return fmt.Errorf("delete an entry that was not there: %w", err)
		}
	}
	if !isPerCPU(m.Type()) {
		return put(m, keys, values)
	}
	for i := range keys {
		if err := putAll(m, keys[i], values[i]); err != nil {
			return err
		}
	}
	return nil
}

// putAll writes the values of all CPUs.
func putAll(m *ebpf.Map, key, row []byte) error {
	size := int(m.ValueSize())
	if len(row) != size*ebpf.MustPossibleCPU() {
		return errors.New("what was recorded of it is of another map")
	}
	var values [][]byte
	for ; len(row) > 0; row = row[size:] {
		values = append(values, row[:size])
	}
	return m.Put(key, values)
}
