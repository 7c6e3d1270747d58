package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"reconciler/internal/testns"
)

// server is a backend with real servers: HTTP on port 80, which tells its name
// and, below /healthz, how it is; and on port 7 one that sends each number back
// with its own.
type server struct {
	t   *testing.T
	ns  *testns.NS
	id  int
	ill atomic.Bool // /healthz answers 503
	mum atomic.Bool // /healthz does not answer

	mu    sync.Mutex
	open  map[io.Closer]bool // listeners and connections
	ended sync.WaitGroup
}

func newServer(t *testing.T, id int) *server {
	s := &server{t: t, ns: testns.New(t), id: id, open: map[io.Closer]bool{}}
	t.Cleanup(s.die)
	return s
}

func (s *server) name() string { return fmt.Sprintf("b%d", s.id) }

// nearEnd are the lines for ip at the balancer's end of its link.
func (s *server) nearEnd() string {
	return fmt.Sprintf("link set l%[1]d up\naddress add 10.0.%[1]d.1/24 dev l%[1]d\naddress add fd00:0:0:%[1]d::1/64 dev l%[1]d nodad\n", s.id)
}

// farEnd are those at its own.
func (s *server) farEnd() string {
	return fmt.Sprintf("link set e0 up\naddress add 10.0.%[1]d.2/24 dev e0\naddress add fd00:0:0:%[1]d::2/64 dev e0 nodad\n"+
		"route add default via 10.0.%[1]d.1\nroute add default via fd00:0:0:%[1]d::1\n"+
		"address add %[2]s/32 dev lo\naddress add %[3]s/128 dev lo nodad\n", s.id, vip4, vip6)
}

// serve begins to listen.
func (s *server) serve() {
	s.t.Helper()
	var web, echo net.Listener
	var err error
	s.ns.Do(func() {
		if web, err = net.Listen("tcp", ":80"); err == nil {
			echo, err = net.Listen("tcp", ":7")
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(s.answer)}
	s.keep(web)
	s.keep(echo)
	s.keep(h)
	s.ended.Go(func() { _ = h.Serve(web) })
	s.ended.Go(func() { s.accept(echo) })
}

// die closes listeners and connections at once.
func (s *server) die() {
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close() // some are closed already
	}
	clear(s.open)
	s.mu.Unlock()
	s.ended.Wait()
}

func (s *server) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = true
}

func (s *server) answer(out http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/healthz" {
		fmt.Fprint(out, s.name())
		return
	}
	switch {
	case s.mum.Load():
		<-r.Context().Done()
	case s.ill.Load():
		http.Error(out, "ill", http.StatusServiceUnavailable)
	default:
		fmt.Fprint(out, "ok")
	}
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.keep(c)
		s.ended.Go(func() { s.echo(c) })
	}
}

func (s *server) echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 8)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(binary.BigEndian.AppendUint16(buf[:8:8], uint16(s.id))); err != nil {
			return
		}
	}
}

// decapsulate takes the outer header of tunnelled packets off, as a tunnel
// device of the kernel would.
func (s *server) decapsulate() {
	s.t.Helper()
	s.attach(link.XDPGenericMode, &ebpf.ProgramSpec{Name: "decapsulate", Type: ebpf.XDP, License: "GPL", Instructions: decapsulator()})
}

// attach has a program see what comes to e0.
func (s *server) attach(mode link.XDPAttachFlags, spec *ebpf.ProgramSpec) {
	s.t.Helper()
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		s.t.Fatal(err)
	}
	defer prog.Close()
	var l link.Link
	s.ns.Do(func() {
		var e0 *net.Interface
		if e0, err = net.InterfaceByName("e0"); err == nil {
			l, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: e0.Index, Flags: mode})
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
}

// takes drops what comes for an address, and tells how many packets that were.
func (s *server) takes(address string) (arrived func() uint64) {
	s.t.Helper()
	seen, err := ebpf.NewMap(&ebpf.MapSpec{Name: "arrived", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { seen.Close() })
	to := netip.MustParseAddr(address).As4()
	s.attach(link.XDPDriverMode, &ebpf.ProgramSpec{Name: "takes", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14+20),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 14+16, asm.Word),
		asm.JNE.Imm32(asm.R4, int32(binary.NativeEndian.Uint32(to[:])), "pass"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, seen.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1), // XDP_DROP
		asm.Return(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	}})
	return func() (n uint64) {
		s.t.Helper()
		if err := seen.Lookup(uint32(0), &n); err != nil {
			s.t.Fatal(err)
		}
		return n
	}
}

// decapsulator is a program for XDP. Registers: 6 the context, 2 the frame,
// 7 the length of the outer header, 8 the type of the inner one.
func decapsulator() asm.Instructions {
	const v4, v6 = 0x0008, 0xdd86 // EtherTypes, as they lie in memory
	const stack = -16
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14+40),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 12, asm.Half),
		asm.JEq.Imm(asm.R4, v6, "six"),
		asm.JNE.Imm(asm.R4, v4, "pass"),
		asm.LoadMem(asm.R5, asm.R2, 14+9, asm.Byte),
		asm.Mov.Imm(asm.R7, 20),
		asm.Ja.Label("inner"),
		asm.LoadMem(asm.R5, asm.R2, 14+6, asm.Byte).WithSymbol("six"),
		asm.Mov.Imm(asm.R7, 40),
		asm.Mov.Imm(asm.R8, v4).WithSymbol("inner"),
		asm.JEq.Imm(asm.R5, 4, "take"),
		asm.Mov.Imm(asm.R8, v6),
		asm.JNE.Imm(asm.R5, 41, "pass"),
		// The addresses move over the outer header.
		asm.LoadMem(asm.R4, asm.R2, 0, asm.Word).WithSymbol("take"),
		asm.StoreMem(asm.RFP, stack, asm.R4, asm.Word),
		asm.LoadMem(asm.R4, asm.R2, 4, asm.Word),
		asm.StoreMem(asm.RFP, stack+4, asm.R4, asm.Word),
		asm.LoadMem(asm.R4, asm.R2, 8, asm.Word),
		asm.StoreMem(asm.RFP, stack+8, asm.R4, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.FnXdpAdjustHead.Call(),
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
	}
	for at := int16(0); at < 12; at += 4 {
		p = append(p, asm.LoadMem(asm.R4, asm.RFP, stack+at, asm.Word), asm.StoreMem(asm.R2, at, asm.R4, asm.Word))
	}
	return append(p,
		asm.StoreMem(asm.R2, 12, asm.R8, asm.Half),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	)
}

// unanswered bounds what is waited for on a connection that works.
const unanswered = 15 * time.Second
