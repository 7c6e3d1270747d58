package health

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

// pair is two namespaces and a link between them: here has .1, there has .2 to
// .9 and one more address that it does not say is there.
type pair struct{ here, there *testns.NS }

func newPair(t *testing.T) pair {
	t.Helper()
	p := pair{testns.New(t), testns.New(t)}
	p.here.IP("link", "add", "w0", "type", "veth", "peer", "name", "w0", "netns", p.there.Name)
	for i, ns := range []*testns.NS{p.here, p.there} {
		host := string("12"[i])
		ns.IP("address", "add", "192.0.2."+host+"/24", "dev", "w0")
		ns.IP("address", "add", "2001:db8::"+host+"/64", "dev", "w0", "nodad")
		ns.IP("address", "add", "198.51.100."+host+"/32", "dev", "lo")
		ns.IP("address", "add", "2001:db8:1::"+host+"/128", "dev", "lo", "nodad")
		ns.IP("link", "set", "w0", "up")
	}
	p.there.IP("route", "add", "198.51.100.1/32", "via", "192.0.2.1")
	for _, ns := range []*testns.NS{p.here, p.there} {
		awaitCarrier(t, ns)
	}
	return p
}

// awaitCarrier waits until the kernel has seen that both ends are up: it looks at
// carriers once a second at most, and answers no neighbour before.
func awaitCarrier(t *testing.T, ns *testns.NS) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		link, addresses := ns.IP("link", "show", "w0"), ns.IP("-6", "address", "show", "dev", "w0", "tentative")
		if strings.Contains(link, "state UP") && !strings.Contains(addresses, "2001:db8::") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("w0 is not up:\n%s%s", link, addresses)
		}
	}
}

func TestICMP(t *testing.T) {
	p := newPair(t)
	for _, c := range []struct {
		name, to, source string
		code             Code
	}{
		{"IPv4", "192.0.2.2", "", OK},
		{"IPv6", "2001:db8::2", "", OK},
		{"IPv4 written as IPv6", "::ffff:192.0.2.2", "", OK},
		{"a source", "192.0.2.2", "198.51.100.1", OK},
		{"a source of the other family", "192.0.2.2", "2001:db8::1", OK},
		{"a source to which no reply comes", "2001:db8::2", "2001:db8:1::1", Timeout},
		{"a source that is not here", "192.0.2.2", "192.0.2.7", Local},
		{"nobody", "192.0.2.77", "", Timeout},
		{"no route from a source", "203.0.113.1", "198.51.100.1", Unreachable},
		{"a source that is not here, IPv6", "2001:db8::2", "2001:db8::7", Local},
		{"no route", "203.0.113.1", "", Unreachable},
		{"no route, IPv6", "2001:db8:ffff::1", "", Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := Check{Type: ICMP, Netns: p.here.Name, Timeout: 2 * time.Second}
			if c.code == Timeout {
				check.Timeout = 300 * time.Millisecond
			}
			if c.source != "" {
				check.Source = netip.MustParseAddr(c.source)
			}
			code, detail := ask(t, netip.MustParseAddr(c.to), check)
			if code != c.code {
				t.Errorf("%v %q, want %v", code, detail, c.code)
			}
		})
	}
	if code, detail := ask(t, loopback, Check{Type: ICMP, Netns: "no-such"}); code != Local {
		t.Errorf("in a namespace that is none: %v %q", code, detail)
	}
}

func TestICMPMark(t *testing.T) {
	p := newPair(t)
	p.here.IP("rule", "add", "fwmark", "0x17", "prohibit", "pref", "1")
	for mark, code := range map[uint32]Code{0x16: OK, 0x17: Unreachable} {
		got, detail := ask(t, netip.MustParseAddr("192.0.2.2"), Check{Type: ICMP, Netns: p.here.Name, Mark: mark})
		if got != code {
			t.Errorf("mark %#x: %v %q, want %v", mark, got, detail, code)
		}
	}
}

// rig is pingers whose readers the test waits for.
type rig struct {
	*pingers
	t       *testing.T
	readers sync.WaitGroup
}

