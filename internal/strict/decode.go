package strict

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Decoder decodes values into a T: a struct whose fields are V, Raw, structs,
// pointers to structs, slices and Maps of those. Tags of a field:
//
//	yaml:"mtu"          its key; fields without one are skipped
//	min:"68" max:"9000" bounds of a number; of a string's length; of a duration, in milliseconds
//	enum:"up,down"      the words it may be
//	required:"true"     a mapping without it is a fault
//	short:"true"        a scalar in place of the mapping stands for this field, which then needs no key
//	names:"REGEXP"      what the keys of a Map look like
//	doc:"…"             what the schema says about it
type Decoder[T any] struct{ root codec }

// NewDecoder prepares a Decoder. It panics on a T that it cannot decode.
func NewDecoder[T any]() *Decoder[T] {
	c := compiler{structs: make(map[reflect.Type]*structCodec)}
	return &Decoder[T]{c.compile(reflect.TypeFor[T](), "")}
}

// Decode fills a T from a value and reports every fault of its shape.
func (d *Decoder[T]) Decode(v *Value, r *Report) *T {
	out := new(T)
	s := &session{report: r}
	s.decode(d.root, v, reflect.ValueOf(out).Elem())
	return out
}

// Shape reports every fault of what is there; what is missing is none.
func (d *Decoder[T]) Shape(v *Value, r *Report) {
	s := &session{report: r, shadow: true}
	s.decode(d.root, v, reflect.New(reflect.TypeFor[T]()).Elem())
}

// Guide is a struct with more to say about a key that it does not know.
type Guide interface {
	// UnknownKey explains a key, or returns nil for the usual words.
	UnknownKey(key string) *Problem
}

// session is one run of a Decoder.
type session struct {
	report *Report
	shadow bool // the value has no effect: what is missing is no fault
}

// codec reads and describes one type.
type codec interface {
	// decode is never given null.
	decode(s *session, v *Value, into reflect.Value)
	schema(g *Generator) Schema
}

// decode reads a value and, for their faults alone, those it took the place
// of. Null is a value that is not given.
func (s *session) decode(c codec, v *Value, into reflect.Value) {
	for o := v.Over; o != nil; o = o.Over {
		s.scratch(c, o, into.Type())
	}
	switch {
	case v.Kind != Null:
		c.decode(s, v, into)
	case v.Over == nil && !s.shadow:
		s.report.Warn(v, Problemf("null", "an empty value takes away what a lower layer says, and none says anything").
			Hinted("write {} or [] for something that holds nothing"))
	}
}

func (s *session) scratch(c codec, v *Value, t reflect.Type) {
	if v.Kind == Null {
		return
	}
	was := s.shadow
	s.shadow = true
	c.decode(s, v, reflect.New(t).Elem())
	s.shadow = was
}

type compiler struct {
	structs map[reflect.Type]*structCodec
}

type leaf interface {
	read(*Value, *rules) *Problem
	describe(*rules) Schema
}

type holder interface{ put(*Value) }

type named interface{ isMap() }

func (Map[T]) isMap() {}

func (c *compiler) compile(t reflect.Type, tag reflect.StructTag) codec {
	ptr := reflect.PointerTo(t)
	switch {
	case ptr.Implements(reflect.TypeFor[leaf]()):
		return newLeaf(t, tag)
	case t.Implements(reflect.TypeFor[named]()):
		entry := t.Elem()
		m := &mapCodec{entry: entry, val: c.compile(entry.Field(2).Type, tag)}
		if p := tag.Get("names"); p != "" {
			m.names = regexp.MustCompile(p)
		}
		return m
	case t.Kind() == reflect.Pointer:
		return pointerCodec{c.compile(t.Elem(), tag)}
	case t.Kind() == reflect.Slice:
		return listCodec{c.compile(t.Elem(), tag)}
	case t.Kind() == reflect.Struct:
		return c.compileStruct(t)
	}
	panic("strict: cannot decode a " + t.String())
}

func newLeaf(t reflect.Type, tag reflect.StructTag) leafCodec {
	l := leafCodec{typ: t, rules: new(rules)}
	if e := tag.Get("enum"); e != "" {
		l.rules.enum = strings.Split(e, ",")
	}
	l.rules.min, l.rules.max = bound(tag.Get("min")), bound(tag.Get("max"))
	return l
}

func bound(s string) uint64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic("strict: tag: " + err.Error())
	}
	return n
}

func (c *compiler) compileStruct(t reflect.Type) codec {
	if s, ok := c.structs[t]; ok {
		return s
	}
	s := &structCodec{typ: t, index: make(map[string]int), short: -1}
	c.structs[t] = s
	for i := range t.NumField() {
		f := t.Field(i)
		name, short := f.Tag.Get("yaml"), f.Tag.Get("short") != ""
		if short {
			s.short = len(s.fields)
		}
		if name != "" {
			s.index[name] = len(s.fields)
			s.names = append(s.names, name)
		} else if !short {
			continue
		}
		s.fields = append(s.fields, fieldCodec{
			name: name, index: i, codec: c.compile(f.Type, f.Tag),
			doc: f.Tag.Get("doc"), required: f.Tag.Get("required") != "",
		})
	}
	return s
}

