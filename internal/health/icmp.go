package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// line is what pings share a socket for.
type line struct {
	from   origin
	family int
}

// pingers are the raw sockets that all pings share: one for a namespace, family
// and mark, however many targets there are.
type pingers struct {
	start func(func()) // starts a goroutine that ends when its socket is closed

	mu   sync.Mutex
	open map[line]*pinger
	used map[line]int // by how many targets
}

func newPingers(start func(func())) *pingers {
	return &pingers{start: start, open: make(map[line]*pinger), used: make(map[line]int)}
}

func lineOf(address netip.Addr, c Check) line {
	return line{origin{c.Netns, c.Mark}, family(address.Unmap())}
}

// join says that a target will use a line, leave that it no longer does; the
// last one closes it.
func (ps *pingers) join(l line) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.used[l]++
}

func (ps *pingers) leave(l line) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.used[l]--; ps.used[l] > 0 {
		return
	}
	delete(ps.used, l)
	if p := ps.open[l]; p != nil {
		p.file.Close()
		delete(ps.open, l)
	}
}

// get is the pinger of a line. A namespace that was made anew under its name, or
// a socket that broke, gets another.
func (ps *pingers) get(l line) (*pinger, error) {
	where, err := placeOf(l.from.netns)
	if err != nil {
		return nil, local(err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	old := ps.open[l]
	if old != nil && old.where == where && !old.broken() {
		return old, nil
	}
	if old != nil {
		old.file.Close()
		delete(ps.open, l)
	}
	p, err := newPinger(l, where)
	if err != nil {
		return nil, err
	}
	ps.open[l] = p
	ps.start(p.read)
	return p, nil
}

// probe sends one echo request and waits for its reply.
func (ps *pingers) probe(to netip.Addr, c Check) probe {
	l := lineOf(to, c)
	at := newEndpoint(to, c)
	return func(ctx context.Context, deadline time.Time) error {
		p, err := ps.get(l)
		if err != nil {
			return err
		}
		return p.ping(ctx, at, deadline)
	}
}

// pinger is a raw socket and the replies that are waited for on it.
type pinger struct {
	file   *os.File
	family int
	where  place
	id     uint16

	mu      sync.Mutex
	seq     uint16
	waiting map[uint16]*ping
	over    bool // nobody reads
}

// ping is one request on its way.
type ping struct {
	to    netip.Addr
	nonce uint64
	reply chan error // nil: answered; room for one
}

func newPinger(l line, where place) (*pinger, error) {
	protocol := unix.IPPROTO_ICMP
	if l.family == unix.AF_INET6 {
		protocol = unix.IPPROTO_ICMPV6
	}
	file, err := l.from.open(l.family, unix.SOCK_RAW, protocol)
	if err != nil {
		return nil, err
	}
	p := &pinger{file: file, family: l.family, where: where, id: uint16(rand.Uint32()), waiting: make(map[uint16]*ping)}
	if err := control(file, p.ready); err != nil {
		file.Close()
		return nil, local(err)
	}
	return p, nil
}

var errSocketLost = errors.New("the socket of all pings was lost")

func (p *pinger) ping(ctx context.Context, at endpoint, deadline time.Time) error {
	w := &ping{to: at.to.Addr(), nonce: rand.Uint64(), reply: make(chan error, 1)}
	seq, err := p.expect(w)
	if err != nil {
		return local(err)
	}
	defer p.forget(seq)
	err = control(p.file, func(fd int) error {
		return unix.Sendmsg(fd, p.request(seq, w.nonce), sourceMessage(at.source), sockaddr(netip.AddrPortFrom(w.to, 0)), unix.MSG_DONTWAIT)
	})
	if err != nil {
		return p.explain(at, fmt.Errorf("send: %w", err))
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case err := <-w.reply:
		return err
	case <-timer.C:
		return &failure{Timeout, errors.New("no reply")}
	case <-ctx.Done():
		return local(ctx.Err())
	}
}

// explain tells a request that has no way from one whose source is not an
// address of this host: the kernel may call both unreachable.
func (p *pinger) explain(at endpoint, err error) error {
	if !at.source.IsValid() || codeOf(err) != Unreachable {
		return failed(Local, err)
	}
	f, opening := at.from.open(p.family, unix.SOCK_DGRAM, 0)
	if opening != nil {
		return opening
	}
	defer f.Close()
	if control(f, func(fd int) error { return unix.Bind(fd, sockaddr(netip.AddrPortFrom(at.source, 0))) }) != nil {
		return local(fmt.Errorf("%w: is %s an address of this host?", err, at.source))
	}
	return failed(Unreachable, err)
}

// expect gives a request a number that no other has now.
func (p *pinger) expect(w *ping) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return 0, errSocketLost
	}
	if len(p.waiting) > 1<<15 {
		return 0, errors.New("too many pings at once")
	}
	for p.seq++; p.waiting[p.seq] != nil; p.seq++ {
	}
	p.waiting[p.seq] = w
	return p.seq, nil
}

func (p *pinger) forget(seq uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, seq)
}

// read takes in replies until the socket is closed or broken.
func (p *pinger) read() {
	defer p.end()
	var packet [256]byte // a reply to us is shorter
	for {
		n, from, err := receive(p.file, packet[:])
		if err != nil {
			return
		}
		p.take(packet[:n], addressOf(from))
	}
}

// receive waits for a packet.
func receive(file *os.File, packet []byte) (n int, from unix.Sockaddr, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	var fault error
	err = raw.Read(func(fd uintptr) bool {
		n, from, fault = unix.Recvfrom(int(fd), packet, unix.MSG_DONTWAIT)
		return !errors.Is(fault, unix.EAGAIN)
	})
	return n, from, errors.Join(err, fault)
}

// take finds who waits for a reply. A second one of the same request finds
// nobody.
func (p *pinger) take(packet []byte, from netip.Addr) {
	id, seq, nonce, ok := p.parse(packet)
	if !ok || id != p.id {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiting[seq]; w != nil && w.nonce == nonce && w.to == from {
		delete(p.waiting, seq)
		w.reply <- nil
	}
}

// end tells all who wait that nobody reads any more.
func (p *pinger) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, w := range p.waiting {
		w.reply <- local(errSocketLost)
	}
	clear(p.waiting)
}

func (p *pinger) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}
