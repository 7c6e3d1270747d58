package maglev

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
)

// FuzzBuild makes a size and a pool of bytes: two of the size, then four of
// address and two of weight a backend. What it builds is the plain ring, and
// has exact shares where the weights fit.
func FuzzBuild(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		size, members := fuzzed(data)
		ring := slices.Repeat([]uint16{77}, size)
		var b Builder
		if err := b.Build(ring, members); err != nil {
			refused(t, err, ring, members)
			return
		}
		if want := plain(size, members); !slices.Equal(ring, want) {
			t.Fatalf("%v\nis not the plain ring\n%v\nof %v", ring, want, members)
		}
		if CheckWeights(size, weightsOf(members)) == nil && ring[0] != None {
			exactly(t, ring, members)
		}
		if len(members) > 0 {
			gone := build(t, size, members[1:])
			churn := Compare(ring, gone)
			if least := slots(ring)[members[0].ID]; churn.Must < least || churn.Collateral() < 0 {
				t.Errorf("%+v when one goes that had %d slots", churn, least)
			}
		}
	})
}

func fuzzed(data []byte) (size int, members []Member) {
	data = append(data, 0, 0)
	size = int(binary.BigEndian.Uint16(data)) % 1100
	for data = data[2:]; len(data) >= 6; data = data[6:] {
		members = append(members, Member{
			Address: netip.AddrFrom4([4]byte(data)), Weight: binary.BigEndian.Uint16(data[4:]), ID: uint16(len(members)),
		})
	}
	return size, members
}

// refused fails unless there is a reason to refuse a pool, and the ring is what
// it was.
func refused(t *testing.T, err error, ring []uint16, members []Member) {
	t.Helper()
	seen := make(map[netip.Addr]bool)
	weighted := 0
	for _, m := range members {
		seen[m.Address] = true
		if m.Weight > 0 {
			weighted++
		}
	}
	if errors.Is(err, ErrTooSmall) != (CheckSize(len(ring)) == nil && len(seen) == len(members) && weighted > len(ring)) {
		t.Errorf("%d slots for %d backends: %v", len(ring), weighted, err)
	}
	if !errors.Is(err, ErrTooSmall) && CheckSize(len(ring)) == nil && len(seen) == len(members) && len(members) <= MaxMembers {
		t.Errorf("nothing is wrong with %v, but: %v", members, err)
	}
	if slices.ContainsFunc(ring, func(id uint16) bool { return id != 77 }) {
		t.Errorf("%v: it changed the ring", err)
	}
}
