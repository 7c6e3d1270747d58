package strict

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"gopkg.in/yaml.v3"
)

// Bounds of what is read. They are checked before anything is decoded.
const (
	MaxFile  = 1 << 20 // bytes of a file
	MaxTree  = 8 << 20 // bytes of all files
	MaxFiles = 2000
	MaxDepth = 32      // mappings and lists within each other
	MaxNodes = 1 << 20 // values of all files, with aliases expanded
)

// Reader reads files within the bounds of one tree.
type Reader struct {
	report *Report
	nodes  int
	full   bool
}

// NewReader returns a Reader that reports to r.
func NewReader(r *Report) *Reader { return &Reader{report: r} }

// Read returns the documents of a file, each a mapping; empty ones are left
// out. What is wrong is reported, and the documents before it are returned.
func (r *Reader) Read(f *File, content []byte) []*Value {
	start := Pos{f, 1, 1}
	if len(content) > MaxFile {
		r.report.AtPos(start, Problemf("too-large", "the file has %d bytes, more than %d", len(content), MaxFile))
		return nil
	}
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		r.report.NoYAML(start, Problemf("bad-byte", "the file is in UTF-16").Hinted("save it as UTF-8"))
		return nil
	}
	var out []*Value
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			pos, problem := explain(f, content, err)
			r.report.NoYAML(pos, problem)
			return out
		}
		if v := r.document(f, &doc); v != nil {
			out = append(out, v)
		}
	}
}

func (r *Reader) document(f *File, doc *yaml.Node) *Value {
	if len(doc.Content) == 0 || isEmpty(doc.Content[0]) {
		return nil
	}
	b := builder{Reader: r, file: f}
	v := b.value(doc.Content[0], 1)
	if v == nil {
		return nil
	}
	if v.Kind != Mapping {
		r.report.At(v, Problemf("wrong-type", "a document is a mapping of sections, this is %s", v.Kind).
			Hinted("begin with version: 1"))
		return nil
	}
	return v
}

func isEmpty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// builder turns the nodes of one document into values.
type builder struct {
	*Reader
	file *File
	open []*yaml.Node // anchored nodes being read, outermost first
	slab []Value
}

func (b *builder) pos(n *yaml.Node) Pos { return Pos{b.file, int32(n.Line), int32(n.Column)} }

func (b *builder) alloc() *Value {
	if len(b.slab) == 0 {
		b.slab = make([]Value, 256)
	}
	v := &b.slab[0]
	b.slab = b.slab[1:]
	return v
}

// value converts a node, or returns nil where a bound is met.
func (b *builder) value(n *yaml.Node, depth int) *Value {
	if b.full {
		return nil
	}
	if b.nodes++; b.nodes > MaxNodes {
		b.full = true
		b.report.AtPos(b.pos(n), Problemf("too-many-values", "more than %d values, aliases expanded", MaxNodes).
			Hinted("split the tree, or use fewer aliases"))
		return nil
	}
	if depth > MaxDepth {
		b.report.AtPos(b.pos(n), Problemf("too-deep", "more than %d levels within each other", MaxDepth))
		return nil
	}
	if n.Anchor != "" {
		b.open = append(b.open, n)
		defer func() { b.open = b.open[:len(b.open)-1] }()
	}
	switch n.Kind {
	case yaml.AliasNode:
		return b.alias(n, depth)
	case yaml.MappingNode:
		return b.mapping(n, depth)
	case yaml.SequenceNode:
		return b.list(n, depth)
	}
	return b.scalar(n)
}

func (b *builder) alias(n *yaml.Node, depth int) *Value {
	if slices.Contains(b.open, n.Alias) {
		b.report.AtPos(b.pos(n), Problemf("alias-cycle", "*%s stands within what it names", n.Value))
		return nil
	}
	return b.value(n.Alias, depth)
}

func (b *builder) list(n *yaml.Node, depth int) *Value {
	v := b.alloc()
	*v = Value{Kind: List, Pos: b.pos(n), Children: make([]Child, 0, len(n.Content))}
	for _, item := range n.Content {
		if c := b.value(item, depth+1); c != nil {
			v.Children = append(v.Children, Child{Value: c})
		}
	}
	return v
}

func (b *builder) scalar(n *yaml.Node) *Value {
	v := b.alloc()
	*v = Value{Kind: String, Pos: b.pos(n), Text: n.Value, Quoted: n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0}
	switch n.Tag {
	case "!!null":
		v.Kind = Null
	case "!!bool":
		v.Kind = Bool
	case "!!int":
		v.Kind = Int
	case "!!float":
		v.Kind = Float
	case "!!str", "!!timestamp", "!!merge":
	default:
		b.report.At(v, Problemf("unknown-tag", "the tag %s means nothing here", n.Tag).Hinted("leave it out"))
	}
	return v
}

func (b *builder) mapping(n *yaml.Node, depth int) *Value {
	m := mappingBuilder{builder: b, value: b.alloc()}
	*m.value = Value{Kind: Mapping, Pos: b.pos(n), Children: make([]Child, 0, len(n.Content)/2)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		m.entry(n.Content[i], n.Content[i+1], depth)
	}
	for _, from := range m.merged {
		m.merge(from)
	}
	return m.value
}

type mappingBuilder struct {
	*builder
	value  *Value
	index  map[string]int // of a long mapping; a short one is searched
	merged []*Value       // mappings under the key <<
}

const longMapping = 16

func (m *mappingBuilder) find(key string) (int, bool) {
	if m.index != nil {
		i, ok := m.index[key]
		return i, ok
	}
	for i := range m.value.Children {
		if m.value.Children[i].Key == key {
			return i, true
		}
	}
	return 0, false
}

func (m *mappingBuilder) add(c Child) {
	m.value.Children = append(m.value.Children, c)
	n := len(m.value.Children)
	switch {
	case m.index != nil:
		m.index[c.Key] = n - 1
	case n > longMapping:
		m.index = make(map[string]int, 2*n)
		for i, c := range m.value.Children {
			m.index[c.Key] = i
		}
	}
}

func (m *mappingBuilder) entry(key, value *yaml.Node, depth int) {
	pos := m.pos(key)
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode || key.Tag == "!!null" {
		m.report.AtPos(pos, Problemf("bad-key", "a key is one word, this is something else"))
		return
	}
	v := m.builder.value(value, depth+1)
	if v == nil {
		return
	}
	if key.Tag == "!!merge" {
		m.merged = append(m.merged, v)
		return
	}
	c := Child{Key: key.Value, KeyPos: pos, Value: v}
	if i, ok := m.find(key.Value); ok {
		m.duplicate(m.value.Children[i], c)
		return
	}
	m.add(c)
}

// duplicate keeps the second value as one without effect, so that its own
// faults are found as well.
func (m *mappingBuilder) duplicate(first, second Child) {
	m.report.AtKey(second, Problemf("duplicate-key", "%q is given twice in one mapping, first at %d:%d",
		second.Key, first.KeyPos.Line, first.KeyPos.Column))
	second.Over, first.Over = first.Over, second.Value
}

// merge takes over the entries of a mapping, or of a list of them, that stands
// under the key <<; what is written out wins.
func (m *mappingBuilder) merge(from *Value) {
	switch from.Kind {
	case Mapping:
		for _, c := range from.Children {
			if _, ok := m.find(c.Key); !ok {
				m.add(c)
			}
		}
	case List:
		for _, c := range from.Children {
			m.merge(c.Value)
		}
	default:
		m.report.At(from, Problemf("wrong-type", "<< takes a mapping or a list of them, this is %s", from.Kind))
	}
}