func newRig(t *testing.T, lines ...line) *rig {
	r := &rig{t: t}
	r.pingers = newPingers(r.readers.Go)
	for _, l := range lines {
		r.join(l)
	}
	t.Cleanup(func() {
		for _, l := range lines {
			r.leave(l)
		}
		r.readers.Wait()
	})
	return r
}

func (r *rig) ask(to string, c Check) error {
	c = c.Defaults()
	return newProbe(netip.MustParseAddr(to), c, r.pingers)(r.t.Context(), time.Now().Add(c.Timeout))
}

// A thousand targets share one socket, and each gets its own reply.
func TestPingsShareASocket(t *testing.T) {
	p := newPair(t)
	check := Check{Type: ICMP, Netns: p.here.Name, Timeout: 5 * time.Second}
	to := netip.MustParseAddr("192.0.2.2")
	r := newRig(t, lineOf(to, check))
	before := sockets(t)
	if err := r.ask("192.0.2.2", check); err != nil { // the neighbour is known then
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if err := r.ask("192.0.2.2", check); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := sockets(t) - before; n != 1 {
		t.Errorf("%d sockets more, want 1", n)
	}
	for _, p := range r.open {
		if len(p.waiting) != 0 {
			t.Errorf("%d are still waited for", len(p.waiting))
		}
	}
}

// sockets counts those of this process.
func sockets(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// The last target of a line closes its socket.
func TestPingSocketsAreClosed(t *testing.T) {
	p := newPair(t)
	check := Check{Type: ICMP, Netns: p.here.Name}
	l := lineOf(loopback, check)
	before := sockets(t)
	r := newRig(t, l)
	r.join(l)
	if err := r.ask("192.0.2.2", check); err != nil {
		t.Fatal(err)
	}
	r.leave(l)
	if n := sockets(t) - before; n != 1 {
		t.Errorf("%d sockets more while one target is left", n)
	}
	r.leave(l)
	r.readers.Wait()
	if n := sockets(t) - before; n != 0 {
		t.Errorf("%d sockets more when none is left", n)
	}
	r.join(l)
}

// A namespace that is made anew under its name is another one.
func TestPingsFollowTheNameOfANamespace(t *testing.T) {
	first, second := testns.New(t), testns.New(t)
	second.IP("address", "add", "198.51.100.2/32", "dev", "lo")
	name := filepath.Join(t.TempDir(), "ns")
	point := func(ns *testns.NS) {
		os.Remove(name)
		if err := os.Symlink(ns.Path(), name); err != nil {
			t.Fatal(err)
		}
	}
	check := Check{Type: ICMP, Netns: name}
	r := newRig(t, lineOf(loopback, check))
	for range 2 {
		point(first)
		if code, detail := outcome(r.ask("198.51.100.2", check)); code != Unreachable {
			t.Errorf("in the first: %v %q", code, detail)
		}
		point(second)
		if err := r.ask("198.51.100.2", check); err != nil {
			t.Errorf("in the second: %v", err)
		}
	}
	os.Remove(name)
	if code, detail := outcome(r.ask("198.51.100.2", check)); code != Local {
		t.Errorf("in none: %v %q", code, detail)
	}
}

// A socket that is lost is replaced, and who waited on it did not fail.
func TestPingSocketLost(t *testing.T) {
	p := newPair(t)
	check := Check{Type: ICMP, Netns: p.here.Name, Timeout: 5 * time.Second}
	l := lineOf(loopback, check)
	r := newRig(t, l)
	time.AfterFunc(100*time.Millisecond, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open[l].file.Close()
	})
	if code, detail := outcome(r.ask("192.0.2.77", check)); code != Local {
		t.Errorf("while it is lost: %v %q", code, detail)
	}
	if err := r.ask("192.0.2.2", check); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What comes unasked, twice, late or from elsewhere is no reply.
func TestStrangersReplies(t *testing.T) {
	to, other := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		p := &pinger{family: family, id: 7, waiting: make(map[uint16]*ping)}
		w := &ping{to: to, nonce: 42, reply: make(chan error, 1)}
		seq, err := p.expect(w)
		if err != nil {
			t.Fatal(err)
		}
		good := replyTo(p, seq, 42)
		for name, packet := range map[string][]byte{
			"empty": {}, "cut short": good[:len(good)-1], "a request": p.request(seq, 42),
			"of a later number": replyTo(p, seq+1, 42), "of another nonce": replyTo(p, seq, 43),
			"of another id": replyTo(&pinger{family: family, id: 8}, seq, 42), "only a header": {0x4f},
		} {
			if p.take(packet, to); len(w.reply) != 0 {
				t.Errorf("%s is taken", name)
			}
		}
		if p.take(good, other); len(w.reply) != 0 {
			t.Error("another host's is taken")
		}
		p.take(good, to)
		p.take(good, to) // must not block
		if len(w.reply) != 1 {
			t.Error("the reply is not taken")
		}
	}
}

func replyTo(p *pinger, seq uint16, nonce uint64) []byte {
	b := p.request(seq, nonce)
	if p.family == unix.AF_INET6 {
		b[0] = echoReply6
		return b
	}
	b[0] = echoReply4
	return append([]byte{0x46, 23: 0}, b...) // an IP header with an option
}

// A target that says everything a thousand times keeps nobody from being heard.
func TestPingsOutlastAFlood(t *testing.T) {
	p := newPair(t)
	p.there.IP("address", "add", "192.0.2.3/24", "dev", "w0")
	flooded := floodReplies(t, p.there)
	check := Check{Type: ICMP, Netns: p.here.Name, Timeout: 5 * time.Second}
	r := newRig(t, lineOf(loopback, check))
	for end := time.Now().Add(30 * time.Second); flooded.Load() < 20000; {
		if time.Now().After(end) {
			t.Fatalf("a flood of %d replies is none", flooded.Load())
		}
		for _, to := range []string{"192.0.2.2", "192.0.2.3"} {
			if err := r.ask(to, check); err != nil {
				t.Errorf("%s: %v", to, err)
			}
		}
	}
}

// floodReplies repeats each reply of a namespace, beside its kernel's, and counts
// them.
func floodReplies(t *testing.T, ns *testns.NS) *atomic.Int64 {
	t.Helper()
	f, err := origin{netns: ns.Name}.open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { f.Close(); all.Wait() })
	sent := new(atomic.Int64)
	all.Go(func() {
		for packet := make([]byte, 256); ; {
			n, from, err := receive(f, packet)
			if err != nil {
				return
			}
			const header = 20
			echo := packet[header:n]
			if echo[0] != echoRequest4 {
				continue
			}
			echo[0], echo[2], echo[3] = echoReply4, 0, 0
			binary.BigEndian.PutUint16(echo[2:], checksum(echo))
			for range 1000 {
				if control(f, func(fd int) error { return unix.Sendto(fd, echo, 0, from) }) == nil {
					sent.Add(1)
				}
			}
		}
	})
	return sent
}

