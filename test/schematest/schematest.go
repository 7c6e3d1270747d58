// Package schematest is what the tests of generated JSON Schemas share.
//
// It owns neither a schema nor what one says, and imports nothing of ours.
package schematest

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// IsFresh wants a file to hold a schema; with update it is written first.
func IsFresh(t *testing.T, file string, schema []byte, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, schema, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	had, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(had, schema) {
		t.Errorf("%s is stale: run make generate", file)
	}
}

// Schema judges YAML.
type Schema struct{ compiled *jsonschema.Schema }

// Compile reads a schema.
func Compile(t *testing.T, schema []byte) Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return Schema{s}
}

// Accepts says what the schema has against a YAML document; nil for nothing.
func (s Schema) Accepts(t *testing.T, content []byte) error {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	return s.compiled.Validate(doc)
}
