package chain

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// flood sends frames through the pair as fast as it can, in the direction of a
// hook, until it is stopped.
type flood struct {
	stop chan struct{}
	done chan error
	sent atomic.Uint64
	rate int // frames a second; 0 for as many as it can
}

// startFlood floods towards p0: out of p1 for ingress, out of p0 for egress.
func (b *bench) startFlood(hook resource.Hook) *flood {
	b.t.Helper()
	out := "p1"
	if hook == resource.TCEgress {
		out = "p0"
	}
	f := &flood{stop: make(chan struct{}), done: make(chan error, 1)}
	if inGuest() {
		f.rate = guestFlood
	}
	go func() { f.done <- f.run(b.Path(), out) }()
	for start := time.Now(); f.sent.Load() < 1000; time.Sleep(time.Millisecond) {
		select {
		case err := <-f.done:
			b.t.Fatalf("flood: %v", err)
		default:
		}
		if time.Since(start) > 10*time.Second {
			b.t.Fatal("the flood does not begin")
		}
	}
	return f
}

// end stops it and lets what is on its way arrive.
func (f *flood) end(t *testing.T) uint64 {
	t.Helper()
	close(f.stop)
	if err := <-f.done; err != nil {
		t.Fatalf("flood: %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	return f.sent.Load()
}

const (
	floodBatch  = 64
	floodAtMost = 200_000_000 // frames: a bound, never reached
)

func (f *flood) run(ns, out string) error {
	runtime.LockOSThread() // never given back: it is in another namespace
	file, err := os.Open(ns)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	link, err := net.InterfaceByName(out)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
		return err
	}
	// The queueing discipline is not what is tested.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, boolInt(out == "p1"))
	return f.send(fd)
}

func boolInt(v bool) int {
	if v {
		return 1
	}
	return 0
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

func (f *flood) send(fd int) error {
	frame := frameUDP()
	iov := unix.Iovec{Base: &frame[0], Len: uint64(len(frame))}
	msgs := make([]mmsghdr, floodBatch)
	for i := range msgs {
		msgs[i].hdr.Iov, msgs[i].hdr.Iovlen = &iov, 1
	}
	for began := time.Now(); f.sent.Load() < floodAtMost; pace(began, f.sent.Load(), f.rate) {
		select {
		case <-f.stop:
			return nil
		default:
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), floodBatch, 0, 0, 0)
		switch errno {
		case 0:
			f.sent.Add(uint64(n))
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			runtime.Gosched()
		default:
			return fmt.Errorf("send: %w", errno)
		}
	}
	return nil
}

// frameUDP is a frame to nobody: 192.0.2.1 to 192.0.2.2, port 9.
func frameUDP() []byte {
	b := make([]byte, 60)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], 46)
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[20:], 9)
	binary.BigEndian.PutUint16(ip[22:], 9)
	binary.BigEndian.PutUint16(ip[24:], 26)
	return b
}

// seen sums the packets that an instance has counted.
func (b *bench) seen(p resource.Program) uint64 {
	b.t.Helper()
	m := resource.Map{Program: p.Name, Link: p.Link, Digest: b.digest(p), Name: "seen"}
	open, err := b.d.openMap(m)
	if err != nil {
		b.t.Fatal(err)
	}
	defer open.Close()
	return sum(b.t, open, 0)
}

func sum(t testing.TB, m *ebpf.Map, key uint32) uint64 {
	t.Helper()
	var perCPU []uint64
	if err := m.Lookup(key, &perCPU); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, v := range perCPU {
		n += v
	}
	return n
}

// digest is what an instance resolves to.
func (b *bench) digest(p resource.Program) string {
	b.t.Helper()
	o, err := b.d.object(p)
	if err != nil {
		b.t.Fatal(err)
	}
	if p.Functions, err = functions(o, p); err != nil {
		b.t.Fatal(err)
	}
	return o.digest(p)
}

