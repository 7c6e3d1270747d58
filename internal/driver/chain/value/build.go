package value

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// Objects come from strangers, and so does their BTF.
const (
	deepest     = 32   // types within each other
	mostMembers = 4096 // of all records
)

// orders are the typedefs that say how the bytes of an integer are stored.
var orders = map[string]order{
	"__be16": big, "__be32": big, "__be64": big,
	"__le16": little, "__le32": little, "__le64": little,
}

// builder makes nodes of types, each once.
type builder struct {
	limit   int // of a type, in bytes
	depth   int
	members int
	made    map[btf.Type]node
}

func newBuilder(limit int) *builder {
	return &builder{limit: limit, made: make(map[btf.Type]node)}
}

func (b *builder) build(t btf.Type) (node, error) {
	if b.depth++; b.depth > deepest {
		return nil, errors.New("types stand too deep within each other")
	}
	defer func() { b.depth-- }()
	bare, order := strip(t)
	switch t := bare.(type) {
	case *btf.Int:
		return newInteger(t, order), nil
	case *btf.Enum:
		if !isWord(int(t.Size)) {
			return nil, fmt.Errorf("the enum %s is %d bytes wide", t.Name, t.Size)
		}
		return newEnum(t), nil
	case *btf.Float:
		return blob{bytes: int(t.Size), is: "a float"}, nil
	case *btf.Pointer:
		return opaque{8, "pointer"}, nil
	case *btf.Array:
		return b.array(t)
	case *btf.Struct:
		return b.record(t, int(t.Size), t.Members, false)
	case *btf.Union:
		return b.record(t, int(t.Size), t.Members, true)
	}
	return nil, fmt.Errorf("a %s has no bytes that could be written", typeName(t))
}

// strip takes off names and qualifiers. The last of those that is left is not
// one that can be built when they never end.
func strip(t btf.Type) (btf.Type, order) {
	o := native
	for range deepest {
		switch x := t.(type) {
		case *btf.Typedef:
			if found, ok := orders[x.Name]; ok {
				o = found
			}
			t = x.Type
		case *btf.Const:
			t = x.Type
		case *btf.Volatile:
			t = x.Type
		case *btf.Restrict:
			t = x.Type
		case *btf.TypeTag:
			t = x.Type
		case *btf.Var:
			t = x.Type
		default:
			return t, o
		}
	}
	return t, o
}

func isVoid(t btf.Type) bool {
	_, ok := t.(*btf.Void)
	return ok
}

func newInteger(t *btf.Int, o order) node {
	if !isWord(int(t.Size)) {
		return blob{bytes: int(t.Size)}
	}
	return integer{bytes: int(t.Size), order: o, signed: t.Encoding == btf.Signed && !isChar(t), either: isChar(t), truth: t.Encoding == btf.Bool}
}

// isChar tells the type of texts; those of small numbers have other names.
func isChar(t *btf.Int) bool {
	return t.Size == 1 && (t.Name == "char" || t.Encoding == btf.Char)
}

func (b *builder) array(t *btf.Array) (node, error) {
	item, err := b.build(t.Type)
	if err != nil {
		return nil, err
	}
	count, size := int64(t.Nelems), int64(item.size())
	if count*size > int64(b.limit) {
		return nil, fmt.Errorf("an array of %d bytes stands in a type of %d", count*size, b.limit)
	}
	if count*size == 0 {
		return blob{}, nil
	}
	if o, ok := item.(opaque); ok {
		return opaque{int(count * size), o.what}, nil
	}
	bare, _ := strip(t.Type)
	number, ok := bare.(*btf.Int)
	unsigned := ok && number.Encoding == btf.Unsigned
	if ok && size == 1 && (unsigned || isChar(number)) {
		return blob{bytes: int(count), text: isChar(number)}, nil
	}
	return array{item: item, count: int(count), addresses: unsigned}, nil
}

func (b *builder) record(t btf.Type, size int, members []btf.Member, union bool) (node, error) {
	if n, ok := b.made[t]; ok {
		return n, nil
	}
	if isSpecial(t.TypeName()) {
		return opaque{size, t.TypeName()}, nil
	}
	if size > b.limit {
		return nil, fmt.Errorf("%s of %d bytes stands in a type of %d", typeName(t), size, b.limit)
	}
	n := &record{bytes: size, index: make(map[string]int)}
	if err := b.addMembers(n, members, 0, union); err != nil {
		return nil, fmt.Errorf("%s: %w", typeName(t), err)
	}
	n.address = t.TypeName() == "in_addr" && size == 4 || t.TypeName() == "in6_addr" && size == 16
	n.findOverlaps()
	b.made[t] = n
	return n, nil
}

