package strict

import (
	"slices"
	"strings"
	"testing"
)

// loose has what a thing has not: values of any kind, and a short form that
// has no key.
type loose struct {
	Here
	Alone V[string] `short:"true"`
	Key   Raw       `yaml:"key" required:"true"`
	Maybe Raw       `yaml:"maybe"`
	All   Map[Raw]  `yaml:"all"`
}

func TestRaw(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		faults     []string
	}{
		{"key: 7", "number", nil},
		{"key: [1, {a: b}]", "list", nil},
		{"key: {a: {b: c}}", "mapping", nil},
		{"maybe: x", "", []string{"missing-key"}},
		{"key: x\nmaybe: ~", "string", []string{"null"}},
		{"key: ~", "", []string{"missing-key", "null"}},
		{"key: x\n\"\": y", "string", []string{"unknown-key"}},
		{"key: x\nall: {a: [1], b: {c: d}}", "string", nil},
	} {
		r := new(Report)
		doc := NewReader(r).Read(&File{Name: "f"}, []byte(tt.text))[0]
		got := NewDecoder[loose]().Decode(doc, r)
		var codes []string
		for _, f := range r.Faults(doc) {
			codes = append(codes, f.Code)
		}
		slices.Sort(codes)
		if !slices.Equal(codes, tt.faults) {
			t.Errorf("%q: got %v, want %v", tt.text, codes, tt.faults)
		}
		if got.Key.Given() != (tt.want != "") || got.Key.Given() && !strings.HasSuffix(got.Key.At().Kind.String(), tt.want) {
			t.Errorf("%q: key is %+v", tt.text, got.Key.At())
		}
	}
}

func TestShortFormWithoutAKey(t *testing.T) {
	r := new(Report)
	doc := NewReader(r).Read(&File{Name: "f"}, []byte("a: word"))[0]
	got := NewDecoder[loose]().Decode(doc.Get("a"), r)
	if got.Alone.Val != "word" || r.Failed() {
		t.Errorf("got %+v, %v", got, r.Faults(doc))
	}
	schema := string(WriteSchema("loose", NewDecoder[loose]().Define))
	for _, want := range []string{`"anyOf"`, `"key": {}`, `"maybe": {}`} {
		if !strings.Contains(schema, want) {
			t.Errorf("no %s in %s", want, schema)
		}
	}
	if strings.Contains(schema, `"": `) {
		t.Errorf("a key without a name in %s", schema)
	}
}
