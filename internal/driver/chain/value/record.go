package value

import (
	"errors"
	"fmt"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// record is a struct or a union. The members of those in it that have no name
// are its own.
type record struct {
	bytes    int
	fields   []field
	index    map[string]int
	overlaps bool // some fields share bytes
	address  bool // is one: struct in_addr, struct in6_addr
}

// field is a member of a record.
type field struct {
	name  string
	at    int  // in bits
	wide  int  // in bits
	alone bool // shares no bit with another
	shown bool // in the canonical form: of a union only the widest member is
	node  node
	bits  *integer // how the number of a bitfield is stored, else nil
}

func (f field) clashes(o field) bool { return f.at < o.at+o.wide && o.at < f.at+f.wide }

// within are the field's bytes.
func (f field) within(b []byte) []byte { return b[f.at/8 : (f.at+f.wide)/8] }

func (f field) put(b []byte, v resource.Value) error {
	if f.bits == nil {
		return f.node.put(f.within(b), v)
	}
	number := make([]byte, f.bits.bytes)
	if err := f.node.put(number, v); err != nil {
		return err
	}
	storeBits(b, f.at, f.wide, f.bits.load(number))
	return nil
}

func (f field) get(b []byte, want *resource.Value) resource.Value {
	if f.bits == nil {
		return show(f.node, f.within(b), want)
	}
	number := make([]byte, f.bits.bytes)
	f.bits.store(number, loadBits(b, f.at, f.wide))
	return show(f.node, number, want)
}

func (f field) isZero(b []byte) bool {
	if f.bits != nil {
		return loadBits(b, f.at, f.wide) == 0
	}
	return isZero(f.within(b))
}

func (n *record) size() int { return n.bytes }

func (n *record) blank(b []byte) {
	for _, f := range n.fields {
		if f.bits == nil && f.alone {
			f.node.blank(f.within(b))
		}
	}
}

func (n *record) put(b []byte, v resource.Value) error {
	switch {
	case v.Fields != nil:
		return n.putFields(b, v.Fields)
	case v.List != nil:
	case n.address && putAddress(b, v.Text):
		return nil
	case putRaw(b, v.Text):
		return refuseOpaque(n, b)
	}
	return misfit(v, n.takes())
}

// refuseOpaque is for bytes that are given as they are.
func refuseOpaque(n node, b []byte) error {
	set := string(b)
	if n.blank(b); string(b) != set {
		return errors.New("it sets bytes that only programs set, such as a pointer's")
	}
	return nil
}

func (n *record) putFields(b []byte, fields []resource.NamedValue) error {
	var few [16]int
	given := few[:0]
	for _, v := range fields {
		i, ok := n.index[v.Name]
		if !ok {
			return fmt.Errorf("there is no field %s%s; there are %s", brief(resource.Scalar(v.Name)), didYouMean(v.Name, n.names()), listed(n.names()))
		}
		if err := n.clash(given, i); err != nil {
			return err
		}
		given = append(given, i)
		if err := n.fields[i].put(b, v.Value); err != nil {
			return inField(v.Name, err)
		}
	}
	return nil
}

// clash finds a field among those given that leaves no place for another.
func (n *record) clash(given []int, i int) error {
	for _, j := range given {
		switch {
		case i == j:
			return fmt.Errorf("%s is given twice", n.fields[i].name)
		case n.overlaps && n.fields[i].clashes(n.fields[j]):
			return fmt.Errorf("%s and %s share their bytes: one of them may be given", n.fields[j].name, n.fields[i].name)
		}
	}
	return nil
}

func (n *record) names() []string {
	names := make([]string, 0, len(n.fields))
	for _, f := range n.fields {
		if _, ok := f.node.(opaque); !ok {
			names = append(names, f.name)
		}
	}
	return names
}

func (n *record) takes() string {
	text := "a mapping of " + listed(n.names())
	if n.address {
		text += addressOf(n.bytes)
	}
	return text
}

func (n *record) get(b []byte, want *resource.Value) resource.Value {
	if want == nil && n.address {
		v, _ := address(b)
		return v
	}
	if v, ok := likeAddress(b, want); ok && n.address {
		return v
	}
	told := make([]resource.NamedValue, 0, len(n.fields))
	if want == nil || want.Fields == nil {
		for _, f := range n.fields {
			if _, ok := f.node.(opaque); f.shown && !ok {
				told = append(told, resource.NamedValue{Name: f.name, Value: f.get(b, nil)})
			}
		}
		return resource.Value{Fields: told}
	}
	return n.like(b, want.Fields, told)
}

// like tells the fields that want has, and others that are not zero.
func (n *record) like(b []byte, want, told []resource.NamedValue) resource.Value {
	var given []int
	tell := func(i int, want *resource.Value) {
		if n.clash(given, i) == nil {
			given = append(given, i)
			told = append(told, resource.NamedValue{Name: n.fields[i].name, Value: n.fields[i].get(b, want)})
		}
	}
	for _, v := range want {
		if i, ok := n.index[v.Name]; ok {
			tell(i, &v.Value)
		}
	}
	for _, shown := range [...]bool{true, false} { // of a union, what goes with the member that want has
		for i, f := range n.fields {
			if _, ok := f.node.(opaque); f.shown == shown && !ok && !f.isZero(b) {
				tell(i, nil)
			}
		}
	}
	return resource.Value{Fields: told}
}

func didYouMean(word string, names []string) string {
	if near := strict.Nearest(word, names); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}
