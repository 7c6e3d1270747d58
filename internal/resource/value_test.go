package resource

import (
	"encoding/json"
	"testing"
)

// TestValueOutlivesJSON keeps an empty list apart from no list.
func TestValueOutlivesJSON(t *testing.T) {
	for _, v := range []Value{
		{}, Scalar("80"), {List: []Value{}}, {List: []Value{Scalar("1"), {}}},
		{Fields: []NamedValue{}}, {Fields: []NamedValue{{Name: "be16", Value: Scalar("443")}}},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var again Value
		if err := json.Unmarshal(text, &again); err != nil || !again.Equal(v) {
			t.Errorf("%q became %q by %s (%v)", v, again, text, err)
		}
	}
}
