package plane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// TestLookupIsWhatTheProgramDoes sends 10,000 random packets, to services that
// are quiet and to some in a window: each goes where Lookup said.
func TestLookupIsWhatTheProgramDoes(t *testing.T) { lookups(t, 10_000) }

// TestGuestLookup is the same, for emulated processors.
func TestGuestLookup(t *testing.T) { lookups(t, 300) }

func lookups(t *testing.T, n int) {
	p := open(t, Capacity{RingSize: 4093, Addresses: 512, Services: 64, Backends: 64, Rings: 16, Flows: 1 << 16})
	program := load(t, p)
	r := rand.New(rand.NewPCG(1, 2))
	crowd(t, p, r)
	seen := map[Why]int{}
	var k Packet
	for i := range n {
		if k.Begins = false; i%3 != 1 { // else the next packet of the same flow
			k = randomPacket(r)
		}
		want, err := p.Lookup(k)
		must(t, err)
		seen[want.Why]++
		verdict, backend := where(t, p, program, k)
		if verdict != verdictOf(want.Why) || backend != want.Backend && want.Why != Unreachable {
			t.Errorf("%+v: %s to backend %d; Lookup says %+v, by %s", k, verdict, backend, want, want.Why)
		}
	}
	for w := NotVIP; w <= Unreachable; w++ {
		if seen[w] == 0 {
			t.Errorf("no packet was %s", w)
		}
	}
}

func verdictOf(w Why) string {
	switch w {
	case NotVIP, NotClaimed:
		return "PASS"
	case NotTold, HasNone, Unreachable:
		return "DROP"
	}
	return "TX"
}

// where sends a packet, and tells by its destination who got it.
func where(t *testing.T, p *Plane, program *ebpf.Program, k Packet) (verdict string, backend uint16) {
	t.Helper()
	frame, err := encode(textOf(k))
	must(t, err)
	verdict, out := (&world{Plane: p}).send(t, program, frame)
	if verdict != "TX" {
		return verdict, Nobody
	}
	return verdict, uint16(out[4])<<8 | uint16(out[5])
}

// textOf is a frame that holds a packet.
func textOf(k Packet) []string {
	lines := []string{"eth router > lb", fmt.Sprintf("ip4 %s > %s", k.Src.Addr(), k.Dst.Addr())}
	if k.Dst.Addr().Is6() {
		lines[1] = fmt.Sprintf("ip6 %s > %s", k.Src.Addr(), k.Dst.Addr())
	}
	switch {
	case k.Fragment && k.Dst.Addr().Is4():
		lines[1] += fmt.Sprintf(" mf off 64 proto %d", k.Protocol)
		return append(lines, "data 24")
	case k.Fragment:
		return append(lines, fmt.Sprintf("ext fragment mf off 64 next %d", k.Protocol), "data 24")
	case k.Protocol == unix.IPPROTO_TCP && k.Begins:
		return append(lines, fmt.Sprintf("tcp %d > %d flags S", k.Src.Port(), k.Dst.Port()))
	case k.Protocol == unix.IPPROTO_TCP:
		return append(lines, fmt.Sprintf("tcp %d > %d flags A", k.Src.Port(), k.Dst.Port()))
	case k.Protocol == unix.IPPROTO_UDP:
		return append(lines, fmt.Sprintf("udp %d > %d", k.Src.Port(), k.Dst.Port()))
	case k.Dst.Addr().Is4():
		lines[1] += fmt.Sprintf(" proto %d", k.Protocol)
	default:
		lines[1] += fmt.Sprintf(" next %d", k.Protocol)
	}
	return append(lines, "data 16")
}

// crowd fills a plane: some VIPs of both families, and services in all states.
func crowd(t *testing.T, p *Plane, r *rand.Rand) {
	t.Helper()
	must(t, p.SetSettings(Settings{UDPIdle: monotonic() / 2}))
	for i := range 40 {
		must(t, p.SetBackend(uint16(i), Backend{
			Valid: i != 7, Encap: L2DSR, Address: addr("10.0.0.1"), Next: Next{Ifindex: 1, MTU: 1500, DstMAC: [6]byte{2, 0, 0, 0, 0, byte(i)}},
		}))
	}
	for ring := range 8 {
		slots := make([]uint16, p.Capacity().RingSize)
		for i := range slots {
			slots[i] = uint16(r.IntN(40))
			if r.IntN(50) == 0 {
				slots[i] = Nobody
			}
			if ring%2 == 1 && r.IntN(3) == 0 {
				slots[i] |= Moved
			}
		}
		must(t, p.WriteRing(uint16(ring), slots, nil))
	}
	now := monotonic()
	for i, s := range []Service{
		{Ring: 0, Previous: NoRing}, {Ring: 2, Previous: NoRing, Sticky: true}, {Ring: 1, Previous: 4, Opened: now},
		{Ring: 3, Previous: 6, Opened: 0}, {Ring: 5, Previous: 0, Opened: now, Sticky: true}, {Ring: 7, Previous: NoRing, Opened: now},
		{Ring: NoRing, Previous: NoRing},
	} {
		must(t, p.SetService(uint16(i), s))
	}
	var claims []Claim
	for n := range 48 {
		for _, to := range []netip.Addr{vipOf(n, false), vipOf(n, true)} {
			claims = append(claims, claimsOf(n, to)...)
		}
	}
	must(t, p.SetClaims(claims))
}

// claimsOf are those of the nth VIP: of ports, of protocols, of all, or of
// several of them.
func claimsOf(n int, to netip.Addr) (claims []Claim) {
	service := func(i int) uint16 { return uint16((n + i) % 7) }
	if n%2 == 0 {
		claims = append(claims, Claim{to, unix.IPPROTO_TCP, 80, service(0)}, Claim{to, unix.IPPROTO_UDP, 53, service(0)})
	}
	if n%3 == 0 {
		claims = append(claims, Claim{to, unix.IPPROTO_TCP, 443, service(1)})
	}
	if n%4 == 1 {
		claims = append(claims, Claim{to, unix.IPPROTO_UDP, 0, service(2)}, Claim{to, unix.IPPROTO_ESP, 0, service(3)})
	}
	if n%5 == 1 {
		claims = append(claims, Claim{to, 0, 0, service(4)})
	}
	return claims
}

func vipOf(n int, six bool) netip.Addr {
	if six {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(n >> 8), 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{192, 0, byte(2 + n>>8), byte(n)})
}

// randomPacket is one of few clients, so that flows come again.
func randomPacket(r *rand.Rand) Packet {
	six := r.IntN(2) == 0
	src := netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + r.IntN(200))})
	if six {
		src = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, 15: byte(1 + r.IntN(200))})
	}
	k := Packet{
		Protocol: []uint8{unix.IPPROTO_TCP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_UDP, unix.IPPROTO_ESP, unix.IPPROTO_GRE}[r.IntN(6)],
		Src:      netip.AddrPortFrom(src, uint16(1000+r.IntN(20))),
		Dst:      netip.AddrPortFrom(vipOf(r.IntN(56), six), []uint16{80, 443, 53, 9}[r.IntN(4)]),
		Fragment: r.IntN(10) == 0,
	}
	k.Begins = k.Protocol == unix.IPPROTO_TCP && !k.Fragment && r.IntN(3) == 0
	return k
}
