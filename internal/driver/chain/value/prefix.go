package value

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"reconciler/internal/resource"
)

// lengthBytes is how wide the length is in front of the bytes of an LPM trie's
// key.
const lengthBytes = 4

// prefix is a key of an LPM trie: struct bpf_lpm_trie_key, or one that begins
// like it.
type prefix struct {
	key    node
	v4, v6 bool // which prefixes fit
}

func newPrefix(key node) node {
	if w, ok := key.(word); ok {
		key = w.raw // a length and an address make no number
	}
	n := prefix{key: key, v4: key.size() == lengthBytes+4, v6: key.size() == lengthBytes+16}
	if r, ok := key.(*record); ok && n.v6 {
		for _, f := range r.fields {
			n.v4 = n.v4 || f.at == 8*lengthBytes && f.wide == 32 && !f.alone
		}
	}
	return n
}

func (n prefix) size() int      { return n.key.size() }
func (n prefix) blank(b []byte) { n.key.blank(b) }

func (n prefix) put(b []byte, v resource.Value) error {
	if (n.v4 || n.v6) && v.Fields == nil && v.List == nil && strings.ContainsAny(v.Text, ".:") {
		return n.putPrefix(b, v)
	}
	if err := n.key.put(b, v); err != nil {
		if v.Fields == nil && v.List == nil && (n.v4 || n.v6) {
			return misfit(v, n.takes())
		}
		return err
	}
	if most := 8 * (len(b) - lengthBytes); most >= 0 && int64(binary.NativeEndian.Uint32(b)) > int64(most) {
		return fmt.Errorf("the prefix is %d bits long, but the key has %d", binary.NativeEndian.Uint32(b), most)
	}
	return nil
}

func (n prefix) putPrefix(b []byte, v resource.Value) error {
	p, ok := parsePrefix(v.Text)
	if !ok || p.Addr().Is4() && !n.v4 || p.Addr().Is6() && !n.v6 {
		return misfit(v, n.takes())
	}
	if p != p.Masked() {
		return fmt.Errorf("%s has bits beyond its prefix: %s has none", brief(v), p.Masked())
	}
	binary.NativeEndian.PutUint32(b, uint32(p.Bits()))
	if p.Addr().Is4() {
		octets := p.Addr().As4()
		copy(b[lengthBytes:], octets[:])
	} else {
		octets := p.Addr().As16()
		copy(b[lengthBytes:], octets[:])
	}
	return nil
}

// parsePrefix takes an address for the prefix that is all of it.
func parsePrefix(text string) (netip.Prefix, bool) {
	if strings.IndexByte(text, '/') < 0 {
		addr, ok := parseAddr(text)
		return netip.PrefixFrom(addr, addr.BitLen()), ok && addr.Zone() == ""
	}
	p, err := netip.ParsePrefix(text)
	return p, err == nil
}

// mask clears the bits beyond the prefix.
func (n prefix) mask(b []byte) {
	if len(b) < lengthBytes {
		return
	}
	length := int64(binary.NativeEndian.Uint32(b))
	for i := range b[lengthBytes:] {
		if kept := length - 8*int64(i); kept < 8 {
			b[lengthBytes+i] &^= 0xff >> max(kept, 0)
		}
	}
}

func (n prefix) takes() string {
	switch {
	case n.v4 && n.v6:
		return "a prefix such as 203.0.113.0/24 or 2001:db8::/32"
	case n.v4:
		return "a prefix such as 203.0.113.0/24"
	}
	return "a prefix such as 2001:db8::/32"
}

func (n prefix) get(b []byte, want *resource.Value) resource.Value {
	if (n.v4 || n.v6) && (want == nil || want.Fields == nil && want.List == nil) {
		addr := b[lengthBytes:]
		if like, ok := parseLike(want); n.v4 && ok && like.Is4() {
			addr = addr[:4]
		}
		ip, _ := netip.AddrFromSlice(addr)
		length := binary.NativeEndian.Uint32(b)
		if p := netip.PrefixFrom(ip, int(min(length, 1<<10))); p.IsValid() && p == p.Masked() {
			return resource.Scalar(p.String())
		}
	}
	return n.key.get(b, want)
}

func parseLike(want *resource.Value) (netip.Addr, bool) {
	if want == nil {
		return netip.Addr{}, false
	}
	p, ok := parsePrefix(want.Text)
	return p.Addr(), ok
}
