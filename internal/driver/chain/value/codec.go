// Package value turns keys, values and constants as they are written in YAML
// into the bytes that a BPF map holds, and back.
//
// What fits, the BTF of the object says, or the width where it has none. The
// package never touches a kernel or a file, and knows nothing of maps but the
// size of a key and of a value and the form of an LPM trie's keys.
package value

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"reconciler/internal/resource"
)

// Codec translates the keys, or the values, of one map. It keeps no state and
// may be used by several goroutines. The zero Codec is of no use: Of, Plain and
// LPM make them.
type Codec struct {
	node   node
	hidden bool // has bytes that only programs or the kernel set
}

// node is a type, or a member's. The bytes it is given are as many as its size.
type node interface {
	size() int
	// put writes into bytes that are zero. It may leave them half written when it
	// fails.
	put(b []byte, v resource.Value) error
	// get says what bytes hold, in the form of want where that is not nil. It may
	// say less than they hold: the caller puts it back to see.
	get(b []byte, want *resource.Value) resource.Value
	// blank makes zero what only programs or the kernel set.
	blank(b []byte)
}

// Of is the codec of a BTF type whose width must be that of the map's keys or
// values, in bytes. No type, or void, is what objects without BTF have: Plain.
func Of(t btf.Type, size int) (Codec, error) {
	if bare, _ := strip(t); bare == nil || isVoid(bare) {
		return Plain(size), nil
	}
	n, err := newBuilder(size).build(t)
	if err != nil {
		return Codec{}, err
	}
	if o, ok := n.(opaque); ok {
		return Codec{}, fmt.Errorf("a %s cannot be written: only programs set it", o.what)
	}
	if n.size() != size {
		return Codec{}, fmt.Errorf("the type %s is %d bytes wide, but %d are expected", typeName(t), n.size(), size)
	}
	return codec(n), nil
}

// Plain is the codec of bytes of which nothing is known but how many they are:
// an integer in the machine's order where they are 1, 2, 4 or 8, and at any
// size an address or MAC that is as wide, or a list of widths.
func Plain(size int) Codec {
	raw := blob{bytes: size, exact: true}
	if isWord(size) {
		return codec(word{integer{bytes: size, either: true}, raw})
	}
	return codec(raw)
}

// LPM is the codec of the keys of an LPM trie, given that of their bytes.
func LPM(c Codec) Codec { return codec(newPrefix(c.node)) }

// Constant encodes a variable of a read-only section.
func Constant(t btf.Type, size int, v resource.Value) ([]byte, error) {
	c, err := Of(t, size)
	if err != nil {
		return nil, err
	}
	return c.Encode(v)
}

func codec(n node) Codec {
	ones := bytes.Repeat([]byte{0xff}, n.size())
	n.blank(ones)
	return Codec{node: n, hidden: bytes.IndexByte(ones, 0) >= 0}
}

// Size is how many bytes a key or value has.
func (c Codec) Size() int { return c.node.size() }

// Encode turns what is written into bytes. An error says which field is wrong,
// what it was given and what fits.
func (c Codec) Encode(v resource.Value) ([]byte, error) {
	b := make([]byte, c.Size())
	if err := c.node.put(b, v); err != nil {
		return nil, err
	}
	return b, nil
}

// Put encodes into b, which must have Size bytes: one buffer for a whole batch.
// What b holds after an error is of no use.
func (c Codec) Put(b []byte, v resource.Value) error {
	if len(b) != c.Size() {
		return fmt.Errorf("%d bytes to write into, but %d are needed", len(b), c.Size())
	}
	clear(b)
	return c.node.put(b, v)
}

// Decode says what bytes hold. Encode makes the same bytes of it, but for those
// that only programs or the kernel set, which become zero. It fails for a key
// that no map holds: one of an LPM trie whose prefix is longer than itself.
func (c Codec) Decode(b []byte) (resource.Value, error) {
	if len(b) != c.Size() {
		return resource.Value{}, fmt.Errorf("%d bytes were read, but the type has %d", len(b), c.Size())
	}
	v := c.decode(b, nil)
	_, err := c.Encode(v)
	return v, err
}

// Render says what bytes hold in the words of want: want itself where it means
// these bytes, else what is there, in the form and order of want where that can
// tell it. Bytes of another size than the codec's are told as they are.
func Render(c Codec, b []byte, want resource.Value) resource.Value {
	if len(b) != c.Size() {
		return raw(b)
	}
	if c.means(want, b) {
		return want
	}
	return c.decode(b, &want)
}

// decode prefers the form of want, then the canonical one, then plain bytes for
// what neither can tell, such as padding that is not zero.
func (c Codec) decode(b []byte, want *resource.Value) resource.Value {
	if c.hidden {
		b = bytes.Clone(b)
		c.node.blank(b)
	}
	if want != nil {
		if v := c.node.get(b, want); c.means(v, b) {
			return v
		}
	}
	if v := c.node.get(b, nil); c.means(v, b) {
		return v
	}
	return raw(b)
}

// means tells whether v encodes to b.
func (c Codec) means(v resource.Value, b []byte) bool {
	got, err := c.Encode(v)
	return err == nil && c.Equal(got, b)
}

// Equal compares bytes, but for those that only programs or the kernel set.
func (c Codec) Equal(a, b []byte) bool {
	if !c.hidden || len(a) != c.Size() || len(b) != c.Size() {
		return bytes.Equal(a, b)
	}
	a, b = bytes.Clone(a), bytes.Clone(b)
	c.node.blank(a)
	c.node.blank(b)
	return bytes.Equal(a, b)
}

// Normalize makes of a key, in place, the one that stands for all that its map
// takes for the same: those of an LPM trie differ in no bit beyond the prefix.
// b must have Size bytes.
func (c Codec) Normalize(b []byte) {
	if n, ok := c.node.(prefix); ok {
		n.mask(b)
	}
}

// show is get, but for bytes that want means already.
func show(n node, b []byte, want *resource.Value) resource.Value {
	if want != nil {
		got := make([]byte, n.size())
		if n.put(got, *want) == nil && bytes.Equal(got, b) {
			return *want
		}
	}
	return n.get(b, want)
}

// raw tells bytes as they are, in the order in which they are stored.
func raw(b []byte) resource.Value { return resource.Scalar("0x" + hex.EncodeToString(b)) }

// putRaw reads bytes as raw tells them. It reports whether text has that form
// and as many bytes as b.
func putRaw(b []byte, text string) bool {
	if len(text) != 2+2*len(b) || text[0] != '0' || text[1] != 'x' {
		return false
	}
	for i := range b {
		high, low := digit(text[2+2*i]), digit(text[3+2*i])
		if high > 15 || low > 15 {
			return false
		}
		b[i] = high<<4 | low
	}
	return true
}

// digit is the value of a hexadecimal digit, or 255.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func isWord(size int) bool { return size == 1 || size == 2 || size == 4 || size == 8 }
