package plane

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// Claim gives packets to a service: those to an address, of a protocol and a
// port, 0 for any. The most specific claim wins.
type Claim struct {
	Address  netip.Addr
	Protocol uint8  // 0: any, and then the port is 0 too
	Port     uint16 // of TCP or UDP; 0: any
	Service  uint16
}

const (
	noService = 0xffff
	ambiguous = 0xfffe
)

// Bits of what an address claims as such.
const (
	ownAny = 1 << iota
	ownTCP
	ownUDP
)

// Claims reads the table that is in force, sorted by address, protocol, port.
func (p *Plane) Claims() ([]Claim, error) {
	var found []Claim
	t := p.table(p.live())
	for i := range t.Addresses {
		if a := &t.Addresses[i]; a.Family != 0 {
			found = append(found, ownClaims(a)...)
		}
	}
	for _, word := range t.Claims {
		if word == 0 {
			continue
		}
		at := word >> (claimShift + 24)
		if at >= addressElements || t.Addresses[at].Family == 0 {
			return nil, fmt.Errorf("the table of VIPs claims a port of no address: %#x", word)
		}
		a := &t.Addresses[at]
		found = append(found, Claim{Address: addressOf(a.Addr, a.Family), Protocol: uint8(word >> (claimShift + 16)), Port: uint16(word >> claimShift), Service: uint16(word)})
	}
	slices.SortFunc(found, compareClaims)
	return found, nil
}

func ownClaims(a *bpf.LBAddress) (found []Claim) {
	addr := addressOf(a.Addr, a.Family)
	if a.Own&ownAny != 0 {
		found = append(found, Claim{Address: addr, Service: a.Any})
	}
	if a.Own&ownTCP != 0 {
		found = append(found, Claim{Address: addr, Protocol: unix.IPPROTO_TCP, Service: a.Whole[0]})
	}
	if a.Own&ownUDP != 0 {
		found = append(found, Claim{Address: addr, Protocol: unix.IPPROTO_UDP, Service: a.Whole[1]})
	}
	return found
}

func compareClaims(a, b Claim) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Service, b.Service))
}

// SetClaims replaces the table in one step: it is written where nobody reads
// it, and then put in force.
func (p *Plane) SetClaims(claims []Claim) error {
	claims = slices.Clone(claims)
	slices.SortFunc(claims, compareClaims)
	if err := p.checkClaims(claims); err != nil {
		return err
	}
	groups := byAddress(claims)
	if len(groups) > int(p.capacity.Addresses) {
		return fmt.Errorf("%d addresses of VIPs, and room for %d", len(groups), p.capacity.Addresses)
	}
	other := ^p.live() & 1
	for n := range seeds {
		t, err := p.layOut(groups, seed(n)|other)
		if errors.Is(err, errNoSeed) {
			continue
		}
		if err != nil {
			return err
		}
		p.rested.awaitTable()
		p.write(t)
		return nil
	}
	return errNoSeed
}

func (p *Plane) checkClaims(claims []Claim) error {
	for i, c := range claims {
		switch {
		case !c.Address.IsValid() || c.Address.Is4In6() || c.Address.Zone() != "":
			return fmt.Errorf("claim %v: not an address of a VIP", c)
		case c.Protocol == 0 && c.Port != 0, c.Port != 0 && !ported(c.Protocol):
			return fmt.Errorf("claim %v: only TCP and UDP have ports", c)
		case uint32(c.Service) >= p.capacity.Services:
			return fmt.Errorf("claim %v: there is room for %d services", c, p.capacity.Services)
		case i > 0 && claims[i-1].Address == c.Address && claims[i-1].Protocol == c.Protocol && claims[i-1].Port == c.Port:
			return fmt.Errorf("claim %v: the same packets are claimed twice", c)
		}
	}
	return nil
}

func ported(protocol uint8) bool { return protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP }

// byAddress groups sorted claims.
func byAddress(claims []Claim) (groups [][]Claim) {
	for i, c := range claims {
		if i == 0 || claims[i-1].Address != c.Address {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], c)
	}
	return groups
}

