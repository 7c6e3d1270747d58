package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/plane"
)

//go:embed testdata/balancer.o
var balancerObject []byte

const frameSize = 128

// backendCounts are those of the plane's services, by index; two more have 100
// with slots that moved.
func backendCounts() []int { return []int{1, 10, 100} }

const (
	movedService    = 3
	allMovedService = 4
)

// balancing is a plane with the program, and the wrappers around it.
type balancing struct {
	plane   *plane.Plane
	program *ebpf.Collection
	held    []*ebpf.Collection
	dir     string
}

func newBalancing() (*balancing, error) {
	b := &balancing{dir: fmt.Sprintf("%s/reconciler-bench-%d", bpffs, time.Now().UnixNano())}
	p, err := plane.Create(b.dir, plane.Capacity{RingSize: 65537, Addresses: 4096, Services: 4096, Backends: 4096, Rings: 16, Flows: 1 << 17})
	if err != nil {
		return nil, err
	}
	b.plane = p
	if err := b.fill(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *balancing) close() error {
	for _, c := range b.held {
		c.Close()
	}
	if b.program != nil {
		b.program.Close()
	}
	return errors.Join(b.plane.Close(), plane.Remove(b.dir))
}

// load gives the program to the kernel as a chain does: with the pinned maps.
func (b *balancing) load() error {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(plane.Object()))
	if err != nil {
		return err
	}
	maps := make(map[string]*ebpf.Map)
	for name, m := range spec.Maps {
		held := b.plane.Map(name)
		maps[name] = held
		m.MaxEntries, m.ValueSize, m.Value = held.MaxEntries(), held.ValueSize(), nil
	}
	b.program, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
	return err
}

// vip4, vip46 and vip6 are the addresses of a service: of IPv4 with backends of
// IPv4 and of IPv6, and of IPv6.
func vip4(service int) netip.Addr  { return netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + service)}) }
func vip46(service int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + service)}) }
func vip6(service int) netip.Addr  { return nth6("2001:db8:1::", 1+service) }

// nth6 is the address that differs from another in its last two bytes.
func nth6(first string, n int) netip.Addr {
	a := netip.MustParseAddr(first).As16()
	binary.BigEndian.PutUint16(a[14:], uint16(n))
	return netip.AddrFrom16(a)
}

// overIPv6 is what the services of backends of IPv6 are numbered from.
const overIPv6 = 200

// fill makes 200 VIPs of each kind, of which five are measured.
func (b *balancing) fill() error {
	err := b.plane.SetSettings(plane.Settings{Source4: netip.MustParsePrefix("10.200.0.0/16"), Source6: netip.MustParsePrefix("2001:db8:200::/64"), UDPIdle: 30 * time.Second})
	var claims []plane.Claim
	for i := range 200 {
		for _, c := range []plane.Claim{{Protocol: unix.IPPROTO_TCP, Port: 80}, {Protocol: unix.IPPROTO_UDP, Port: 443}} {
			for to, service := range map[netip.Addr]int{vip4(i): i, vip46(i): overIPv6 + i, vip6(i): overIPv6 + i} {
				c.Address, c.Service = to, uint16(service)
				claims = append(claims, c)
			}
		}
	}
	err = errors.Join(err, b.plane.SetClaims(claims))
	for i := range 100 {
		to := plane.Backend{
			Valid: true, Encap: plane.Tunnel, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}),
			Next: plane.Next{Ifindex: 1, SrcMAC: [6]byte{2, 1}, DstMAC: [6]byte{2, 2, byte(i)}, MTU: 1500},
		}
		err = errors.Join(err, b.plane.SetBackend(uint16(i), to))
		to.Address = nth6("2001:db8::", 1+i)
		err = errors.Join(err, b.plane.SetBackend(uint16(100+i), to))
	}
	for family, first := range []int{0, overIPv6} {
		for service, backends := range append(backendCounts(), 100, 100) {
			err = errors.Join(err, b.ring(first+service, uint16(6*family+service), 100*family, backends))
		}
	}
	return err
}

