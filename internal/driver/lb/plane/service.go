package plane

import (
	"fmt"
	"sync/atomic"
	"time"
)

// NoRing is no ring: of a service that has no backend, or no open window.
const NoRing = 0xffff

// NoBackend is what becomes of packets of a service without a backend.
type NoBackend uint8

// What becomes of them.
const (
	Drop NoBackend = iota
	Pass
	Reject // TCP by a reset, others by port unreachable
)

func (n NoBackend) String() string {
	switch n {
	case Drop:
		return "drop"
	case Pass:
		return "pass"
	case Reject:
		return "reject"
	}
	return fmt.Sprintf("NoBackend(%d)", uint8(n))
}

// Service is what a claim leads to. It changes in one step.
type Service struct {
	Ring       uint16 // buffer; NoRing: no backend
	Previous   uint16 // buffer of the former owners of moved slots; NoRing: no window is open
	Sticky     bool   // a client's flows have one backend, whatever their ports
	NoBackend  NoBackend
	Generation uint16 // counts changes, as who writes them likes

	Opened time.Duration // CLOCK_MONOTONIC: when slots moved last
	Until  time.Duration // when the window is to be closed; the program does not ask

	Name, Label string // at most 64 bytes each
}

// Open tells that slots moved lately, and flows of their former owners live on.
func (s Service) Open() bool { return s.Previous != NoRing }

const (
	flagServes = 1 << iota
	flagSticky
	flagRejects
	flagPasses
)

func (s Service) word() uint64 {
	var flags uint64
	if s.Ring != NoRing {
		flags |= flagServes
	}
	if s.Sticky {
		flags |= flagSticky
	}
	switch s.NoBackend {
	case Reject:
		flags |= flagRejects
	case Pass:
		flags |= flagPasses
	}
	return uint64(s.Ring) | uint64(s.Previous)<<16 | flags<<32 | uint64(s.Generation)<<48
}

func serviceOf(word uint64) Service {
	s := Service{Ring: uint16(word), Previous: uint16(word >> 16), Generation: uint16(word >> 48)}
	flags := word >> 32
	s.Sticky = flags&flagSticky != 0
	if flags&flagServes == 0 {
		s.Ring = NoRing
	}
	switch {
	case flags&flagPasses != 0:
		s.NoBackend = Pass
	case flags&flagRejects != 0:
		s.NoBackend = Reject
	}
	return s
}

// Service reads one.
func (p *Plane) Service(i uint16) (Service, error) {
	if uint32(i) >= p.capacity.Services {
		return Service{}, fmt.Errorf("service %d: there is room for %d", i, p.capacity.Services)
	}
	kernel := &p.shared.Services[i]
	s := serviceOf(atomic.LoadUint64(&kernel.Word))
	s.Opened, s.Until = time.Duration(kernel.Opened), time.Duration(kernel.Until)
	s.Name, s.Label = text(&p.names.at(int(i)).Name), text(&p.names.at(int(i)).Label)
	return s, nil
}

// SetService writes what differs of one; its rings are in force when it returns.
func (p *Plane) SetService(i uint16, s Service) error {
	was, err := p.Service(i)
	if err != nil {
		return err
	}
	for _, ring := range []uint16{s.Ring, s.Previous} {
		if ring != NoRing && uint32(ring) >= p.capacity.Rings {
			return fmt.Errorf("service %d: ring %d: there is room for %d", i, ring, p.capacity.Rings)
		}
	}
	if err := setText(&p.names.at(int(i)).Name, s.Name); err != nil {
		return fmt.Errorf("service %d: %w", i, err)
	}
	if err := setText(&p.names.at(int(i)).Label, s.Label); err != nil {
		return fmt.Errorf("service %d: %w", i, err)
	}
	kernel := &p.shared.Services[i]
	store(&kernel.Opened, uint64(max(s.Opened, 0)))
	store(&kernel.Until, uint64(max(s.Until, 0)))
	store(&kernel.Word, s.word())
	for _, ring := range []uint16{was.Ring, was.Previous} {
		if ring != NoRing && ring != s.Ring && ring != s.Previous {
			p.rested.leaves(ring, time.Now())
		}
	}
	return nil
}

// text is what stands before the first zero.
func text(from *[64]int8) string {
	b := make([]byte, 0, len(from))
	for _, c := range from {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func setText(to *[64]int8, s string) error {
	if len(s) > len(to) {
		return fmt.Errorf("name %q is longer than %d bytes", s, len(to))
	}
	var next [64]int8
	for i := range len(s) {
		next[i] = int8(s[i])
	}
	if *to != next {
		*to = next
	}
	return nil
}
