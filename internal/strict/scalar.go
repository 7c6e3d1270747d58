package strict

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scalar is a type of the language that is written as one scalar of YAML.
type Scalar interface {
	// ReadScalar fills the receiver from a scalar that is not null.
	ReadScalar(*Value) *Problem
	// ScalarSchema describes what ReadScalar takes.
	ScalarSchema() Schema
}

func (c *V[T]) read(v *Value, r *rules) *Problem {
	c.at = v
	p := readScalar(v, &c.Val, r)
	c.ok = p == nil
	return p
}

func (c *V[T]) describe(r *rules) Schema { return scalarSchema(&c.Val, r) }

// rules are the bounds that the tags of a field set.
type rules struct {
	enum     []string
	min, max uint64 // of a number, max 0 is none; of a string, its length
}

func readScalar(v *Value, into any, r *rules) *Problem {
	if !v.IsScalar() {
		return wrongType(v, "one value")
	}
	switch into := into.(type) {
	case Scalar:
		return into.ReadScalar(v)
	case *bool:
		return readBool(v, into)
	case *uint8:
		return readUint(v, r, 8, func(n uint64) { *into = uint8(n) })
	case *uint16:
		return readUint(v, r, 16, func(n uint64) { *into = uint16(n) })
	case *uint32:
		return readUint(v, r, 32, func(n uint64) { *into = uint32(n) })
	case *netip.Addr:
		return readAddr(v, into)
	case *netip.Prefix:
		return readPrefix(v, into)
	case *time.Duration:
		return readDuration(v, r, into)
	case *string:
		return readString(v, r, into)
	}
	rv := reflect.ValueOf(into).Elem()
	if rv.Kind() != reflect.String {
		panic("strict: no way to read a " + rv.Type().String())
	}
	var s string
	p := readString(v, r, &s)
	if p == nil {
		rv.SetString(s)
	}
	return p
}

func wrongType(v *Value, want string) *Problem {
	if v.IsScalar() && v.Kind != Null {
		return Problemf("wrong-type", "want %s, have %s: %s", want, v.Kind, quote(v))
	}
	return Problemf("wrong-type", "want %s, have %s", want, v.Kind)
}

// quote prints a scalar as it was written, shortened.
func quote(v *Value) string {
	s := v.Text
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	if v.Kind == String {
		return strconv.Quote(s)
	}
	return s
}

func readBool(v *Value, into *bool) *Problem {
	if v.Kind == Bool {
		*into = isTrue(v.Text)
		return nil
	}
	p := wrongType(v, "true or false")
	if v.Kind == String && !v.Quoted {
		switch strings.ToLower(v.Text) {
		case "yes", "on", "y":
			return p.Hinted("%s was a boolean in YAML 1.1 only: write true", v.Text)
		case "no", "off", "n":
			return p.Hinted("%s was a boolean in YAML 1.1 only: write false", v.Text)
		}
	}
	if v.Kind == String && v.Quoted && (isTrue(v.Text) || strings.EqualFold(v.Text, "false")) {
		return p.Hinted("take the quotes away")
	}
	return p
}

func readUint(v *Value, r *rules, bits int, set func(uint64)) *Problem {
	n, p := ReadNumber(v)
	if p != nil {
		return p
	}
	low, high := r.min, uint64(1)<<bits-1
	if r.max != 0 {
		high = r.max
	}
	if n < low || n > high {
		return outOfRange(v, low, high)
	}
	set(n)
	return nil
}

func outOfRange(v *Value, low, high uint64) *Problem {
	if low == high {
		return Problemf("out-of-range", "%s is not %d", v.Text, low)
	}
	return Problemf("out-of-range", "%s is not from %d to %d", v.Text, low, high)
}

// ReadNumber reads a whole number that is not negative, decimal or 0x.
func ReadNumber(v *Value) (uint64, *Problem) {
	text := v.Text
	switch {
	case v.Kind == String && v.Quoted && isDigits(text):
		return 0, wrongType(v, "a number").Hinted("take the quotes away")
	case v.IsScalar() && !v.Quoted && len(text) > 1 && text[0] == '0' && isDigits(text): // 09 is a float to YAML
		return 0, octal(text)
	case v.Kind != Int:
		return 0, wrongType(v, "a whole number")
	case strings.HasPrefix(text, "-"):
		return 0, Problemf("out-of-range", "%s is less than 0", text)
	case strings.HasPrefix(text, "0o"), strings.HasPrefix(text, "0b"), strings.ContainsAny(text, "_+"):
		return 0, Problemf("bad-number", "%s is not a plain number", text).Hinted("write it in decimal, or as 0x…")
	}
	n, err := strconv.ParseUint(strings.ToLower(text), 0, 64)
	if err != nil {
		return 0, Problemf("bad-number", "%s is not a number that fits", text)
	}
	return n, nil
}

