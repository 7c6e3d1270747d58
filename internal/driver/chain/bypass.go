package chain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/driver/chain/bpf"
)

// frameNames are the frames of a Bypass, in the order of their bits (enum frames
// of bpf/state.h).
func frameNames() []string { return []string{"arp", "nd", "lacp", "lldp", "bfd"} }

// maxPrefixes bounds the prefixes of each family (PREFIXES of bpf/state.h).
const maxPrefixes = 16

// Bypass are the frames that reach the kernel before any program: ARP,
// neighbour discovery, LACP, LLDP and BFD, and what comes from some prefixes.
type Bypass struct {
	frames uint32
	from   []netip.Prefix
}

// NewBypass makes one of names and prefixes.
func NewBypass(frames []string, from []netip.Prefix) (Bypass, error) {
	b := Bypass{}
	for _, f := range frames {
		bit := uint32(0)
		for i, n := range frameNames() {
			if n == f {
				bit = 1 << i
			}
		}
		if bit == 0 {
			return Bypass{}, fmt.Errorf("bypass: %q is none of %s", f, strings.Join(frameNames(), ", "))
		}
		b.frames |= bit
	}
	n4, n6 := 0, 0
	for _, p := range from {
		if p.Addr().Is4() {
			n4++
		} else {
			n6++
		}
		b.from = append(b.from, p.Masked())
	}
	slices.SortFunc(b.from, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	b.from = slices.Compact(b.from)
	if max(n4, n6) > maxPrefixes {
		return Bypass{}, fmt.Errorf("bypass: more than %d prefixes of one family", maxPrefixes)
	}
	return b, nil
}

// String lists the frames and prefixes; empty for none.
func (b Bypass) String() string {
	var parts []string
	for i, n := range frameNames() {
		if b.frames&(1<<i) != 0 {
			parts = append(parts, n)
		}
	}
	for _, p := range b.from {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, " ")
}

// fill writes it into the state of a dispatcher.
func (b Bypass) fill(s *bpf.XDPChain) {
	s.Frames = b.frames
	for _, p := range b.from {
		mask := prefixMask(p)
		if p.Addr().Is4() {
			e := &s.From4[s.Count4]
			addr := p.Addr().As4()
			e.Addr, e.Mask = word(addr[:]), word(mask)
			s.Count4++
			continue
		}
		e := &s.From6[s.Count6]
		addr := p.Addr().As16()
		for i := range 4 {
			e.Addr[i], e.Mask[i] = word(addr[4*i:]), word(mask[4*i:])
		}
		s.Count6++
	}
}

// bypassOf reads it back.
func bypassOf(s *bpf.XDPChain) Bypass {
	b := Bypass{frames: s.Frames}
	for _, e := range s.From4[:min(s.Count4, maxPrefixes)] {
		var addr, mask [4]byte
		putWord(addr[:], e.Addr)
		putWord(mask[:], e.Mask)
		b.from = append(b.from, netip.PrefixFrom(netip.AddrFrom4(addr), maskBits(mask[:])))
	}
	for _, e := range s.From6[:min(s.Count6, maxPrefixes)] {
		var addr, mask [16]byte
		for i := range 4 {
			putWord(addr[4*i:], e.Addr[i])
			putWord(mask[4*i:], e.Mask[i])
		}
		b.from = append(b.from, netip.PrefixFrom(netip.AddrFrom16(addr), maskBits(mask[:])))
	}
	return b
}
