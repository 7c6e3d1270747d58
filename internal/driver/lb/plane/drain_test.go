package plane

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// manyBackends are in the ring, of which some leave.
const manyBackends = 100

// drained is a plane under change: one service, a ring, what it was before the
// window opened, and a program that sends flows.
type drained struct {
	*Plane
	t        *testing.T
	program  *ebpf.Program
	flows    int
	ring     []uint16 // with moved bits
	previous []uint16 // nil: no window is open
	next     uint16   // buffer to write; that of before is two behind
}

// TestDrain establishes a million connections over a hundred backends, and
// changes the backends several times. Those that move are those that must.
func TestDrain(t *testing.T) {
	flows := 1 << 20
	if testing.Short() {
		flows = 1 << 16
	}
	drainMany(t, flows, MaxRingSize)
}

// TestGuestDrain is the same, for emulated processors.
func TestGuestDrain(t *testing.T) { drainMany(t, 1<<13, 4093) }

func drainMany(t *testing.T, flows int, ringSize uint32) {
	p := open(t, Capacity{RingSize: ringSize, Addresses: 16, Services: 16, Backends: 256, Rings: 4, Flows: uint32(flows)})
	d := &drained{Plane: p, t: t, program: load(t, p), flows: flows}
	d.start()
	alive := weightsOf(manyBackends)
	d.change(alive, nil)
	was := d.send("ACK", 0)

	alive[17] = 0 // is drained
	d.change(alive, nil)
	d.expect("one of them drains", was, d.send("ACK", 0), nobody)
	fresh := d.send("SYN", flows)
	d.never("a new connection", fresh, 17)

	alive[18] = 0 // another, while the window is open
	d.change(alive, nil)
	d.expect("a second one drains", was, d.send("ACK", 0), nobody)
	d.expect("a second one drains, connections of before", fresh, d.send("ACK", flows), nobody)
	d.never("a new connection", d.send("SYN", 2*flows), 17, 18)

	alive[30] = 0 // is down, and its connections with it
	d.change(alive, map[uint16]bool{30: true})
	down := func(_ int, owner uint16) bool { return owner == 30 }
	now := d.send("ACK", 0)
	d.expect("a third one is down", was, now, down)
	d.never("any connection", now, 30)
	d.expect("a third one is down, connections of the window", fresh, d.send("ACK", flows), down)

	alive[17], alive[100] = 100, 100 // comes back, and a new one comes
	d.change(alive, map[uint16]bool{30: true})
	d.expect("two come", now, d.send("ACK", 0), nobody)

	d.close() // the deadline has passed
	last := d.send("ACK", 0)
	d.never("any connection", last, 18, 30)
	d.expect("the window closes", now, last, func(i int, owner uint16) bool { return d.byRing(i) != owner })
}

// nobody has to move.
func nobody(int, uint16) bool { return false }

// byRing is whom the ring alone gives a connection.
func (d *drained) byRing(n int) uint16 {
	f := keyOf(FlowKey{
		Protocol: unix.IPPROTO_TCP, Dst: netip.MustParseAddrPort("192.0.2.1:80"),
		Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 24), byte(n >> 16), byte(n >> 8)}), 1024+uint16(n&0xff)),
	})
	return d.ring[slotOf(hashFlow(f, false), d.capacity.RingSize)] &^ Moved
}

// weightsOf is a weight for each of n backends, and none for those behind.
func weightsOf(n int) []uint8 {
	w := make([]uint8, n+1)
	for i := range n {
		w[i] = 100
	}
	return w
}

func (d *drained) start() {
	must(d.t, d.SetSettings(Settings{UDPIdle: time.Minute}))
	must(d.t, d.SetClaims([]Claim{{Address: addr("192.0.2.1"), Service: 3}}))
	for i := range manyBackends + 1 {
		must(d.t, d.SetBackend(uint16(i), Backend{
			Valid: true, Encap: L2DSR, Address: addr("10.0.0.1"),
			Next: Next{Ifindex: 1, MTU: 1500, DstMAC: [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)}},
		}))
	}
}