type leafCodec struct {
	typ   reflect.Type
	rules *rules
}

func (c leafCodec) decode(s *session, v *Value, into reflect.Value) {
	if p := into.Addr().Interface().(leaf).read(v, c.rules); p != nil {
		s.report.At(v, p)
	}
}

type pointerCodec struct{ elem codec }

func (c pointerCodec) decode(s *session, v *Value, into reflect.Value) {
	into.Set(reflect.New(into.Type().Elem()))
	c.elem.decode(s, v, into.Elem())
}

type listCodec struct{ elem codec }

func (c listCodec) decode(s *session, v *Value, into reflect.Value) {
	if v.Kind != List {
		p := wrongType(v, "a list")
		if v.Kind == String {
			p.Hinted("write [%s]", v.Text)
		}
		s.report.At(v, p)
		return
	}
	out := reflect.MakeSlice(into.Type(), len(v.Children), len(v.Children))
	n := 0
	for _, item := range v.Children {
		switch {
		case item.Absent():
			s.absent(c.elem, item.Value, into.Type().Elem())
		case item.Kind == Null:
			s.report.At(item.Value, Problemf("empty-item", "an item of a list is empty"))
		default:
			s.decode(c.elem, item.Value, out.Index(n))
			n++
		}
	}
	into.Set(out.Slice(0, n))
}

// absent checks an entry that takes one of a lower layer away, and that one.
func (s *session) absent(c codec, v *Value, t reflect.Type) {
	s.scratch(c, v, t)
	for o := v.Over; o != nil; o = o.Over {
		s.scratch(c, o, t)
	}
	if v.Over == nil && !s.shadow {
		s.report.Warn(v, Problemf("absent", "no lower layer has this entry, so nothing is taken away"))
	}
}

type mapCodec struct {
	entry reflect.Type
	val   codec
	names *regexp.Regexp
}

func (c *mapCodec) decode(s *session, v *Value, into reflect.Value) {
	if v.Kind != Mapping {
		s.report.At(v, wrongType(v, "a mapping"))
		return
	}
	out := reflect.MakeSlice(into.Type(), len(v.Children), len(v.Children))
	n := 0
	for _, child := range v.Children {
		if c.names != nil && !c.names.MatchString(child.Key) {
			s.report.AtKey(child, Problemf("bad-name", "%q is no name here", child.Key).Hinted("a name matches %s", c.names))
		}
		entry := out.Index(n)
		s.decode(c.val, child.Value, entry.Field(2))
		if child.Kind == Null {
			continue
		}
		entry.Field(0).SetString(child.Key)
		entry.Field(1).Set(reflect.ValueOf(child))
		n++
	}
	into.Set(out.Slice(0, n))
}

type structCodec struct {
	typ    reflect.Type
	fields []fieldCodec
	names  []string
	index  map[string]int
	short  int // the field that a scalar stands for, or -1
}

type fieldCodec struct {
	name, doc string
	index     int
	codec     codec
	required  bool
}

func (c *structCodec) decode(s *session, v *Value, into reflect.Value) {
	if h, ok := into.Addr().Interface().(holder); ok {
		h.put(v)
	}
	switch {
	case v.Kind == Mapping:
		c.mapping(s, v, into)
	case c.short >= 0 && v.IsScalar():
		f := &c.fields[c.short]
		f.codec.decode(s, v, into.Field(f.index))
	default:
		s.report.At(v, wrongType(v, "a mapping"))
	}
}

func (c *structCodec) mapping(s *session, v *Value, into reflect.Value) {
	for _, child := range v.Children {
		i, ok := c.index[child.Key]
		if !ok {
			s.report.AtKey(child, c.unknown(child.Key, into))
			continue
		}
		f := &c.fields[i]
		s.decode(f.codec, child.Value, into.Field(f.index))
	}
	if s.shadow {
		return
	}
	for _, f := range c.fields {
		if had := v.Get(f.name); f.required && (had == nil || had.Kind == Null) {
			s.report.At(v, Problemf("missing-key", "%s is missing", f.name))
		}
	}
}

func (c *structCodec) unknown(key string, into reflect.Value) *Problem {
	if g, ok := into.Addr().Interface().(Guide); ok {
		if p := g.UnknownKey(key); p != nil {
			return p
		}
	}
	p := Problemf("unknown-key", "%q is not known here", key)
	if near := Nearest(key, c.names); near != "" {
		return p.Hinted("did you mean %s?", near)
	}
	return p.Hinted("known are %s", strings.Join(c.names, ", "))
}

func newOf(t reflect.Type) any { return reflect.New(t).Interface() }
