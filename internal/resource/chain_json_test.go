package resource

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestChainJSON(t *testing.T) {
	for _, c := range []struct {
		hook    Hook
		proceed Proceed
		want    string
	}{
		{XDPIngress, XDPIngress.DefaultProceed(), `"proceed-on":["pass"]`},
		{TCEgress, TCEgress.DefaultProceed(), `"proceed-on":["unspec","ok","pipe"]`},
		{XDPIngress, 1<<1 | 1<<9, `"proceed":514`},
		{XDPIngress, 0, `"program":"count"`},
	} {
		chain := Chain{Link: "p0", Hook: c.hook, Label: "edge", Slots: []Slot{{Program: "count", ID: 7, Proceed: c.proceed}, {Program: "b"}}}
		text, err := json.Marshal(Object{Resource: chain, Owner: Ours})
		if err != nil || !strings.Contains(string(text), c.want) {
			t.Errorf("%s, %v, want %s", text, err, c.want)
		}
		var back Object
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.Resource, Resource(chain)) {
			t.Errorf("read back %+v, %v, want %+v", back.Resource, err, chain)
		}
	}
	var earlier Chain
	if err := json.Unmarshal([]byte(`{"link":"p0","hook":"tc-egress","slots":[{"program":"a","proceed":19}]}`), &earlier); err != nil || earlier.Slots[0].Proceed != 19 {
		t.Errorf("what an earlier version wrote is %+v, %v", earlier, err)
	}
}
