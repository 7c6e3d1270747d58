package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

// trunks has backends behind tunnels of each kind, and no checks: an emulated
// processor is not to be asked for the time.
const trunks = `version: 1
chains:
  c1: {xdp-ingress: {mode: generic, programs: [{builtin: lb}]}}
lb:
  max-vips: 64
  max-backends: 64
  max-rings: 16
  max-flows: 10000
  source-address: {ipv4: 10.200.0.0/16, ipv6: "fd00:200::/64"}
  defaults: {encap: ipip, drain: 5m, slow-start: 0s}
backends:
  b1: {enabled: true, address: 10.0.1.2}
  b2: {address: "fd00:0:0:2::2"}
  b3: {addresses: [10.0.3.2, "fd00:0:0:3::2"]}
pools:
  web: {backends: {b1: 100, b2: 100, b3: 100}}
vips:
  www: {addresses: [192.0.2.80, "2001:db8:80::1"], ports: [tcp/80, tcp/7], pools: [web]}
`

// newTrunkWorld has the client behind a VLAN of c1, and the backends behind two
// VLANs of a bond, on a switch, with tunnel devices of the kernel's.
func newTrunkWorld(t *testing.T) *vipWorld {
	t.Helper()
	w := emptyVIPWorld(t, trunks)
	w.patience, w.brief = 2*time.Minute, 20*time.Second
	hub := testns.New(t)
	w.sysctl(w.ns, "net.ipv4.ip_forward", "1")
	w.sysctl(w.ns, "net.ipv6.conf.all.forwarding", "1")
	w.batch(w.ns, strings.NewReplacer("CLIENT", w.client.Name, "HUB", hub.Name).Replace(`
link add c1 type veth peer name c0 netns CLIENT
link set c1 up
link add link c1 name c1.30 type vlan id 30
link set c1.30 up
address add 198.18.0.1/24 dev c1.30
address add 2001:db8:18::1/64 dev c1.30 nodad
link add bond0 type bond mode active-backup miimon 50
link add s0 type veth peer name t0 netns HUB
link add s1 type veth peer name t1 netns HUB
link set s0 master bond0
link set s1 master bond0
link set bond0 up
link add link bond0 name bond0.10 type vlan id 10
link add link bond0 name bond0.20 type vlan id 20
link set bond0.10 up
link set bond0.20 up
`))
	w.batch(w.client, `
link set c0 up gso_max_segs 1
link add link c0 name c0.30 type vlan id 30
link set c0.30 up gso_max_segs 1
address add 198.18.0.2/24 dev c0.30
address add 2001:db8:18::2/64 dev c0.30 nodad
route add default via 198.18.0.1
route add default via 2001:db8:18::1
`)
	w.tagInFrames(w.client, "c0")
	w.batch(hub, "link add br0 type bridge\nlink set br0 up\nlink set t0 up master br0\nlink set t1 up master br0\n")
	for i, vlan := range []int{10, 20, 20} {
		w.tunnelled(newServer(t, i+1), hub, vlan)
	}
	w.push()
	return w
}

// tunnelled puts a backend on a VLAN of the switch.
func (w *vipWorld) tunnelled(b *server, hub *testns.NS, vlan int) {
	w.Helper()
	w.backends = append(w.backends, b)
	w.batch(hub, fmt.Sprintf("link add p%[1]d type veth peer name e0 netns %[2]s\nlink set p%[1]d up master br0\n", b.id, b.ns.Name))
	for _, of := range []string{"all", "default"} {
		w.sysctl(b.ns, "net.ipv4.conf."+of+".rp_filter", "0")
	}
	w.batch(b.ns, strings.NewReplacer("VLAN", fmt.Sprint(vlan), "ID", fmt.Sprint(b.id), "VIP4", vip4, "VIP6", vip6).Replace(`
link set e0 up
link add link e0 name eVLAN type vlan id VLAN
link set eVLAN up
address add 10.0.ID.2/24 dev eVLAN
address add fd00:0:0:ID::2/64 dev eVLAN nodad
address add VIP4/32 dev lo
address add VIP6/128 dev lo nodad
link add tun4 type ipip local 10.0.ID.2
link set tun4 up
link add tun6 type ip6tnl mode any local fd00:0:0:ID::2
link set tun6 up
`))
	w.batch(w.ns, fmt.Sprintf("address add 10.0.%[1]d.1/24 dev bond0.%[2]d\naddress add fd00:0:0:%[1]d::1/64 dev bond0.%[2]d nodad\n", b.id, vlan))
	w.batch(b.ns, fmt.Sprintf("route add default via 10.0.%[1]d.1\nroute add default via fd00:0:0:%[1]d::1\n", b.id))
	b.serve()
}

// tagInFrames has a link send tags in frames, as a wire does, and not beside
// them, where no program of XDP sees them.
func (w *vipWorld) tagInFrames(ns *testns.NS, link string) {
	w.Helper()
	const setFlags = 0x26 // ETHTOOL_SFLAGS: with none set, no offload of VLANs
	value := struct{ command, flags uint32 }{setFlags, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], link)
	var errno unix.Errno
	ns.Do(func() {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			w.Fatal(err)
		}
		defer unix.Close(s)
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	})
	if errno != 0 {
		w.Fatalf("switch off VLAN offloads of %s: %v", link, errno)
	}
}

// TestGuestVIPs balances tagged frames of a trunk to backends that are behind
// VLANs of a bond and take packets out of the kernel's own tunnels: IPIP, IPv4
// in IPv6 and IPv6 in IPv6. No connection breaks while one of them drains, the
// bond turns to its other link, and the daemon is killed.
func TestGuestVIPs(t *testing.T) {
	testns.NeedGuest(t)
	w := newTrunkWorld(t)
	w.start(w.program)
	w.eventually("all backends in the rings", func() bool {
		return w.weights("www/ipv4") == [3]int{100, 100, 100} && w.weights("www/ipv6") == [3]int{0, 100, 100}
	})
	l, a := w.talk(20, vip4, "["+vip6+"]"), w.ask(vip4, "["+vip6+"]")
	all := []string{"b1", "b2", "b3"}
	w.more(a, 30, time.Now(), all...)

	w.step("the bond turns to its other link")
	w.ns.IP("link", "set", "s0", "down")
	time.Sleep(200 * time.Millisecond) // four times what it needs to see
	w.more(a, 20, time.Now(), all...)

	w.step("b1 drains, and the daemon is killed")
	w.push("b1: {enabled: true,", "b1: {enabled: false,")
	w.eventually("no new flows to b1", func() bool { return w.weights("www/ipv4") == [3]int{0, 100, 100} })
	w.inSync() // what is not confirmed the next start would undo
	w.end(unix.SIGKILL)
	before, noted := w.memory(), time.Now()
	w.start(w.program)
	if after := w.memory(); after != before {
		t.Errorf("the maps sum up to\n%s\nand to\n%s\nbefore the daemon was killed", after, before)
	}
	w.more(a, 20, noted, "b2", "b3")
	asked := l.asked()
	w.eventually("two more questions on each connection", func() bool { return l.asked() >= asked+2*20 })
	a.stop()
	l.stop()
	w.unbroken(l, "at the end", all...)
}
