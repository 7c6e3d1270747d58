package wire

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatIsWrittenReadsBack(t *testing.T) {
	var b Batch
	b.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE)
	b.Route(unix.RtMsg{Family: unix.AF_INET, Dst_len: 24})
	b.IP(1, netip.MustParseAddr("192.0.2.1"))
	b.IP(2, netip.MustParseAddr("2001:db8::1"))
	b.String(3, "abc")
	b.U8(4, 7)
	b.U16(5, 0x1234)
	b.BE16(6, 0x1234)
	b.U32(7, 0x12345678)
	nest := b.Nest(8)
	b.Bool(1, true)
	b.Close(nest)
	b.Via(9, netip.MustParseAddr("2001:db8::2"))
	paths := b.Nest(10)
	for i := range 2 {
		hop := b.NextHop(4, uint8(i), int32(7+i))
		b.IP(1, netip.MustParseAddr("192.0.2.9"))
		b.Close(hop)
	}
	b.Close(paths)
	b.End()
	b.Begin(unix.RTM_DELROUTE, 0)
	b.Drop()
	if b.Len() != 1 {
		t.Fatalf("%d messages, want the one that was not dropped", b.Len())
	}

	m, rest, ok := next(b.buf)
	if !ok || len(rest) != 0 || m.Type != unix.RTM_NEWROUTE || m.Flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST {
		t.Fatalf("read %+v and %d more bytes", m, len(rest))
	}
	got := map[uint16]any{}
	for a := After(m.Body, unix.SizeofRtMsg); a.Next(); {
		switch a.Type {
		case 1, 2:
			got[a.Type] = IP(a.Value).String()
		case 3:
			got[3] = Text(a.Value)
		case 4:
			got[4] = U8(a.Value)
		case 5:
			got[5] = U16(a.Value)
		case 6:
			got[6] = BE16(a.Value)
		case 7:
			got[7] = U32(a.Value)
		case 8:
			for n := Attributes(a.Value); n.Next(); {
				got[8] = U8(n.Value)
			}
		case 9:
			got[9] = Via(a.Value).String()
		case 10:
			n := 0
			NextHops(a.Value, func(h NextHop) {
				if h.Flags != 4 || h.Hops != uint8(n) || h.Index != int32(7+n) || !h.Attrs.Next() || IP(h.Attrs.Value).String() != "192.0.2.9" {
					t.Errorf("next hop %d is %+v", n, h)
				}
				n++
			})
			got[10] = n
		}
	}
	want := map[uint16]any{
		1: "192.0.2.1", 2: "2001:db8::1", 3: "abc", 4: uint8(7), 5: uint16(0x1234), 6: uint16(0x1234),
		7: uint32(0x12345678), 8: uint8(1), 9: "2001:db8::2", 10: 2,
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("attribute %d is %v, want %v", k, got[k], v)
		}
	}
}

func TestKernelsWordsAreInTheError(t *testing.T) {
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b Batch
	for range 3 { // none of them changes anything
		b.Begin(unix.RTM_GETLINK, 0)
		b.Link(unix.IfInfomsg{Index: 1 << 30})
		b.End()
	}
	errs, done, err := c.Do(context.Background(), &b)
	if err != nil || done != 3 {
		t.Fatalf("done %d, %v", done, err)
	}
	for _, err := range errs {
		if !Is(err, unix.ENODEV) || !errors.Is(err, unix.ENODEV) || err.Error() != "no such device (ENODEV)" {
			t.Errorf("got %v", err)
		}
	}
	err = c.Dump(context.Background(), Query{
		Type: unix.RTM_GETLINK,
		Head: func(b *Batch) { b.Link(unix.IfInfomsg{Index: 7}) },
		See:  func(Message) {},
	})
	const want = "Filter by device index not supported for link dumps (EINVAL)"
	if err == nil || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if c.Spent() {
		t.Error("a refusal spends the socket")
	}
}

func TestGivenUpExchangeSpendsTheSocket(t *testing.T) {
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	boredom := errors.New("bored")
	err = c.Dump(ctx, Query{
		Type:  unix.RTM_GETLINK,
		Head:  func(b *Batch) { b.Link(unix.IfInfomsg{}) },
		Reset: func() { cancel(boredom) },
		See:   func(Message) {},
	})
	if err != nil && !errors.Is(err, boredom) {
		t.Errorf("got %v, want its cause", err)
	}
	if !c.Spent() {
		t.Error("the socket may be used again")
	}
}

func FuzzMessages(f *testing.F) {
	var b Batch
	b.Begin(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS)
	b.u32(uint32(0xffffffea))
	b.Link(unix.IfInfomsg{})
	b.String(unix.NLMSGERR_ATTR_MSG, "no")
	b.End()
	f.Add(b.buf)
	f.Fuzz(func(t *testing.T, buf []byte) {
		n := 0
		for m, rest, ok := next(buf); ok; m, rest, ok = next(rest) {
			if n += headerSize; n > len(buf) {
				t.Fatal("more messages than bytes")
			}
			if err := refusal(m); err != nil && err.Error() == "" {
				t.Error("an error without a text")
			}
			for a := Attributes(m.Body); a.Next(); {
				Text(a.Value)
				NextHops(a.Value, func(h NextHop) { h.Attrs.Next() })
			}
		}
	})
}
