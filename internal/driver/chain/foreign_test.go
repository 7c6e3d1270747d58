package chain

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// foreign loads a program of somebody else.
func (b *bench) foreign(entry string) *ebpf.Program {
	b.t.Helper()
	spec, err := ebpf.LoadCollectionSpec(verdictObject)
	if err != nil {
		b.t.Fatal(err)
	}
	keep(spec, []string{entry})
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(coll.Close)
	return coll.Programs[entry]
}

// TestForeignTCX puts another's program before the chain: ours becomes the
// first again and the other stays.
func TestForeignTCX(t *testing.T) {
	r := ways()[1].start(t)
	p0, err := r.d.linkByName("p0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: p0.index, Program: r.foreign("traffic"), Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.mark()
	r.repaired("runs before it")
	if !r.holdsMark() {
		t.Error("what the map held is lost")
	}
	now, err := link.QueryPrograms(link.QueryOptions{Target: p0.index, Attach: ebpf.AttachTCXIngress})
	if err != nil || len(now.Programs) != 2 {
		t.Fatalf("programs on the hook: %v, %v; want ours and the other", now, err)
	}
	info, err := l.Info()
	if err != nil || now.Programs[1].ID != info.Program {
		t.Errorf("the other is not the second: %v, %v", now.Programs, err)
	}
}

// foreignXDP attaches another's XDP program, by a link or without one.
func (b *bench) foreignXDP(name string, byLink bool) ebpf.ProgramID {
	b.t.Helper()
	p := b.foreign("plain")
	on, err := b.d.linkByName(name)
	if err != nil {
		b.t.Fatal(err)
	}
	if byLink {
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: on.index})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { l.Close() })
	} else {
		dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: on.index}}
		if err := netlink.LinkSetXdpFdWithFlags(dev, p.FD(), unix.XDP_FLAGS_SKB_MODE); err != nil {
			b.t.Fatal(err)
		}
	}
	id, err := programID(p)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// TestForeignXDP is that another's XDP program is a conflict that is told, and
// goes only where takeover says so.
func TestForeignXDP(t *testing.T) {
	for name, byLink := range map[string]bool{"link": true, "netlink": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			one := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
			chain := b.chain(resource.XDPIngress, one)
			other := b.foreignXDP("p0", byLink)
			b.conflict(set(one, chain), other)
			chain.Takeover = true
			b.make(set(one, chain))
			if on, err := b.d.linkByName("p0"); err != nil || on.xdp.program == other || on.xdp.program == 0 {
				t.Errorf("program %d is attached, %v; want ours in the place of %d", on.xdp.program, err, other)
			}
		})
		t.Run(name+" in the place of ours", func(t *testing.T) {
			r := ways()[0].start(t)
			r.forced()
			other := r.foreignXDP("p0", byLink)
			r.conflict(r.set, other)
			chain := r.chain(resource.XDPIngress, r.one, r.two)
			chain.Takeover = true
			r.make(set(r.one, r.two, r.settings, chain))
			r.whole()
		})
	}
}

// conflict wants a note, no operation on the chain, and the other to stay.
func (b *bench) conflict(want *resource.Set, other ebpf.ProgramID) {
	b.t.Helper()
	plan := b.plan(want)
	if shown := text(plan); !strings.Contains(shown, "somebody else's is there") || !strings.Contains(shown, "takeover: true") {
		b.t.Errorf("no conflict is told:\n%s", shown)
	}
	if errs := b.try(want); len(errs) > 0 {
		b.t.Errorf("apply: %v", errs)
	}
	if again := b.plan(want); !again.Empty() {
		b.t.Errorf("there is still to do:\n%s", text(again))
	}
	if on, err := b.d.linkByName("p0"); err != nil || on.xdp.program != other {
		b.t.Errorf("program %d is attached, %v; want %d to stay", on.xdp.program, err, other)
	}
}

// TestTakeoverElsewhere has one program on interfaces of the same index in two
// namespaces. Only that of ours goes, and where the kernel cannot tell which
// link is its, none does.
func TestTakeoverElsewhere(t *testing.T) {
	for _, byLink := range []bool{false, true} {
		t.Run(fmt.Sprintf("by link %t", byLink), func(t *testing.T) {
			b := newBench(t)
			other := b.foreign("plain")
			p0, err := b.d.linkByName("p0")
			if err != nil {
				t.Fatal(err)
			}
			far := testns.New(t)
			far.IP("link", "add", "p0", "index", fmt.Sprint(p0.index), "type", "veth", "peer", "name", "p1")
			var elsewhere link.Link
			far.Do(func() { elsewhere, err = link.AttachXDP(link.XDPOptions{Program: other, Interface: p0.index}) })
			if err != nil {
				t.Fatal(err)
			}
			defer elsewhere.Close()
			if byLink {
				ours, err := link.AttachXDP(link.XDPOptions{Program: other, Interface: p0.index})
				if err != nil {
					t.Fatal(err)
				}
				defer ours.Close()
			} else if err := netlink.LinkSetXdpFdWithFlags(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: p0.index}}, other.FD(), unix.XDP_FLAGS_DRV_MODE); err != nil {
				t.Fatal(err)
			}
			one := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
			chain := b.chain(resource.XDPIngress, one)
			chain.Takeover = true
			if !byLink {
				b.make(set(one, chain))
			} else if errs := b.try(set(one, chain)); len(errs) != 1 || !errors.Is(errs[0], errSeveral) {
				t.Errorf("errors %v, want %v", errs, errSeveral)
			}
			if !strings.Contains(far.IP("link", "show", "p0"), "prog/xdp") {
				t.Error("the program is gone in another namespace")
			}
		})
	}
}