func octal(text string) *Problem {
	p := Problemf("octal", "%s begins with 0, which makes it octal in YAML 1.1 and decimal in 1.2", text)
	plain := strings.TrimLeft(text, "0")
	if plain == "" {
		plain = "0"
	}
	return p.Hinted("write %s", plain)
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

func readString(v *Value, r *rules, into *string) *Problem {
	if v.Kind != String {
		if v.IsScalar() && r.enum == nil {
			return wrongType(v, "a string").Hinted("put it in quotes: %q", v.Text)
		}
		return wrongType(v, "a string")
	}
	if r.enum != nil && !slices.Contains(r.enum, v.Text) {
		return notOneOf(v, r.enum)
	}
	if n := uint64(len(v.Text)); n < r.min || r.max != 0 && n > r.max {
		return Problemf("out-of-range", "%d bytes, want from %d to %d", n, r.min, r.max)
	}
	*into = v.Text
	return nil
}

func notOneOf(v *Value, enum []string) *Problem {
	p := Problemf("not-one-of", "%s is none of %s", quote(v), strings.Join(enum, ", "))
	if near := Nearest(v.Text, enum); near != "" {
		return p.Hinted("did you mean %s?", near)
	}
	return p
}

func readAddr(v *Value, into *netip.Addr) *Problem {
	a, p := ParseAddr(v)
	if p != nil {
		return p
	}
	*into = a
	return nil
}

// ParseAddr reads an IP address without a zone.
func ParseAddr(v *Value) (netip.Addr, *Problem) {
	if v.Kind != String {
		return netip.Addr{}, wrongType(v, "an IP address")
	}
	a, err := netip.ParseAddr(v.Text)
	switch {
	case err != nil && strings.Contains(v.Text, "/"):
		return a, Problemf("bad-address", "%s is not an IP address", quote(v)).Hinted("leave the prefix length out")
	case err != nil:
		return a, Problemf("bad-address", "%s is not an IP address", quote(v)).Hinted("%s", reason(err))
	case a.Zone() != "":
		return a, Problemf("bad-address", "%s has a zone", quote(v)).Hinted("write %s, and name the link beside it", a.WithZone(""))
	case a.Is4In6():
		return a, Problemf("bad-address", "%s is an IPv4 address in IPv6 form", quote(v)).Hinted("write %s", a.Unmap())
	}
	return a, nil
}

// reason is the last part of an error of netip: what is wrong, without the
// text that is wrong.
func reason(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, "): "); i >= 0 {
		s = s[i+3:]
	}
	if i := strings.Index(s, " (at "); i >= 0 {
		s = s[:i]
	}
	return s
}

func readPrefix(v *Value, into *netip.Prefix) *Problem {
	p, problem := ParsePrefix(v)
	if problem != nil {
		return problem
	}
	*into = p
	return nil
}

// ParsePrefix reads an address with its prefix length, host bits kept.
func ParsePrefix(v *Value) (netip.Prefix, *Problem) {
	if v.Kind != String {
		return netip.Prefix{}, wrongType(v, "an address with its prefix length")
	}
	addr, length, found := strings.Cut(v.Text, "/")
	part := *v
	part.Text = addr
	a, problem := ParseAddr(&part)
	if problem != nil {
		problem.Message = strings.Replace(problem.Message, quote(&part), quote(v), 1)
		return netip.Prefix{}, problem
	}
	if !found {
		return netip.Prefix{}, Problemf("missing-prefix-length", "%s has no prefix length", quote(v)).
			Hinted("write %s/%d for this address alone", a, a.BitLen())
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || len(length) > 1 && length[0] == '0' || bits > uint64(a.BitLen()) {
		return netip.Prefix{}, Problemf("bad-address", "%s: the prefix length is not from 0 to %d", quote(v), a.BitLen())
	}
	return netip.PrefixFrom(a, int(bits)), nil
}

func readDuration(v *Value, r *rules, into *time.Duration) *Problem {
	d, err := time.ParseDuration(v.Text)
	switch {
	case v.Kind == Int:
		return Problemf("bad-duration", "%s has no unit", v.Text).Hinted("write %ss, or %sms", v.Text, v.Text)
	case v.Kind != String || err != nil:
		return Problemf("bad-duration", "%s is not a duration", quote(v)).Hinted("write 30s, 500ms or 5m")
	case d < 0:
		return Problemf("out-of-range", "%s is less than 0", v.Text)
	}
	low, high := time.Duration(r.min)*time.Millisecond, time.Duration(r.max)*time.Millisecond
	if d < low || high != 0 && d > high {
		if low == high {
			return Problemf("out-of-range", "%s is not %d", v.Text, low)
		}
		return Problemf("out-of-range", "%s is not from %s to %s", v.Text, low, high)
	}
	*into = d
	return nil
}

// scalarSchema mirrors readScalar.
func scalarSchema(into any, r *rules) Schema {
	number := func(bits int) Schema {
		s := Schema{"type": "integer", "minimum": r.min, "maximum": uint64(1)<<bits - 1}
		if r.max != 0 {
			s["maximum"] = r.max
		}
		return s
	}
	switch into := into.(type) {
	case Scalar:
		return into.ScalarSchema()
	case *bool:
		return Schema{"type": "boolean"}
	case *uint8:
		return number(8)
	case *uint16:
		return number(16)
	case *uint32:
		return number(32)
	case *netip.Addr:
		return Schema{"type": "string", "pattern": "^[0-9a-fA-F:.]+$"}
	case *netip.Prefix:
		return Schema{"type": "string", "pattern": "^[0-9a-fA-F:.]+/[0-9]{1,3}$"}
	case *time.Duration:
		return Schema{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`}
	}
	if r.enum != nil {
		return Schema{"enum": anySlice(r.enum)}
	}
	s := Schema{"type": "string"}
	if r.max != 0 {
		s["maxLength"] = r.max
	}
	if r.min != 0 {
		s["minLength"] = r.min
	}
	return s
}

func anySlice(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
