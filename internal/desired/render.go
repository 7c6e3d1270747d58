package desired

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"reconciler/internal/strict"
)

// Merged is the merged document with the layer and position of each value.
type Merged struct {
	root    *strict.Value
	layered bool
}

// YAML prints the merged document. What a later layer took away is not in it.
// With explain the layer and file:line stand beside each value.
func (m *Merged) YAML(explain bool) ([]byte, error) {
	r := renderer{explain: explain, layered: m.layered}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(r.node(m.root)); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return out.Bytes(), nil
}

type renderer struct{ explain, layered bool }

func (r renderer) node(v *strict.Value) *yaml.Node {
	switch v.Kind {
	case strict.Mapping:
		return r.mapping(v)
	case strict.List:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, c := range v.Children {
			if !c.Absent() && c.Kind != strict.Null {
				n.Content = append(n.Content, r.node(c.Value))
			}
		}
		n.Style = emptyStyle(n)
		return n
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: v.Text, Tag: tags[v.Kind]}
	if v.Quoted {
		n.Style = yaml.DoubleQuotedStyle
	}
	if r.explain {
		n.LineComment = r.origin(v)
	}
	return n
}

func (r renderer) mapping(v *strict.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, c := range v.Children {
		if c.Kind == strict.Null {
			continue
		}
		key := &yaml.Node{}
		key.SetString(c.Key)
		n.Content = append(n.Content, key, r.node(c.Value))
	}
	n.Style = emptyStyle(n)
	return n
}

// emptyStyle prints what holds nothing as [] or {}.
func emptyStyle(n *yaml.Node) yaml.Style {
	if len(n.Content) == 0 {
		return yaml.FlowStyle
	}
	return 0
}

var tags = map[strict.Kind]string{
	strict.Bool: "!!bool", strict.Int: "!!int", strict.Float: "!!float", strict.String: "!!str", strict.Null: "!!null",
}

func (r renderer) origin(v *strict.Value) string {
	at := v.Pos.String()
	layer := v.Pos.File.Layer
	if !r.layered || layer == "" {
		return at
	}
	return layer + ": " + strings.TrimPrefix(at, layer+"/")
}
