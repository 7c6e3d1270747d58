package plane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// TestClaimsThatCannotBe names each fault, and leaves the table as it is.
func TestClaimsThatCannotBe(t *testing.T) {
	p := &Plane{shared: new(bpf.LBPlane), capacity: Capacity{Addresses: 2, Claims: 2, Services: 4}}
	good := Claim{addr("192.0.2.1"), unix.IPPROTO_TCP, 80, 1}
	must(t, p.SetClaims([]Claim{good}))
	for _, tt := range []struct {
		says   string
		claims []Claim
	}{
		{"not an address", []Claim{{Service: 1}}},
		{"not an address", []Claim{{Address: addr("::ffff:192.0.2.1")}}},
		{"not an address", []Claim{{Address: addr("fe80::1%eth0")}}},
		{"only TCP and UDP have ports", []Claim{{addr("192.0.2.1"), 0, 80, 1}}},
		{"only TCP and UDP have ports", []Claim{{addr("192.0.2.1"), unix.IPPROTO_SCTP, 80, 1}}},
		{"room for 4 services", []Claim{{addr("192.0.2.1"), 0, 0, 4}}},
		{"claimed twice", []Claim{good, {good.Address, good.Protocol, good.Port, 2}}},
		{"3 addresses of VIPs, and room for 2", []Claim{{Address: addr("192.0.2.1")}, {Address: addr("192.0.2.2")}, {Address: addr("192.0.2.3")}}},
		{"3 claims of ports and protocols, and room for 2", []Claim{good, {good.Address, 6, 81, 1}, {good.Address, 17, 80, 1}}},
	} {
		if err := p.SetClaims(tt.claims); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v: %v, want %q", tt.claims, err, tt.says)
		}
	}
	got, err := p.Claims()
	must(t, err)
	same(t, "claims", got, []Claim{good})
}

// TestFullTable has as many claims as can be, in rows as people number them.
func TestFullTable(t *testing.T) {
	p := &Plane{shared: new(bpf.LBPlane), capacity: Capacity{Addresses: MaxAddresses, Claims: MaxClaims, Services: MaxServices}}
	var claims []Claim
	for i := range MaxAddresses {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if i%2 == 1 {
			a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)})
		}
		for j := range MaxClaims / MaxAddresses {
			claims = append(claims, Claim{a, unix.IPPROTO_TCP, uint16(80 + j), uint16(i)})
		}
	}
	start := time.Now()
	must(t, p.SetClaims(claims))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, c := range claims {
		if got, why := p.claimed(Packet{Protocol: c.Protocol, Dst: netip.AddrPortFrom(c.Address, c.Port)}); why != 0 || got != c.Service {
			t.Fatalf("%v: service %d, %v", c, got, why)
		}
	}
}

// TestTheOtherTableRests has a table that was in force rest before it is
// written: a packet may still read it.
func TestTheOtherTableRests(t *testing.T) {
	p := &Plane{shared: new(bpf.LBPlane), capacity: small().whole()}
	one := []Claim{{Address: addr("192.0.2.1"), Service: 1}}
	must(t, p.SetClaims(one))
	before := p.live()
	start := time.Now()
	must(t, p.SetClaims(nil))
	if took := time.Since(start); took < grace/2 {
		t.Errorf("the second change took %s; the first had been in force for no longer", took)
	}
	if p.live()&1 == before&1 {
		t.Error("both changes are in the same table")
	}
}
