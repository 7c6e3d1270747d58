package strict

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Schema is a JSON Schema, draft 2020-12.
type Schema map[string]any

// Schema describes what Decode accepts, as indented JSON. What only the whole
// tree tells (references, identities) is not in it.
func (d *Decoder[T]) Schema(title string) []byte {
	g := &generator{defs: make(Schema)}
	root := g.of(d.root)
	out := Schema{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "$defs": g.defs}
	maps.Copy(out, root)
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		panic("strict: " + err.Error())
	}
	return append(b, '\n')
}

// generator collects the definitions of structs, which may refer to each
// other.
type generator struct{ defs Schema }

func (g *generator) of(c codec) Schema { return c.schema(g) }

func (c leafCodec) schema(*generator) Schema {
	l := newOf(c.typ).(leaf)
	return l.describe(c.rules)
}

func (c pointerCodec) schema(g *generator) Schema { return g.of(c.elem) }

func (c listCodec) schema(g *generator) Schema {
	return Schema{"type": "array", "items": g.of(c.elem)}
}

func (c *mapCodec) schema(g *generator) Schema {
	s := Schema{"type": "object", "additionalProperties": orNull(g.of(c.val))}
	if c.names != nil {
		s["propertyNames"] = Schema{"pattern": c.names.String()}
	}
	return s
}

func (c *structCodec) schema(g *generator) Schema {
	name := defName(c.typ.Name())
	if _, ok := g.defs[name]; !ok {
		g.defs[name] = Schema{} // cut recursion
		g.defs[name] = c.define(g)
	}
	return Schema{"$ref": "#/$defs/" + name}
}

func (c *structCodec) define(g *generator) Schema {
	properties := make(Schema)
	var required []string
	for _, f := range c.fields {
		p := orNull(g.of(f.codec))
		if f.doc != "" {
			p["description"] = f.doc
		}
		properties[f.name] = p
		if f.required {
			required = append(required, f.name)
		}
	}
	s := Schema{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	if c.short < 0 {
		return s
	}
	return Schema{"anyOf": []any{g.of(c.fields[c.short].codec), s}}
}

// orNull lets null stand for a value, which deletes the key.
func orNull(s Schema) Schema {
	s = maps.Clone(s)
	if t, ok := s["type"].(string); ok {
		s["type"] = []string{t, "null"}
		return s
	}
	if e, ok := s["enum"].([]any); ok {
		s["enum"] = append(slices.Clone(e), nil)
		return s
	}
	return Schema{"anyOf": []any{s, Schema{"type": "null"}}}
}

var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

func defName(s string) string { return strings.ToLower(camel.ReplaceAllString(s, "$1-$2")) }
