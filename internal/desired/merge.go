package desired

import (
	"reconciler/internal/strict"
)

// merger joins the documents of all files and layers. It works on values, not
// on structs, so that every section merges by the same rules.
type merger struct {
	report *strict.Report
	rank   map[*strict.File]int // the layer of a file, lowest first
	tables map[string]uint32
}

// spot is a place of the document below which there are lists whose items have
// an identity.
type spot struct {
	identity func(*merger, *strict.Value) (identity, bool) // of the items here
	below    map[string]*spot
	each     *spot  // below every key
	agree    bool   // may be set again in one layer, to the same
	differ   string // what makes another item; empty where it is plain
}

func (s *spot) down(key string) *spot {
	switch {
	case s == nil:
		return nil
	case s.each != nil:
		return s.each
	}
	return s.below[key]
}

// merge joins values of one place, lowest layer first.
func (m *merger) merge(at *spot, values []*strict.Value) *strict.Value {
	if len(values) == 1 && at == nil {
		return values[0]
	}
	m.conflicts(at, values)
	first := len(values) - 1
	for first > 0 && joins(at, values[first-1], values[first]) {
		first--
	}
	run := values[first:]
	last := run[len(run)-1]
	out := last
	switch {
	case last.Kind == strict.Mapping:
		out = m.mappings(at, run)
	case last.Kind == strict.List && at != nil && at.identity != nil:
		out = m.lists(at, run)
	}
	for i := first - 1; i >= 0; i-- {
		out = override(values[i], out)
	}
	return out
}

// joins tells whether two values become one; otherwise the later takes the
// place of the earlier.
func joins(at *spot, a, b *strict.Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	return a.Kind == strict.Mapping || a.Kind == strict.List && at != nil && at.identity != nil
}

func (m *merger) conflicts(at *spot, values []*strict.Value) {
	for i := 1; i < len(values); i++ {
		a, b := values[i-1], values[i]
		agreed := at != nil && at.agree && a.Text == b.Text
		if m.rank[a.Pos.File] == m.rank[b.Pos.File] && !joins(at, a, b) && !agreed {
			m.report.At(b, strict.Problemf("set-twice", "this is also set at %s, in the same layer", a.Pos).
				Hinted("set it in one place, or in a later layer"))
		}
	}
}

// override returns a copy of high that has taken the place of low.
func override(low, high *strict.Value) *strict.Value {
	c := *high
	if c.Over == nil {
		c.Over = low
	} else {
		c.Over = override(low, c.Over)
	}
	return &c
}

func (m *merger) mappings(at *spot, values []*strict.Value) *strict.Value {
	last := values[len(values)-1]
	out := *last
	if len(values) == 1 {
		out.Children = append([]strict.Child(nil), last.Children...)
		for i, c := range out.Children {
			if next := at.down(c.Key); next != nil {
				out.Children[i].Value = m.merge(next, []*strict.Value{c.Value})
			}
		}
		return &out
	}
	groups := groupByKey(values)
	out.Children = make([]strict.Child, 0, len(groups))
	for _, g := range groups {
		c := g[len(g)-1]
		c.Value = m.merge(at.down(c.Key), valuesOf(g))
		out.Children = append(out.Children, c)
	}
	return &out
}

// groupByKey gathers the entries of mappings by key, in the order in which
// keys are first seen.
func groupByKey(values []*strict.Value) [][]strict.Child {
	var groups [][]strict.Child
	index := make(map[string]int)
	for _, v := range values {
		for _, c := range v.Children {
			i, ok := index[c.Key]
			if !ok {
				i = len(groups)
				index[c.Key] = i
				groups = append(groups, nil)
			}
			groups[i] = append(groups[i], c)
		}
	}
	return groups
}

func valuesOf(children []strict.Child) []*strict.Value {
	out := make([]*strict.Value, len(children))
	for i, c := range children {
		out[i] = c.Value
	}
	return out
}

// lists joins lists by the identity of their items: a later layer wins.
func (m *merger) lists(at *spot, values []*strict.Value) *strict.Value {
	out := *values[len(values)-1]
	size := 0
	for _, v := range values {
		size += len(v.Children)
	}
	out.Children = make([]strict.Child, 0, size)
	index := make(map[identity]int, size)
	for _, v := range values {
		for _, item := range v.Children {
			id, ok := at.identity(m, item.Value)
			if !ok { // its shape is at fault, which decoding reports
				out.Children = append(out.Children, item)
				continue
			}
			i, had := index[id]
			if !had {
				index[id] = len(out.Children)
				out.Children = append(out.Children, item)
				continue
			}
			m.twice(at, out.Children[i].Value, item.Value)
			out.Children[i].Value = override(out.Children[i].Value, item.Value)
		}
	}
	return &out
}

func (m *merger) twice(at *spot, first, second *strict.Value) {
	if m.rank[first.Pos.File] != m.rank[second.Pos.File] {
		return
	}
	p := strict.Problemf("list-twice", "the same entry is at %s, in the same layer", first.Pos)
	if at.differ != "" {
		p.Hinted("a different %s makes another entry", at.differ)
	}
	m.report.At(second, p)
}

// nameTables notes the names that a document gives to routing tables.
func (m *merger) nameTables(v *strict.Value) {
	if v == nil {
		return
	}
	for _, c := range v.Children {
		if n, ok := numberOf(c.Value); ok {
			m.tables[c.Key] = n
		}
	}
}
