package maglev

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func member(address string, weight, id uint16) Member {
	return Member{Address: netip.MustParseAddr(address), Weight: weight, ID: id}
}

// What is in these rings is a promise to hosts of other versions. Who changes
// one makes two hosts of a cluster disagree while they are upgraded.
func TestRingsByHand(t *testing.T) {
	const x = None
	for _, c := range []struct {
		name    string
		size    int
		members []Member
		want    []uint16
	}{
		{"nobody", 5, nil, []uint16{x, x, x, x, x}},
		{"nobody with a weight", 3, []Member{member("10.0.0.1", 0, 1), member("10.0.0.2", 0, 2)}, []uint16{x, x, x}},
		{"one", 5, []Member{member("10.0.0.1", 1, 9)}, []uint16{9, 9, 9, 9, 9}},
		{"one of two", 3, []Member{member("10.0.0.1", 0, 1), member("10.0.0.2", 7, 2)}, []uint16{2, 2, 2}},
		{"the least ring", 2, []Member{member("10.0.0.1", 1, 1), member("10.0.0.2", 1, 2)}, []uint16{2, 1}},
		{"two", 7, []Member{member("10.0.0.1", 1, 1), member("10.0.0.2", 1, 2)}, []uint16{2, 2, 1, 1, 2, 1, 1}},
		{"two of two weights", 11, []Member{member("10.0.0.1", 1, 1), member("10.0.0.2", 2, 2)}, []uint16{1, 2, 2, 2, 2, 2, 1, 2, 2, 1, 1}},
		{"of both families", 13, []Member{member("10.0.0.1", 1, 1), member("2001:db8::1", 1, 2), member("10.0.0.3", 1, 3)},
			[]uint16{1, 3, 2, 3, 1, 3, 1, 1, 1, 2, 2, 3, 2}},
	} {
		if got := build(t, c.size, c.members); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The sums of large rings are the same promise.
func TestRingsBySum(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []Member
		want    uint64
	}{
		{"10 equal", pool(10, equal), 0x4cf5287a371a34c},
		{"100 mixed", pool(100, mixed), 0x2fd225b4deecec20},
		{"1000 mixed", pool(1000, mixed), 0x220cc366561e6699},
	} {
		if got := Checksum(build(t, MaxSize, c.members), addressOf(c.members)); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	one, two := member("10.0.0.1", 1, 1), member("10.0.0.2", 1, 2)
	for _, c := range []struct {
		size    int
		members []Member
		want    string
	}{
		{0, []Member{one}, "ring of 0 slots: must be 2 to 65537"},
		{1, []Member{one}, "ring of 1 slots: must be 2 to 65537"},
		{4, []Member{one}, "ring of 4 slots: must be prime, and 2 divides it"},
		{251 * 251, []Member{one}, "ring of 63001 slots: must be prime, and 251 divides it"},
		{65539, []Member{one}, "ring of 65539 slots: must be 2 to 65537"},
		{2, []Member{one, two, member("10.0.0.3", 1, 3)}, "ring too small: 2 slots for 3 backends"},
		{7, []Member{one, two, member("10.0.0.1", 0, 3)}, "ring with backend 10.0.0.1: it is there twice"},
		{7, []Member{one, member("::ffff:10.0.0.1", 2, 3)}, "ring with backend 10.0.0.1: it is there twice"},
		{7, []Member{member("fe80::1%eth0", 1, 1), member("fe80::1%eth1", 1, 2)}, "ring with backend fe80::1: it is there twice"},
		{7, []Member{one, {Weight: 1, ID: 8}}, "ring with backend 8: it has no address"},
		{7, []Member{one, member("10.0.0.2", 1, None)}, "ring with backend 10.0.0.2: id 32767 is not below 32767"},
		{7, pool(MaxMembers+1, equal), "ring of 4097 backends: at most 4096 may share one"},
	} {
		ring := slices.Repeat([]uint16{77}, c.size)
		var b Builder
		err := b.Build(ring, c.members)
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if errors.Is(err, ErrTooSmall) != strings.HasPrefix(c.want, "ring too small") {
			t.Errorf("%v: is it ErrTooSmall?", err)
		}
		if slices.ContainsFunc(ring, func(id uint16) bool { return id != 77 }) {
			t.Errorf("%v: it changed the ring", err)
		}
	}
}

// Neither the order of members, nor their ids, nor what a builder built before
// change a ring, nor do weights that have a divisor in common.
func TestRingFollowsFromItsMembers(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var b Builder
	ring := make([]uint16, MaxSize)
	for _, n := range []int{2, 10, 100, 1000} {
		members := scattered(r, n, mixed)
		want := build(t, MaxSize, members)
		sum := Checksum(want, addressOf(members))
		for range 3 {
			r.Shuffle(n, func(i, j int) { members[i], members[j] = members[j], members[i] })
			if err := b.Build(ring, members); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(ring, want) {
				t.Errorf("%d backends: another ring in another order", n)
			}
		}
		for i := range members {
			members[i].ID = uint16(i + 1000)
			members[i].Weight *= 10
		}
		other := build(t, MaxSize, members)
		if slices.Equal(other, want) {
			t.Errorf("%d backends: other ids do not show", n)
		}
		if got := Checksum(other, addressOf(members)); got != sum {
			t.Errorf("%d backends: sum %#x with other ids, want %#x", n, got, sum)
		}
	}
}

func TestBuildAllocatesOnce(t *testing.T) {
	var b Builder
	ring := make([]uint16, MaxSize)
	for _, n := range []int{1000, 100, 1} {
		members := scattered(rand.New(rand.NewPCG(9, 10)), n, mixed)
		n := testing.AllocsPerRun(3, func() { // after one run that does not count
			if err := b.Build(ring, members); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%d backends: %g allocations", len(members), n)
		}
	}
}

// The words are what the published generator says with the seed 1234567.
func TestMixIsSplitmix64(t *testing.T) {
	state := uint64(1234567)
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423} {
		state += golden
		if got := mix(state); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func TestSlot(t *testing.T) {
	for _, c := range []struct {
		hash       uint32
		size, want int
	}{
		{0, 7, 0}, {1 << 31, 7, 3}, {1<<32 - 1, 7, 6}, {1<<32 - 1, MaxSize, MaxSize - 1}, {65535, MaxSize, 0}, {65536, MaxSize, 1},
	} {
		if got := Slot(c.hash, c.size); got != c.want {
			t.Errorf("hash %d in %d slots: %d, want %d", c.hash, c.size, got, c.want)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		for name, weight := range map[string]func(int) uint16{"equal": equal, "mixed": mixed} {
			b.Run(fmt.Sprintf("%d-%s", n, name), func(b *testing.B) {
				members := pool(n, weight)
				ring := make([]uint16, MaxSize)
				var builder Builder
				for b.Loop() {
					if err := builder.Build(ring, members); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