func FuzzReply(f *testing.F) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		p := &pinger{family: family, id: 7}
		f.Add(replyTo(p, 1, 42), family == unix.AF_INET)
	}
	f.Fuzz(func(t *testing.T, packet []byte, four bool) {
		p := &pinger{family: unix.AF_INET6, id: 7}
		if four {
			p.family = unix.AF_INET
		}
		id, seq, nonce, ok := p.parse(packet)
		if !ok {
			return
		}
		p.id = id
		again := replyTo(p, seq, nonce)
		if id2, seq2, nonce2, ok := p.parse(again); !ok || id2 != id || seq2 != seq || nonce2 != nonce {
			t.Errorf("%x is read as %d %d %d, and that as %d %d %d", packet, id, seq, nonce, id2, seq2, nonce2)
		}
	})
}

func TestPingEndsWithItsTarget(t *testing.T) {
	p := newPair(t)
	check := Check{Type: ICMP, Netns: p.here.Name}
	r := newRig(t, lineOf(loopback, check))
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	ask := newProbe(netip.MustParseAddr("192.0.2.77"), check.Defaults(), r.pingers)
	if err := ask(ctx, begin.Add(time.Minute)); err == nil {
		t.Error("a success")
	}
	if took := time.Since(begin); took > late {
		t.Errorf("ended after %v", took)
	}
}