// change puts a ring in force as a control plane has to: slots that move get
// their bit, but those of backends that are down; those that moved keep it. What
// was before the window is kept, but that a slot of a backend that is down was
// of whom its flows go to.
func (d *drained) change(weights []uint8, down map[uint16]bool) {
	ring := rendezvous(int(d.capacity.RingSize), weights)
	if d.ring == nil {
		d.ring = ring
		d.put(Service{Previous: NoRing})
		return
	}
	if d.previous == nil {
		d.previous = d.ring
	}
	d.previous = slices.Clone(d.previous)
	for i := range ring {
		if down[d.previous[i]] { // whose flows move now, and stay where they come to
			d.previous[i] = ring[i]
		}
		if ring[i] != d.previous[i] || d.ring[i]&Moved != 0 && !down[d.ring[i]&^Moved] {
			ring[i] |= Moved
		}
	}
	d.ring = ring
	must(d.t, d.WriteRing(d.next+2, d.previous, nil))
	d.put(Service{Previous: d.next + 2})
	for b := range down {
		if _, err := d.FlushBackend(context.Background(), b); err != nil {
			d.t.Fatal(err)
		}
	}
}

// close ends the window.
func (d *drained) close() {
	for i := range d.ring {
		d.ring[i] &^= Moved
	}
	d.previous = nil
	d.put(Service{Previous: NoRing})
}

func (d *drained) put(s Service) {
	must(d.t, d.WriteRing(d.next, d.ring, nil))
	s.Ring, s.Opened = d.next, monotonic()
	must(d.t, d.SetService(3, s))
	d.next = 1 - d.next
}

// rendezvous gives each slot to the backend that a hash of both likes best, so
// that a slot moves only if its backend leaves or a better one comes.
func rendezvous(size int, weights []uint8) []uint16 {
	ring := make([]uint16, size)
	for slot := range ring {
		best := uint64(0)
		for b, w := range weights {
			x := (uint64(slot)<<16 | uint64(b)) * k1
			x = (x ^ x>>32) * k2
			if x ^= x >> 29; w != 0 && x >= best {
				best, ring[slot] = x, uint16(b)
			}
		}
	}
	return ring
}

//go:embed testdata/flows.o
var flowsObject []byte

// send sends a packet of each connection, from a first one on, and says which
// backend it went to.
func (d *drained) send(flags string, first int) []uint16 {
	d.t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(flowsObject))
	must(d.t, err)
	frame, err := encode([]string{"eth router > lb", "ip4 10.0.0.0 > 192.0.2.1", "tcp 1024 > 80 flags " + flags[:1], "data 10"})
	must(d.t, err)
	var words [8]uint64
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(frame[8*i:])
	}
	for name, v := range map[string]any{"frame": words, "first": uint32(first), "mask": uint32(d.flows - 1)} {
		must(d.t, spec.Variables[name].Set(v))
	}
	coll, err := ebpf.NewCollection(spec)
	must(d.t, err)
	defer coll.Close()
	must(d.t, coll.Maps["subject"].Put(uint32(0), d.program))
	code, err := coll.Programs["each"].Run(&ebpf.RunOptions{Data: frame, Repeat: uint32(d.flows + 1)})
	must(d.t, err)
	if code != 3 {
		d.t.Fatalf("the last packet returned %d, and not TX", code)
	}
	owners := make([]uint16, 1<<20)
	must(d.t, coll.Variables["owners"].Get(owners))
	from := first & (1<<20 - 1)
	return owners[from : from+d.flows]
}

// expect counts connections that moved, and those that had to.
func (d *drained) expect(what string, was, is []uint16, must func(i int, owner uint16) bool) {
	d.t.Helper()
	moved, needless, due := 0, 0, 0
	for i := range was {
		if must(i, was[i]) {
			due++
		}
		if was[i] != is[i] {
			moved++
			if !must(i, was[i]) {
				needless++
			}
		}
	}
	d.t.Logf("%s: %d of %d connections moved, %d had to", what, moved, len(was), due)
	if moved > due || needless > 0 {
		d.t.Errorf("%s: %d of %d connections moved, %d of them for nothing; %d had to", what, moved, len(was), needless, due)
	}
}

// never checks that nothing went to some backends.
func (d *drained) never(what string, owners []uint16, backends ...uint16) {
	d.t.Helper()
	for i, o := range owners {
		for _, b := range backends {
			if o == b {
				d.t.Fatalf("%s: connection %d went to backend %d", what, i, b)
			}
		}
	}
}
