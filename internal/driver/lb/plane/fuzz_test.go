package plane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// FuzzTable lays out claims made of any bytes: what is claimed is found, by the
// way that the program goes, and what is not is not.
func FuzzTable(f *testing.F) {
	f.Add([]byte("one address, one port"))
	f.Add(bytes.Repeat([]byte{0xff, 0, 7}, 200))
	f.Add(binary.BigEndian.AppendUint64(make([]byte, 400), 1<<40))
	p := &Plane{shared: new(bpf.LBPlane), capacity: small().whole()}
	p.capacity.Services = MaxServices
	f.Fuzz(func(t *testing.T, raw []byte) {
		p.rested.table = time.Time{} // no packet comes
		claims := claimsFrom(raw)
		if len(byAddress(claims)) > int(p.capacity.Addresses) {
			return
		}
		must(t, p.SetClaims(claims))
		got, err := p.Claims()
		must(t, err)
		if !slices.Equal(got, claims) {
			t.Fatalf("claims %v, want %v", got, claims)
		}
		for _, c := range claims {
			k := Packet{Protocol: c.Protocol, Dst: netip.AddrPortFrom(c.Address, c.Port)}
			if c.Protocol == 0 {
				k.Protocol = 99 // nobody claims it as such
			}
			if found, why := p.claimed(k); why != 0 || found != c.Service {
				t.Fatalf("%v: found %d (%v)", c, found, why)
			}
		}
		stranger := addr("203.0.113.200")
		if _, why := p.claimed(Packet{Protocol: 6, Dst: netip.AddrPortFrom(stranger, 80)}); why != NotVIP {
			t.Fatalf("a stranger is %v", why)
		}
	})
}

// claimsFrom makes claims of bytes, sorted, each of other packets.
func claimsFrom(raw []byte) (claims []Claim) {
	for ; len(raw) >= 8; raw = raw[8:] {
		c := Claim{Address: netip.AddrFrom4([4]byte{10, 0, raw[0], raw[1]}), Protocol: raw[2] % 99, Service: uint16(raw[5]) % 1000}
		if raw[7]&1 == 1 {
			c.Address = netip.AddrFrom16([16]byte{0x20, 1, 8: raw[0], 15: raw[1]})
		}
		if raw[6]&1 == 1 {
			c.Protocol = []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}[raw[2]&1]
			c.Port = uint16(raw[3])<<8 | uint16(raw[4])
		}
		claims = append(claims, c)
	}
	slices.SortFunc(claims, compareClaims)
	return slices.CompactFunc(claims, func(a, b Claim) bool {
		return a.Address == b.Address && a.Protocol == b.Protocol && a.Port == b.Port
	})
}

// FuzzFrame gives the program any bytes, as they are and behind the start of a
// good frame. It ends with a verdict that it may have; what it passes it did not
// touch, and what it sends on is one of the backends' or goes back.
func FuzzFrame(f *testing.F) {
	p := open(f, small())
	program := load(f, p)
	w := &world{Plane: p}
	w.reset(f)
	w.fillIn(f, []string{
		"source 10.200.0.0/16 2001:db8:200::/64", "udp-idle 30s",
		"backend 1 ipip 10.0.0.11 mtu 1200", "backend 2 ipip 2001:db8::12 via hop2 vlan 9", "backend 3 l2dsr 10.0.0.13 dev 7 mtu 100",
		"ring 0 1 2 3 1* 2* 3* -", "ring 1 3 2 1 -", "service 0 ring 0 previous 1 opened 1s reject", "service 1 ring 0 pass", "service 2 ring 1 reject sticky",
		"claim 192.0.2.1 any 0", "claim 192.0.2.2 tcp/80 1", "claim 192.0.2.2 udp/53 2", "claim 2001:db8:1::1 any 2", "claim 2001:db8:1::2 tcp/80 0",
	})
	for _, frame := range framesOf(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 3000 {
			return // the kernel's test run takes none such
		}
		verdict, out := w.send(t, program, frame)
		switch verdict {
		case "DROP":
		case "PASS":
			if !bytes.Equal(out, frame) {
				t.Fatalf("passed, and changed: %x to %x", frame, out)
			}
		case "TX", "REDIRECT":
			if !toStation(out[:6], frame[6:12]) {
				t.Fatalf("sent to nobody's station: %x", out)
			}
		default:
			t.Fatalf("verdict %s", verdict)
		}
		if !isVIPs(p, frame) && verdict != "PASS" {
			t.Fatalf("%s of a packet that is no VIP's: %x", verdict, frame)
		}
	})
}

// toStation tells a next hop, or who sent the frame.
func toStation(to, from []byte) bool {
	return bytes.Equal(to, mac("hop1")) || bytes.Equal(to, mac("hop2")) || bytes.Equal(to, from)
}

// isVIPs tells, by a way of its own, whether a frame is to a VIP.
func isVIPs(p *Plane, frame []byte) bool {
	at, proto := 14, binary.BigEndian.Uint16(frame[12:])
	for range 2 {
		if proto != 0x8100 && proto != 0x88a8 || len(frame) < at+4 {
			break
		}
		proto, at = binary.BigEndian.Uint16(frame[at+2:]), at+4
	}
	var to netip.Addr
	switch {
	case proto == 0x0800 && len(frame) >= at+20:
		to = netip.AddrFrom4([4]byte(frame[at+16:]))
	case proto == 0x86dd && len(frame) >= at+40:
		to = netip.AddrFrom16([16]byte(frame[at+24:]))
	}
	claims, err := p.Claims()
	return err == nil && slices.ContainsFunc(claims, func(c Claim) bool { return c.Address == to })
}

// framesOf are the frames of all cases of TestPackets, to begin with.
func framesOf(f *testing.F) (frames [][]byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/packets/*.txt")
	must(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(f, err)
		_, cases := parseCases(f, file, string(text))
		for _, c := range cases {
			frame, err := encode(c.in)
			must(f, err)
			frames = append(frames, frame)
		}
	}
	return frames
}
