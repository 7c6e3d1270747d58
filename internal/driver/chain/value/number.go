package value

import (
	"fmt"
	"strings"

	"reconciler/internal/resource"
)

// Number is where a value holds a number that can be counted with.
type Number struct {
	at      int // in bits
	integer integer
	cut     bool // it is a bitfield
}

// Number finds the number in a field, a dot going into a field of a field.
// Without a name it is the value itself.
func (c Codec) Number(name string) (Number, error) {
	at, found := 0, field{wide: 8 * c.Size(), node: c.node}
	for rest := name; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, ".")
		r, ok := found.node.(*record)
		if !ok {
			return Number{}, fmt.Errorf("field %s: the value has no fields", name)
		}
		i, ok := r.index[part]
		if !ok {
			return Number{}, fmt.Errorf("there is no field %s%s; there are %s", brief(resource.Scalar(part)), didYouMean(part, r.names()), listed(r.names()))
		}
		found = r.fields[i]
		at += found.at
	}
	n := Number{at: at, cut: found.bits != nil}
	switch t := found.node.(type) {
	case integer:
		n.integer = t
	case enum:
		n.integer = t.integer
	case word:
		n.integer = t.integer
	case *record:
		return Number{}, fmt.Errorf("it is a struct: say which field, of %s", listed(t.names()))
	default:
		return Number{}, fmt.Errorf("it is no integer")
	}
	return n, nil
}

// Of is the number in bytes that are as many as the codec's. What is beyond
// 2^53 is rounded.
func (n Number) Of(b []byte) float64 {
	var x uint64
	if n.cut {
		x = loadBits(b, n.at, n.integer.width())
	} else {
		x = n.integer.load(b[n.at/8:][:n.integer.bytes])
	}
	if n.integer.signed {
		unused := 64 - n.integer.width()
		return float64(int64(x<<unused) >> unused)
	}
	return float64(x)
}
