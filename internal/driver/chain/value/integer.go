package value

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"reconciler/internal/resource"
)

// order is that of an integer's bytes.
type order uint8

const (
	native order = iota // the machine's
	big
	little
)

// integer is a number of 1, 2, 4 or 8 bytes. Its value is handled as 64 bits in
// two's complement, cut to its width.
type integer struct {
	bytes  int
	bits   int // of a bitfield; 0 for all
	order  order
	signed bool
	either bool // takes negative numbers, and all that fit unsigned
	truth  bool // true and false
	named  bool // is an enum's: no address
}

func (n integer) size() int    { return n.bytes }
func (n integer) blank([]byte) {}

func (n integer) put(b []byte, v resource.Value) error {
	if v.Fields != nil {
		return n.putWidth(b, v)
	}
	if v.List == nil {
		if x, ok := n.parse(v.Text); ok {
			n.store(b, x)
			return nil
		}
		if n.takesAddress() && putIPv4(b, v.Text) {
			return nil
		}
	}
	return misfit(v, n.takes())
}

// putWidth takes {be16: 80} and its like.
func (n integer) putWidth(b []byte, v resource.Value) error {
	w, x, ok := width(v)
	switch {
	case !ok:
		return misfit(v, n.takes())
	case w.bytes != n.bytes || n.bits != 0:
		return fmt.Errorf("%s is %d bytes wide: it takes %s", brief(v), w.bytes, n.takes())
	}
	return w.put(b, x)
}

// parse reads a number that fits.
func (n integer) parse(text string) (x uint64, ok bool) {
	if n.bytes == 1 && n.bits == 0 || n.bits == 1 || n.truth {
		switch text {
		case "true":
			return 1, true
		case "false":
			return 0, true
		}
	}
	digits, negative := strings.CutPrefix(text, "-")
	x, ok = parseUnsigned(digits)
	low, high := n.limits()
	if !ok || !negative {
		return x, ok && x <= high
	}
	return -x, x <= low
}

// parseUnsigned reads a decimal number without leading zeros, which some take
// for octal, or a hexadecimal one.
func parseUnsigned(text string) (x uint64, ok bool) {
	base := 10
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		text, base = digits, 16
	}
	if text == "" || len(text) > 20 || base == 10 && len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	for i := range len(text) {
		if int(digit(text[i])) >= base {
			return 0, false // before strconv would make an error of it
		}
	}
	x, err := strconv.ParseUint(text, base, 64)
	return x, err == nil
}

// limits are how far the numbers go below zero, and above.
func (n integer) limits() (low, high uint64) {
	all := uint64(math.MaxUint64) >> (64 - n.width())
	switch {
	case n.signed:
		return all>>1 + 1, all >> 1
	case n.either:
		return all>>1 + 1, all
	}
	return 0, all
}

// holds tells whether a number as wide as the bytes fits into the bits.
func (n integer) holds(x uint64) bool {
	unused := 64 - 8*n.bytes
	low, high := n.limits()
	if s := int64(x<<unused) >> unused; n.signed {
		return s < 0 && uint64(-s) <= low || s >= 0 && uint64(s) <= high
	}
	return x<<unused>>unused <= high
}

func (n integer) width() int {
	if n.bits != 0 {
		return n.bits
	}
	return 8 * n.bytes
}

func (n integer) takesAddress() bool {
	return n.bytes == 4 && n.bits == 0 && n.order != little && !n.named
}

// takes says what fits, for errors.
func (n integer) takes() string {
	if n.truth {
		return "true or false"
	}
	low, high := n.limits()
	text := "an integer from "
	if low > 0 {
		text += "-"
	}
	text += fmt.Sprintf("%d to %d", low, high)
	if n.takesAddress() {
		text += ", or an IPv4 address"
	}
	return text
}

func (n integer) byteOrder() binary.ByteOrder {
	switch n.order {
	case big:
		return binary.BigEndian
	case little:
		return binary.LittleEndian
	}
	return binary.NativeEndian
}

func (n integer) store(b []byte, x uint64) {
	switch o := n.byteOrder(); n.bytes {
	case 1:
		b[0] = byte(x)
	case 2:
		o.PutUint16(b, uint16(x))
	case 4:
		o.PutUint32(b, uint32(x))
	case 8:
		o.PutUint64(b, x)
	}
}

func (n integer) load(b []byte) uint64 {
	switch o := n.byteOrder(); n.bytes {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(o.Uint16(b))
	case 4:
		return uint64(o.Uint32(b))
	}
	return n.byteOrder().Uint64(b)
}

func (n integer) get(b []byte, want *resource.Value) resource.Value {
	if want != nil {
		if v, ok := n.like(b, *want); ok {
			return v
		}
	}
	x := n.load(b)
	if n.truth && x <= 1 {
		return resource.Scalar(strconv.FormatBool(x == 1))
	}
	if n.signed {
		unused := 64 - n.width()
		return resource.Scalar(strconv.FormatInt(int64(x<<unused)>>unused, 10))
	}
	return resource.Scalar(strconv.FormatUint(x, 10))
}

// like tells a number as another is written: as an address, in hexadecimal,
// with a width, as a truth or with a sign.
func (n integer) like(b []byte, want resource.Value) (resource.Value, bool) {
	if w, x, ok := width(want); ok && w.bytes == n.bytes {
		return resource.Value{Fields: []resource.NamedValue{{Name: want.Fields[0].Name, Value: w.get(b, &x)}}}, true
	}
	x := n.load(b)
	switch text := want.Text; {
	case text == "true" || text == "false":
		return resource.Scalar(strconv.FormatBool(x == 1)), x <= 1
	case n.takesAddress() && isIPv4(text):
		return resource.Scalar(ipv4(b)), true
	case strings.HasPrefix(text, "0x") && !n.signed:
		return resource.Scalar("0x" + strconv.FormatUint(x, 16)), true
	case n.either && strings.HasPrefix(text, "-"):
		n.either, n.signed = false, true
		return n.get(b, nil), true
	}
	return resource.Value{}, false
}
