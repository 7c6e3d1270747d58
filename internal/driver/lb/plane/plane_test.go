package plane

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// TestAdopts writes all there is through one plane, and reads it through
// another that opens the pins.
func TestAdopts(t *testing.T) {
	dir := pinDir(t)
	p, err := Create(dir, small())
	must(t, err)
	settings := Settings{Source4: netip.MustParsePrefix("10.200.0.0/16"), Source6: netip.MustParsePrefix("2001:db8:200::/61"), UDPIdle: 30 * time.Second}
	must(t, p.SetSettings(settings))
	claims := []Claim{
		{Address: addr("192.0.2.1"), Service: 3},
		{Address: addr("192.0.2.1"), Protocol: unix.IPPROTO_TCP, Port: 443, Service: 1},
		{Address: addr("192.0.2.1"), Protocol: unix.IPPROTO_UDP, Service: 3},
		{Address: addr("192.0.2.1"), Protocol: unix.IPPROTO_ESP, Service: 4},
		{Address: addr("2001:db8::1"), Protocol: unix.IPPROTO_TCP, Port: 443, Service: 2},
	}
	must(t, p.SetClaims(claims[:2]))
	must(t, p.SetClaims(claims))
	service := Service{Ring: 1, Previous: 2, Sticky: true, NoBackend: Reject, Generation: 7, Opened: time.Second, Until: time.Minute, Name: "www", Label: "edge"}
	must(t, p.SetService(3, service))
	backend := Backend{
		Valid: true, Address: addr("10.0.0.11"), Encap: Tunnel, Table: 9, Name: "web1", Label: "r12",
		Next: Next{Ifindex: 3, VLAN: 0x6007, SrcMAC: [6]byte{2, 1}, DstMAC: [6]byte{2, 2}, MTU: 1500},
	}
	must(t, p.SetBackend(5, backend))
	p.fill(t, 1, 5, Nobody, 5|Moved)
	must(t, p.Close())

	p, err = Open(dir)
	must(t, err)
	defer p.Close()
	same(t, "capacity", p.Capacity(), small().whole())
	same(t, "settings", p.Settings(), settings)
	got, err := p.Claims()
	must(t, err)
	same(t, "claims", got, claims)
	s, err := p.Service(3)
	must(t, err)
	same(t, "service", s, service)
	s, err = p.Service(4)
	must(t, err)
	same(t, "service never written", s, Service{Ring: NoRing, Previous: NoRing})
	b, err := p.Backend(5)
	must(t, err)
	same(t, "backend", b, backend)
	same(t, "backends", p.Backends()[5], backend)
	same(t, "backend never written", p.Backends()[6], Backend{})
	ring := make([]uint16, 251)
	must(t, p.ReadRing(1, ring))
	same(t, "ring", ring[:4], []uint16{5, Nobody, 5 | Moved, 5})
	if _, err := Create(dir, small()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over whole maps: %v", err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// TestOpenRefuses has Open look at what is not whole, and Create replace it.
func TestOpenRefuses(t *testing.T) {
	dir := pinDir(t)
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrIncomplete) {
		t.Errorf("nothing there: %v", err)
	}
	p, err := Create(dir, small())
	must(t, err)
	p.Close()
	must(t, os.Remove(PinPath(dir, bpf.LBMapLbPlane)))
	if _, err := Open(dir); !errors.Is(err, ErrIncomplete) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the program's own map is missing: %v", err)
	}
	p, err = Create(dir, small())
	must(t, err)
	p.Close()
	must(t, os.Remove(PinPath(dir, bpf.LBMapLbRings)))
	if _, err := Open(dir); !errors.Is(err, ErrIncomplete) {
		t.Errorf("the rings are missing: %v", err)
	}
	p, err = Create(dir, small())
	must(t, err)
	p.Close()
}

func TestOpenRefusesAnotherABI(t *testing.T) {
	dir := pinDir(t)
	p, err := Create(dir, small())
	must(t, err)
	p.shared.Abi = 7
	p.Close()
	_, err = Open(dir)
	var other *ABIError
	if !errors.As(err, &other) || *other != (ABIError{Found: 7, Wanted: abi}) {
		t.Errorf("maps of ABI 7: %v", err)
	}
}

// TestOpenRefusesMapsOfOthers has a map pinned in the place of one of ours.
func TestOpenRefusesMapsOfOthers(t *testing.T) {
	dir := pinDir(t)
	p, err := Create(dir, small())
	must(t, err)
	p.Close()
	path := PinPath(dir, bpf.LBMapLbRings)
	must(t, os.Remove(path))
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 131080, MaxEntries: 2, Flags: unix.BPF_F_MMAPABLE})
	must(t, err)
	defer m.Close()
	must(t, m.Pin(path))
	if _, err := Open(dir); !errors.Is(err, ebpf.ErrMapIncompatible) {
		t.Errorf("a map of 2 rings where there are 8: %v", err)
	}
}

// TestRingsRest has a ring that was in force rest before it is written: a packet
// may still read it. One that stays in force, or never was, waits for nothing.
func TestRingsRest(t *testing.T) {
	p := open(t, small())
	p.fill(t, 1, 1)
	must(t, p.SetService(3, Service{Ring: 1, Previous: NoRing}))
	p.fill(t, 2, 2)
	left := time.Now()
	must(t, p.SetService(3, Service{Ring: 2, Previous: NoRing}))
	if len(p.rested.rings) != 1 {
		t.Errorf("these rest: %v; want ring 1 alone", p.rested.rings)
	}
	p.fill(t, 1, 1)
	if took := time.Since(left); took < grace {
		t.Errorf("ring 1 was written %s after it left", took)
	}
	must(t, p.SetService(3, Service{Ring: 2, Previous: 1}))
	if len(p.rested.rings) != 0 {
		t.Errorf("these rest: %v; want none", p.rested.rings)
	}
}
