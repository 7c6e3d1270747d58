package value

import (
	"strings"
	"testing"
)

func TestNumbersInValues(t *testing.T) {
	codec := valueOf(t, zoo(t).Maps["zoo"])
	b, err := codec.Encode(parse(t, everything))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]float64{
		"small": 7, "cold": -7, "count": 18446744073709551615, "debt": -5, "limit": 1000,
		"action": 7, "level": 5, "rest": 16777215, "either.number": 65537, "flow.dport": 65535,
	} {
		n, err := codec.Number(field)
		if err != nil {
			t.Errorf("%s: %v", field, err)
			continue
		}
		if got := n.Of(b); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	for field, want := range map[string]string{
		"":            "it is a struct",
		"smal":        "did you mean small?",
		"name":        "it is no integer",
		"small.other": "the value has no fields",
		"flow":        "it is a struct",
	} {
		if _, err := codec.Number(field); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", field, err, want)
		}
	}
	if n, err := Plain(8).Number(""); err != nil || n.Of([]byte{1, 0, 0, 0, 0, 0, 0, 0}) != 1 && littleEndian {
		t.Errorf("a plain word: %v", err)
	}
	if _, err := Plain(8).Number("packets"); err == nil {
		t.Error("a plain word has no fields")
	}
}
