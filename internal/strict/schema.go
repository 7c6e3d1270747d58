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

// Generator collects the definitions that a schema refers to.
type Generator struct{ defs Schema }

// Define describes what Decode accepts, as a reference to a definition. What
// only the whole tree tells (references, identities) is not in it.
func (d *Decoder[T]) Define(g *Generator) Schema { return g.of(d.root) }

// WriteSchema prints a schema as indented JSON; root describes a document.
func WriteSchema(title string, root func(*Generator) Schema) []byte {
	g := &Generator{defs: make(Schema)}
	out := Schema{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "$defs": g.defs}
	maps.Copy(out, root(g))
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		panic("strict: " + err.Error())
	}
	return append(b, '\n')
}

func (g *Generator) of(c codec) Schema { return c.schema(g) }

func (c leafCodec) schema(*Generator) Schema {
	l := newOf(c.typ).(leaf)
	return l.describe(c.rules)
}

func (c pointerCodec) schema(g *Generator) Schema { return g.of(c.elem) }

func (c listCodec) schema(g *Generator) Schema {
	return Schema{"type": "array", "items": g.of(c.elem)}
}

func (c *mapCodec) schema(g *Generator) Schema {
	s := Schema{"type": "object", "additionalProperties": orNull(g.of(c.val))}
	if c.names != nil {
		s["propertyNames"] = Schema{"pattern": c.names.String()}
	}
	return s
}

func (c *structCodec) schema(g *Generator) Schema {
	name := defName(c.typ.Name())
	if _, ok := g.defs[name]; !ok {
		g.defs[name] = Schema{} // cut recursion
		g.defs[name] = c.define(g)
	}
	return Schema{"$ref": "#/$defs/" + name}
}

func (c *structCodec) define(g *Generator) Schema {
	properties := make(Schema)
	var required []string
	for _, f := range c.fields {
		if f.name == "" { // a scalar alone
			continue
		}
		p := g.of(f.codec)
		if f.required {
			required = append(required, f.name)
		} else {
			p = orNull(p)
		}
		if f.doc != "" {
			p = maps.Clone(p)
			p["description"] = f.doc
		}
		properties[f.name] = p
	}
	s := Schema{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	if c.short < 0 {
		return s
	}
	return Schema{"anyOf": []any{s, g.of(c.fields[c.short].codec)}}
}

// orNull lets null stand for a value, which deletes the key.
func orNull(s Schema) Schema {
	s = maps.Clone(s)
	if len(s) == 0 { // anything
		return s
	}
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
		return s
	case []string:
		s["type"] = append(slices.Clone(t), "null")
		return s
	}
	if e, ok := s["enum"].([]any); ok {
		s["enum"] = append(slices.Clone(e), nil)
		return s
	}
	return Schema{"anyOf": []any{s, Schema{"type": "null"}}}
}

var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// defName makes link-sysctl of linkSysctlYAML.
func defName(s string) string {
	s = strings.TrimSuffix(strings.TrimSuffix(s, "YAML"), "Conf")
	return strings.ToLower(camel.ReplaceAllString(s, "$1-$2"))
}
