package lb

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// builder builds rings and remembers those of one plan. The ids in them are
// places in the list of shares: backends get their indexes later.
type builder struct {
	maglev.Builder
	rings map[recipe][]uint16
	older map[recipe][]uint16 // of the look before
	spare [][]uint16          // memory of rings that are forgotten
	named []uint16            // what renamed returned last
}

// forget forgets rings that were not asked for since it was called last, and
// keeps some of their memory. A look after a change finds what that built.
func (b *builder) forget() {
	for _, slots := range b.older {
		if len(b.spare) < maxSpare {
			b.spare = append(b.spare, slots)
		}
	}
	b.rings, b.older = nil, b.rings
}

// maxSpare is how many rings may be built without new memory.
const maxSpare = 4

func (b *builder) slots(size uint32) []uint16 {
	if last := len(b.spare) - 1; last >= 0 && len(b.spare[last]) == int(size) {
		slots := b.spare[last]
		b.spare = b.spare[:last]
		return slots
	}
	return make([]uint16, size)
}

// recipe is what a ring follows from.
type recipe struct {
	size   uint32
	shares string
}

func recipeOf(size uint32, shares []resource.Share) recipe {
	var b strings.Builder
	n := 0
	for _, s := range shares {
		n += len(s.Backend) + 2
	}
	b.Grow(n)
	for _, s := range shares {
		b.WriteString(s.Backend)
		b.WriteByte(0)
		b.WriteByte(s.Weight)
	}
	return recipe{size, b.String()}
}

// build returns the ring of shares, which is what its recipe is of.
func (b *builder) build(r recipe, shares []resource.Share) ([]uint16, error) {
	if built, ok := b.rings[r]; ok {
		return built, nil
	}
	if built, ok := b.older[r]; ok {
		delete(b.older, r)
		b.note(r, built)
		return built, nil
	}
	members := make([]maglev.Member, len(shares))
	for i, s := range shares {
		a, err := addressIn(s.Backend)
		if err != nil {
			return nil, err
		}
		members[i] = maglev.Member{Address: a, Weight: uint16(s.Weight), ID: uint16(i)}
	}
	slots := b.slots(r.size)
	if err := b.Build(slots, members); err != nil {
		return nil, fmt.Errorf("build the ring: %w", err)
	}
	b.note(r, slots)
	return slots, nil
}

func (b *builder) note(r recipe, slots []uint16) {
	if b.rings == nil {
		b.rings = map[recipe][]uint16{}
	}
	b.rings[r] = slots
}

// addressIn is the address in the name of a backend's key.
func addressIn(backend string) (netip.Addr, error) {
	rest, _, _ := cutLast(backend)
	_, address, ok := cutLast(rest)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%s names no address of a backend", backend)
	}
	return netip.ParseAddr(address)
}

// cutLast cuts a name at its last slash.
func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:], i >= 0
}

// rename gives the ids of a built ring the numbers that they stand for, in out,
// which is as long. What is no id stays.
func rename(out, built, numbers []uint16) []uint16 {
	var table [maglev.None + 1]uint16
	table[maglev.None] = maglev.None
	copy(table[:], numbers)
	out = out[:len(built)]
	for i, id := range built {
		out[i] = table[id&maglev.None]
	}
	return out
}

// renamed is rename into memory that the next call takes again.
func (b *builder) renamed(built, numbers []uint16) []uint16 {
	if len(b.named) != len(built) {
		b.named = make([]uint16, len(built))
	}
	return rename(b.named, built, numbers)
}

// sortedShares are shares in the order of the backends' names.
func sortedShares(shares []resource.Share) []resource.Share {
	slices.SortFunc(shares, func(a, b resource.Share) int { return strings.Compare(a.Backend, b.Backend) })
	return shares
}
