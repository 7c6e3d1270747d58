package resource

import (
	"encoding/json"
	"strings"
)

// Value is a key, a value or a constant of a program as it is written: a
// scalar, a list or a mapping. What it means, the type tells that it is read
// into.
type Value struct {
	Text   string       `json:"text,omitempty"`  // of a scalar
	List   []Value      `json:"list,omitzero"`   // nil for none; empty for an empty list
	Fields []NamedValue `json:"fields,omitzero"` // in the order in which they are written
}

// NamedValue is a field of a mapping, or a constant.
type NamedValue struct {
	Name  string `json:"name"`
	Value Value  `json:"value"`
}

// Scalar is a value that is one text.
func Scalar(text string) Value { return Value{Text: text} }

// String prints a value in YAML's flow style.
func (v Value) String() string {
	var b strings.Builder
	v.write(&b)
	return b.String()
}

func (v Value) write(b *strings.Builder) {
	switch {
	case v.Fields != nil:
		b.WriteByte('{')
		for i, f := range v.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(f.Name + ": ")
			f.Value.write(b)
		}
		b.WriteByte('}')
	case v.List != nil:
		b.WriteByte('[')
		for i, item := range v.List {
			if i > 0 {
				b.WriteString(", ")
			}
			item.write(b)
		}
		b.WriteByte(']')
	default:
		b.WriteString(v.Text)
	}
}

// Equal reports that two values are written the same way.
func (v Value) Equal(o Value) bool { return v.String() == o.String() }

// Blob is the content of a file that came with the tree. It is told by its
// digest; JSON holds no more than that.
type Blob struct {
	SHA256 string
	Bytes  []byte
}

// MarshalJSON writes the digest.
func (b *Blob) MarshalJSON() ([]byte, error) { return json.Marshal(b.SHA256) }

// UnmarshalJSON reads the digest; the bytes are to be had elsewhere.
func (b *Blob) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &b.SHA256) }
