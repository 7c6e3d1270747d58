package maglev

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// entry is a member as it is sorted.
type entry struct {
	high, low  uint64 // the address
	weight, id uint16
}

func newEntry(m Member) (entry, error) {
	if !m.Address.IsValid() {
		return entry{}, fmt.Errorf("ring with backend %d: it has no address", m.ID)
	}
	if m.ID >= None {
		return entry{}, fmt.Errorf("ring with backend %s: id %d is not below %d", m.Address, m.ID, None)
	}
	e := entryAt(m.Address)
	e.weight, e.id = m.Weight, m.ID
	return e, nil
}

// entryAt is an entry by its address, which must be valid.
func entryAt(a netip.Addr) entry {
	b := a.As16()
	return entry{high: binary.BigEndian.Uint64(b[:8]), low: binary.BigEndian.Uint64(b[8:])}
}

func (e entry) address() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], e.high)
	binary.BigEndian.PutUint64(b[8:], e.low)
	return netip.AddrFrom16(b).Unmap()
}

// hash mixes the 128 bits of the address.
func (e entry) hash() uint64 { return mix(mix(e.high+golden) ^ (e.low + golden)) }

// compare sorts the heaviest first, then by address.
func (e entry) compare(other entry) int {
	if e.weight != other.weight {
		return cmp.Compare(other.weight, e.weight)
	}
	if e.high != other.high {
		return cmp.Compare(e.high, other.high)
	}
	return cmp.Compare(e.low, other.low)
}

// enter sorts the members that have a weight.
func (b *Builder) enter(members []Member) error {
	if len(members) > MaxMembers {
		return fmt.Errorf("ring of %d backends: at most %d may share one", len(members), MaxMembers)
	}
	b.entries = b.entries[:0]
	for _, m := range members {
		e, err := newEntry(m)
		if err != nil {
			return err
		}
		b.entries = append(b.entries, e)
	}
	if e, found := b.twice(); found {
		return fmt.Errorf("ring with backend %s: it is there twice", e.address())
	}
	slices.SortFunc(b.entries, entry.compare)
	for n := len(b.entries); n > 0 && b.entries[n-1].weight == 0; n-- {
		b.entries = b.entries[:n-1]
	}
	return nil
}

// twice finds an address that is there twice. A table of hashes is quicker than
// a second order by nothing but the address, which took a fifth of the time of
// a ring.
func (b *Builder) twice() (entry, bool) {
	clear(b.seen[:])
	for i, e := range b.entries {
		at := e.hash() % seats
		for ; b.seen[at] != 0; at = (at + 1) % seats {
			if o := b.entries[b.seen[at]-1]; o.high == e.high && o.low == e.low {
				return e, true
			}
		}
		b.seen[at] = uint16(i + 1)
	}
	return entry{}, false
}