// addMembers adds the members of a record, or of one without a name in it that
// begins at some bit.
func (b *builder) addMembers(n *record, members []btf.Member, at int, union bool) error {
	widest, width := -1, -1
	type span struct{ from, to int }
	var added []span
	for _, m := range members {
		if b.members++; b.members > mostMembers {
			return fmt.Errorf("more than %d members", mostMembers)
		}
		from := len(n.fields)
		wide, err := b.addMember(n, m, at+int(m.Offset))
		if err != nil {
			return err
		}
		if wide > width && !n.opaque(from) {
			widest, width = len(added), wide
		}
		added = append(added, span{from, len(n.fields)})
	}
	for i, s := range added {
		for j := s.from; union && i != widest && j < s.to; j++ {
			n.fields[j].shown = false
		}
	}
	return nil
}

// opaque tells whether a field that was added cannot be written.
func (n *record) opaque(i int) bool {
	if i >= len(n.fields) {
		return false
	}
	_, ok := n.fields[i].node.(opaque)
	return ok
}

// addMember reports how many bits the member has.
func (b *builder) addMember(n *record, m btf.Member, at int) (wide int, err error) {
	if m.Name == "" {
		bare, _ := strip(m.Type)
		switch t := bare.(type) {
		case *btf.Struct:
			return 8 * int(t.Size), b.deeper(n, t.Members, at, false)
		case *btf.Union:
			return 8 * int(t.Size), b.deeper(n, t.Members, at, true)
		}
		return 0, nil // padding
	}
	f := field{name: m.Name, at: at, shown: true}
	if f.node, err = b.build(m.Type); err != nil {
		return 0, inField(m.Name, err)
	}
	if f.wide = 8 * f.node.size(); m.BitfieldSize > 0 {
		if err := f.cut(int(m.BitfieldSize)); err != nil {
			return 0, inField(m.Name, err)
		}
	} else if at%8 != 0 {
		return 0, inField(m.Name, errors.New("it does not begin at a byte"))
	}
	if at < 0 || at+f.wide > 8*n.bytes {
		return 0, inField(m.Name, errors.New("it goes beyond the end"))
	}
	if _, twice := n.index[m.Name]; twice {
		return 0, inField(m.Name, errors.New("two fields have this name"))
	}
	n.index[m.Name] = len(n.fields)
	n.fields = append(n.fields, f)
	return f.wide, nil
}

// deeper goes into a member without a name.
func (b *builder) deeper(n *record, members []btf.Member, at int, union bool) error {
	if b.depth++; b.depth > deepest {
		return errors.New("types stand too deep within each other")
	}
	defer func() { b.depth-- }()
	return b.addMembers(n, members, at, union)
}

// cut makes the field a bitfield.
func (f *field) cut(bits int) error {
	var number integer
	switch n := f.node.(type) {
	case integer:
		n.bits = bits
		f.node, number = n, n
	case enum:
		n.bits = bits
		f.node, number = n, n.integer
	default:
		return errors.New("it is a bitfield of what is no integer")
	}
	if bits > 8*number.bytes || number.order != native {
		return fmt.Errorf("%d bits of an integer of %d bytes", bits, number.bytes)
	}
	f.wide, f.bits = bits, &number
	return nil
}

func (n *record) findOverlaps() {
	for i := range n.fields {
		f := &n.fields[i]
		f.alone = true
		for j, o := range n.fields {
			if i != j && f.clashes(o) {
				f.alone, n.overlaps = false, true
				break
			}
		}
	}
}

// typeName is a type's name for errors, with the word that C has before it.
func typeName(t btf.Type) string {
	bare, _ := strip(t)
	kind := "type"
	switch bare.(type) {
	case *btf.Struct:
		kind = "struct"
	case *btf.Union:
		kind = "union"
	case *btf.Int, *btf.Enum, *btf.Float:
		return bare.TypeName()
	case nil:
		return "nothing"
	default:
		return fmt.Sprintf("%T", bare)[len("*btf."):]
	}
	if bare.TypeName() == "" {
		return kind + " without a name"
	}
	return kind + " " + bare.TypeName()
}
