package maglev

import (
	"net/netip"
	"testing"
)

func TestCompare(t *testing.T) {
	const x, moved = None, 0x8000
	for _, c := range []struct {
		name          string
		before, after []uint16
		want          Churn
	}{
		{"nothing", nil, nil, Churn{}},
		{"the same", []uint16{1, 2, x}, []uint16{1, 2, x}, Churn{Slots: 3}},
		{"the dataplane's bit", []uint16{1, 2 | moved, x}, []uint16{1 | moved, 2, x | moved}, Churn{Slots: 3}},
		{"two swapped without need", []uint16{1, 2, 2}, []uint16{2, 1, 2}, Churn{Slots: 3, Moved: 2}},
		{"one gone", []uint16{1, 2, 3, 1, 2}, []uint16{1, 2, 1, 1, 2}, Churn{Slots: 5, Moved: 1, Must: 1}},
		{"one gone, and one moved with it", []uint16{1, 2, 3, 1, 2}, []uint16{2, 2, 1, 1, 2}, Churn{Slots: 5, Moved: 2, Must: 1}},
		{"one new", []uint16{1, 1, 2, 2, 2}, []uint16{1, 3, 2, 3, 2}, Churn{Slots: 5, Moved: 2, Must: 2}},
		{"the first", []uint16{x, x, x}, []uint16{1, 1, 1}, Churn{Slots: 3}},
		{"the last", []uint16{1, 1, 1}, []uint16{x, x, x}, Churn{Slots: 3, Moved: 3, Must: 3}},
		{"from no ring", nil, []uint16{1, 2, 1}, Churn{Slots: 3}},
		{"to no ring", []uint16{1, 2, x}, nil, Churn{Slots: 3, Moved: 2, Must: 2}},
		{"a larger ring", []uint16{1, 2, 1}, []uint16{1, 1, 2, 2, 1}, Churn{Slots: 5, Moved: 1, Must: 1}},
		{"a smaller ring", []uint16{1, 1, 2, 2, 1}, []uint16{1, 2, 1}, Churn{Slots: 5, Moved: 1, Must: 1}},
	} {
		got := Compare(c.before, c.after)
		if got != c.want || got.Collateral() != c.want.Moved-c.want.Must {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestChecksumTellsRingsApart(t *testing.T) {
	members := []Member{member("10.0.0.1", 1, 1), member("10.0.0.2", 1, 2), member("2001:db8::1", 1, 3)}
	sums := make(map[uint64][]uint16)
	for _, ring := range [][]uint16{
		nil, {None}, {None, None}, {1}, {2}, {1, 2}, {2, 1}, {1, 1}, {1, 2, 3}, {1, 3, 2}, {3, 2, 1}, {1, 2, None}, {7}, {1, 7},
	} {
		sum := Checksum(ring, addressOf(members))
		if other, ok := sums[sum]; ok {
			t.Errorf("%v and %v have the sum %#x", ring, other, sum)
		}
		sums[sum] = ring
	}
}

func TestChecksumAsksOnceForEachID(t *testing.T) {
	members := pool(10, equal)
	asked := make(map[uint16]int)
	ring := build(t, 251, members)
	count := func(id uint16) netip.Addr {
		asked[id]++
		return addressOf(members)(id)
	}
	plain := Checksum(ring, count)
	ring[17] |= 0x8000
	if marked := Checksum(ring, addressOf(members)); marked != plain {
		t.Errorf("sum %#x with the dataplane's bit, want %#x", marked, plain)
	}
	for _, m := range members {
		if asked[m.ID] != 1 {
			t.Errorf("asked %d times for %d, want once", asked[m.ID], m.ID)
		}
	}
	if len(asked) != len(members) {
		t.Errorf("asked for %v, want the ids of the members", asked)
	}
}
