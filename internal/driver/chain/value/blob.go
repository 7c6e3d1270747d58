package value

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconciler/internal/resource"
)

// blob is bytes: an array of them, a text, or what only its width is known of.
type blob struct {
	bytes int
	text  bool   // of chars
	exact bool   // a list must fill it
	is    string // "a float", where it is something that cannot be written in a better way
}

func (n blob) size() int    { return n.bytes }
func (n blob) blank([]byte) {}

func (n blob) put(b []byte, v resource.Value) error {
	switch {
	case v.List != nil:
		return n.putList(b, v.List)
	case v.Fields != nil:
		if w, x, ok := width(v); ok && (w.bytes == n.bytes || w.bytes < n.bytes && !n.exact) {
			return w.put(b[:w.bytes], x)
		}
	case n.text:
		if len(v.Text) <= n.bytes && strings.IndexByte(v.Text, 0) < 0 {
			copy(b, v.Text)
			return nil
		}
	case putRaw(b, v.Text) || putAddress(b, v.Text):
		return nil
	}
	return misfit(v, n.takes())
}

func (n blob) takes() string {
	if n.text {
		return fmt.Sprintf("a text of up to %d bytes, or a list of numbers", n.bytes)
	}
	text := fmt.Sprintf("0x and %d hexadecimal digits%s, or a list of bytes and widths such as {be16: 80}", 2*n.bytes, addressOf(n.bytes))
	if n.is != "" {
		text += ", as " + n.is + " is not supported"
	}
	return text
}

// piece is a byte of a list that says no width.
var piece = integer{bytes: 1, either: true}

// putList writes one item after the other: bytes, widths and addresses.
func (n blob) putList(b []byte, items []resource.Value) error {
	at := 0
	for i, item := range items {
		size := pieceSize(item)
		if at+size > n.bytes {
			return inItem(i, fmt.Errorf("%s goes beyond the %d bytes that fit", brief(item), n.bytes))
		}
		if err := putPiece(b[at:at+size], item); err != nil {
			return inItem(i, err)
		}
		at += size
	}
	if n.exact && at != n.bytes {
		return fmt.Errorf("the list has %d bytes, but %d are needed", at, n.bytes)
	}
	return nil
}

// pieceSize is how many bytes an item of a list takes.
func pieceSize(v resource.Value) int {
	if w, _, ok := width(v); ok {
		return w.bytes
	}
	if len(v.Text) <= 5 || v.List != nil || v.Fields != nil {
		return 1 // the shortest address that has no colon is 0.0.0.0
	}
	for _, size := range [...]int{4, 6, 16} {
		var b [16]byte
		if putAddress(b[:size], v.Text) {
			return size
		}
	}
	return 1
}

func putPiece(b []byte, v resource.Value) error {
	if v.List == nil && v.Fields == nil && len(b) > 1 {
		putAddress(b, v.Text)
		return nil
	}
	if w, x, ok := width(v); ok {
		return w.put(b, x)
	}
	if err := piece.put(b, v); err != nil {
		return fmt.Errorf("%w; more than a byte says its width, as in {be16: 80}", err)
	}
	return nil
}

func (n blob) get(b []byte, want *resource.Value) resource.Value {
	if want != nil && (want.List != nil || want.Fields != nil) {
		return n.pieces(b, *want)
	}
	if n.text {
		if text, ok := printable(b); ok {
			return resource.Scalar(text)
		}
		return n.pieces(b, resource.Value{})
	}
	if v, ok := likeAddress(b, want); ok {
		return v
	}
	if n.bytes == 6 && !n.exact && want == nil {
		return resource.Scalar(mac(b))
	}
	return raw(b)
}

// pieces splits bytes as want does; the rest are single ones.
func (n blob) pieces(b []byte, want resource.Value) resource.Value {
	if w, x, ok := width(want); ok && w.bytes <= len(b) {
		return resource.Value{Fields: []resource.NamedValue{{Name: want.Fields[0].Name, Value: w.get(b[:w.bytes], &x)}}}
	}
	list := make([]resource.Value, 0, len(want.List))
	for _, item := range want.List {
		size := pieceSize(item)
		if size > len(b) {
			break
		}
		list = append(list, getPiece(b[:size], item))
		b = b[size:]
	}
	if !n.exact {
		b = bytes.TrimRight(b, "\x00")
	}
	for i := range b {
		list = append(list, integer{bytes: 1}.get(b[i:i+1], nil))
	}
	return resource.Value{List: list}
}

func getPiece(b []byte, want resource.Value) resource.Value {
	if len(b) == 1 || want.Fields != nil {
		return integer{bytes: len(b), either: true}.get(b, &want)
	}
	v, _ := address(b)
	return v
}

// printable is the text in bytes that end in zeros.
func printable(b []byte) (string, bool) {
	b = bytes.TrimRight(b, "\x00")
	text := string(b)
	return text, utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// word is bytes that may be a number.
type word struct {
	integer
	raw blob
}

func (n word) put(b []byte, v resource.Value) error {
	if v.List != nil {
		return n.raw.put(b, v)
	}
	return n.integer.put(b, v)
}

func (n word) get(b []byte, want *resource.Value) resource.Value {
	if want != nil && want.List != nil {
		return n.raw.get(b, want)
	}
	return n.integer.get(b, want)
}