// TestSwapsUnderFlood changes chains while packets come as fast as they can.
// Each packet must meet each program of a chain exactly once: a program that
// is in all of them has counted as many at the end as any other such, and of
// two programs that take turns one has.
func TestSwapsUnderFlood(t *testing.T) {
	for _, way := range []struct {
		name   string
		hook   resource.Hook
		change func(*Config)
	}{
		{"xdp", resource.XDPIngress, nil},
		{"tcx ingress", resource.TCIngress, nil},
		{"tcx egress", resource.TCEgress, nil},
		{"clsact ingress", resource.TCIngress, func(c *Config) { c.NoTCX = true }},
		{"clsact egress", resource.TCEgress, func(c *Config) { c.NoTCX = true }},
	} {
		t.Run(way.name, func(t *testing.T) {
			var changes []func(*Config)
			if way.change != nil {
				changes = append(changes, way.change)
			}
			b := newBench(t, changes...)
			for _, size := range []int{1, 3, 10, 16} {
				b.swaps(way.hook, size, swapsOf(t))
			}
		})
	}
}

// leastASwap is how many packets must come for each swap to be one under
// traffic: 5,000 a second, if a swap takes 40 ms.
const leastASwap = 200

// swapsOf is how many swaps are made of each size of chain; soak makes more.
func swapsOf(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RECONCILER_SWAPS"))
	if err != nil {
		return 50
	}
	return n
}

// swaps shuffles a chain, takes turns with one of its programs, puts another in
// and takes it out, and loads one in another version, whose counter goes on.
func (b *bench) swaps(hook resource.Hook, size, times int) {
	b.t.Helper()
	entry := "plain"
	if !hook.IsXDP() {
		entry = "traffic"
	}
	var always []resource.Program
	for i := range size {
		always = append(always, b.object(fmt.Sprintf("p%02d", i), "p0", verdictObject, entry, hook))
	}
	if !hook.IsXDP() {
		for i := range always {
			always[i].Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("-1")}}
		}
	}
	turns := []resource.Program{always[size-1], always[size-1]}
	turns[1].Name = "turn"
	always = always[:size-1]
	extra := turns[0]
	extra.Name = "extra"
	want := func(i int) *resource.Set {
		always := versions(always, i)
		chain := append(slices.Clone(always), turns[i%2])
		if i%3 == 1 && len(chain) < resource.MaxSlots {
			chain = append(chain, extra)
		}
		rand.Shuffle(len(chain), func(i, j int) { chain[i], chain[j] = chain[j], chain[i] })
		s := set(b.chain(hook, chain...))
		for _, p := range append(chain, turns...) { // both stay loaded, and keep their count
			s.Put(resource.Object{Resource: p})
		}
		return s
	}
	b.make(want(0))
	before := b.total(turns)
	counts := map[string]uint64{}
	for _, p := range always {
		counts[p.Name] = b.seen(p)
	}
	f := b.startFlood(hook)
	began := time.Now()
	for i := range times {
		b.make(want(i + 1))
	}
	took := time.Since(began)
	sent := f.end(b.t)
	total := b.total(turns) - before
	b.t.Logf("%d programs: %d swaps in %v, %d frames sent, %d seen, %.0f a second",
		size, times, took.Round(time.Millisecond), sent, total, float64(total)/took.Seconds())
	if total < leastASwap*uint64(times) {
		b.t.Errorf("only %d packets were seen", total)
	}
	for _, p := range versions(always, times) {
		if got := b.seen(p) - counts[p.Name]; got != total {
			b.t.Errorf("%d programs: %s has seen %d packets, those that take turns %d", size, p.Name, got, total)
		}
	}
	b.make(set())
}

// versions gives the first program another version at every second step: a map
// of it has another size, and the one that counts is taken over.
func versions(all []resource.Program, i int) []resource.Program {
	out := slices.Clone(all)
	if len(out) > 0 && i%4 > 1 {
		out[0].Version = "v2"
		out[0].Maps = []resource.MapSettings{{Name: "settings_of_the_program", MaxEntries: 65}}
	}
	return out
}

func (b *bench) total(all []resource.Program) uint64 {
	n := uint64(0)
	for _, p := range all {
		n += b.seen(p)
	}
	return n
}
