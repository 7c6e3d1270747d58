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
}

// recipe is what a ring follows from.
type recipe struct {
	size   uint32
	shares string
}

func recipeOf(size uint32, shares []resource.Share) recipe {
	var b strings.Builder
	for _, s := range shares {
		b.WriteString(s.Backend)
		b.WriteByte(0)
		b.WriteByte(s.Weight)
	}
	return recipe{size, b.String()}
}

// build returns the ring of shares.
func (b *builder) build(size uint32, shares []resource.Share) ([]uint16, error) {
	r := recipeOf(size, shares)
	if built, ok := b.rings[r]; ok {
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
	slots := make([]uint16, size)
	if err := b.Build(slots, members); err != nil {
		return nil, fmt.Errorf("build the ring: %w", err)
	}
	if b.rings == nil {
		b.rings = map[recipe][]uint16{}
	}
	b.rings[r] = slots
	return slots, nil
}

// addressIn is the address in the name of a backend's key.
func addressIn(backend string) (netip.Addr, error) {
	parts := strings.Split(backend, "/")
	if len(parts) < 3 {
		return netip.Addr{}, fmt.Errorf("%s names no address of a backend", backend)
	}
	return netip.ParseAddr(parts[len(parts)-2])
}

// rename gives the ids of a built ring the numbers that they stand for. What
// is no id stays.
func rename(built []uint16, numbers []uint16) []uint16 {
	var table [maglev.None + 1]uint16
	table[maglev.None] = maglev.None
	copy(table[:], numbers)
	out := make([]uint16, len(built))
	for i, id := range built {
		out[i] = table[id&maglev.None]
	}
	return out
}

// sortedShares are shares in the order of the backends' names.
func sortedShares(shares []resource.Share) []resource.Share {
	slices.SortFunc(shares, func(a, b resource.Share) int { return strings.Compare(a.Backend, b.Backend) })
	return shares
}