// claimShift is where in a claim's word its service ends.
const claimShift = 16

func claimOf(at uint32, protocol uint8, port uint16) uint64 {
	return uint64(at)<<24 | uint64(protocol)<<16 | uint64(port)
}

// layout is a table before it is written.
type layout struct {
	live      uint64
	addresses placed
	elements  []bpf.LBAddress // as addresses.at has them
	claims    placed
	words     []uint64 // as claims.at has them
}

// layOut finds places for all; errNoSeed if this seed has none.
func (p *Plane) layOut(groups [][]Claim, live uint64) (layout, error) {
	t := layout{live: live}
	hashes := make([]uint64, len(groups))
	for i, g := range groups {
		hashes[i] = fold(wordsOf(g[0].Address)) * (live | 1)
	}
	var ok bool
	if t.addresses, ok = place(hashes, addressBits); !ok {
		return layout{}, errNoSeed
	}
	hashes = nil
	for i, g := range groups {
		element, specific := addressOfClaims(g)
		t.elements = append(t.elements, element)
		for _, c := range specific {
			hashes = append(hashes, hashOfClaim(fold(element.Addr, element.Family), c.Protocol, c.Port, live))
			t.words = append(t.words, claimOf(t.addresses.at[i], c.Protocol, c.Port)<<claimShift|uint64(c.Service))
		}
	}
	if len(hashes) > int(p.capacity.Claims) {
		return layout{}, fmt.Errorf("%d claims of ports and protocols, and room for %d", len(hashes), p.capacity.Claims)
	}
	if t.claims, ok = place(hashes, claimBits); !ok {
		return layout{}, errNoSeed
	}
	return t, nil
}

// addressOfClaims is the element of an address, and those of its claims that
// stand in the second table.
func addressOfClaims(group []Claim) (bpf.LBAddress, []Claim) {
	a := bpf.LBAddress{Any: noService, Whole: [2]uint16{noService, noService}}
	a.Addr, a.Family = wordsOf(group[0].Address)
	var specific []Claim
	for _, c := range group {
		switch {
		case c.Protocol == 0:
			a.Any, a.Own = c.Service, a.Own|ownAny
		case c.Protocol == unix.IPPROTO_TCP && c.Port == 0:
			a.Whole[0], a.Own = c.Service, a.Own|ownTCP
		case c.Protocol == unix.IPPROTO_UDP && c.Port == 0:
			a.Whole[1], a.Own = c.Service, a.Own|ownUDP
		default:
			specific, a.Specific = append(specific, c), 1
		}
	}
	for i, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		a.Fragment[i] = serviceOfFragments(group, protocol)
		if a.Whole[i] == noService {
			a.Whole[i] = a.Any
		}
	}
	return a, specific
}

// serviceOfFragments is the one service that all of a protocol goes to: only
// the ports, which fragments lack, would tell several apart.
func serviceOfFragments(group []Claim, protocol uint8) uint16 {
	found := uint16(noService)
	for _, c := range group {
		if c.Protocol != 0 && c.Protocol != protocol {
			continue
		}
		if found != noService && found != c.Service {
			return ambiguous
		}
		found = c.Service
	}
	return found
}

// write fills the table that is not live, and makes it so.
func (p *Plane) write(l layout) {
	t := p.table(l.live)
	*t = bpf.LBTable{}
	for b, d := range l.addresses.displace {
		t.AddressDisplace[b] = d
	}
	for i, at := range l.addresses.at {
		t.Addresses[at] = l.elements[i]
	}
	for b, d := range l.claims.displace {
		t.ClaimDisplace[b] = d
	}
	for i, at := range l.claims.at {
		t.Claims[at] = l.words[i]
	}
	store(&p.shared.Live, l.live)
	p.rested.table = time.Now()
}

// table is one of the two: the one in force, if the word is.
func (p *Plane) table(live uint64) *bpf.LBTable { return &p.shared.Tables[live&1] }