// ring gives a service a ring of its own, from some backend on. Where slots
// moved, they were of the next one.
func (b *balancing) ring(service int, ring uint16, first, backends int) error {
	kind := service % overIPv6
	slots := make([]uint16, b.plane.Capacity().RingSize)
	former := make([]uint16, len(slots))
	for i := range slots {
		owner := (uint32(i) * 0x9e3779b1 >> 8) % uint32(backends)
		slots[i], former[i] = uint16(first)+uint16(owner), uint16(first)+uint16((owner+1)%uint32(backends))
		if kind == allMovedService || kind == movedService && i%100 == 0 {
			slots[i] |= plane.Moved
		}
	}
	s := plane.Service{Ring: ring, Previous: plane.NoRing}
	if kind >= movedService {
		s.Previous = ring/6*6 + 5
		if err := b.plane.WriteRing(s.Previous, former, nil); err != nil {
			return err
		}
	}
	return errors.Join(b.plane.WriteRing(ring, slots, nil), b.plane.SetService(uint16(service), s))
}

// run is a program that measures a case: the wrapper, with what it leads to.
func (b *balancing) run(c balanced) (*ebpf.Program, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(balancerObject))
	if err != nil {
		return nil, err
	}
	f := frameOf(c)
	for name, v := range map[string]any{
		"frame": f.words, "address_word": f.address, "address_shift": f.addressShift, "port_word": f.port, "port_shift": f.portShift, "mask": uint32(c.flows - 1),
		"twice": c.name == wrapperResize, "alone": c.program == "nothing",
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := bareTunnel(spec); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	b.held = append(b.held, coll)
	to := b.program.Programs[plane.Program]
	if c.program != "" {
		to = coll.Programs[c.program]
	}
	return coll.Programs["fresh"], coll.Maps["subject"].Put(uint32(0), to)
}

// bareTunnel is where the floors send to.
func bareTunnel(spec *ebpf.CollectionSpec) error {
	if err := spec.Variables["ether"].Set([2]uint64{0x0102000000020202, 0x0001}); err != nil {
		return err
	}
	if err := spec.Variables["sum"].Set(uint32(0x1234)); err != nil {
		return err
	}
	return spec.Variables["outer"].Set([10]uint32{0x60, 0x40040000, 0x0440, 0x0100c80a, 0x0100000a, 7, 8, 9, 10, 11})
}

// fresh is a frame as the wrapper writes it: in words, from the seventh byte on.
type fresh struct {
	words         [12]uint64
	address, port uint32 // in which word they are

	addressShift, portShift uint32 // in bits
}

// frameOf is the frame of a case.
func frameOf(c balanced) fresh {
	const first = 6
	b := make([]byte, frameSize)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
	at, address, port := 12, first, first
	if c.packet == "tagged4" {
		binary.BigEndian.PutUint32(b[at:], 0x81000007)
		at += 4
	}
	switch c.packet {
	case "arp":
		binary.BigEndian.PutUint16(b[at:], unix.ETH_P_ARP)
	case "tcp6", "other6":
		binary.BigEndian.PutUint16(b[at:], unix.ETH_P_IPV6)
		ip6(b[at+2:], c)
		address, port = at+2+20, at+2+40
	default:
		binary.BigEndian.PutUint16(b[at:], unix.ETH_P_IP)
		ip4(b[at+2:], c)
		address, port = at+2+12, at+2+20
	}
	if c.flows > 1 {
		copy(b[port:], []byte{0, 0}) // is drawn
	}
	var f fresh
	for i := range f.words {
		f.words[i] = binary.LittleEndian.Uint64(b[first+8*i:])
	}
	f.address, f.addressShift = uint32(address-first)/8, uint32(address-first)%8*8
	f.port, f.portShift = uint32(port-first)/8, uint32(port-first)%8*8
	return f
}

// ip4 and ip6 write a packet.
func ip4(b []byte, c balanced) {
	to := map[string]netip.Addr{"tcp46": vip46(c.service), "other4": netip.MustParseAddr("198.51.100.77")}[c.packet]
	if !to.IsValid() {
		to = vip4(c.service)
	}
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_TCP
	if c.packet == "udp4" {
		b[9] = unix.IPPROTO_UDP
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[12] = 10
	copy(b[16:], to.AsSlice())
	ports(b[20:], c)
}

func ip6(b []byte, c balanced) {
	to := vip6(c.service)
	if c.packet == "other6" {
		to = netip.MustParseAddr("2001:db8:77::1")
	}
	b[0], b[6], b[7] = 0x60, unix.IPPROTO_TCP, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	copy(b[8:], netip.MustParseAddr("2001:db8:c::").AsSlice())
	copy(b[24:], to.AsSlice())
	ports(b[40:], c)
}

func ports(b []byte, c balanced) {
	port := uint16(80)
	if c.packet == "udp4" {
		port = 443
	}
	binary.BigEndian.PutUint16(b, 40000)
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13] = 5<<4, 0x10 // ACK
	if c.packet == "syn4" {
		b[13] = 2
	}
}
