package resource

import "encoding/json"

// A slot is written with the names of the codes that go on, which take the hook
// of its chain to tell. Codes without a name are written as they are kept, and
// what earlier versions wrote is read.

type plainChain Chain

type chainJSON struct {
	plainChain
	Slots []slotJSON `json:"slots,omitempty"`
}

type plainSlot Slot

type slotJSON struct {
	plainSlot
	Proceed   *Proceed `json:"proceed,omitempty"`
	ProceedOn []string `json:"proceed-on,omitempty"`
}

// MarshalJSON names the return codes.
func (c Chain) MarshalJSON() ([]byte, error) {
	out := chainJSON{plainChain: plainChain(c)}
	for _, s := range c.Slots {
		j := slotJSON{plainSlot: plainSlot(s), ProceedOn: c.Hook.names(s.Proceed)}
		if named, _ := c.Hook.ProceedOn(j.ProceedOn...); named != s.Proceed {
			j.Proceed, j.ProceedOn = &s.Proceed, nil
		}
		out.Slots = append(out.Slots, j)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Chain) UnmarshalJSON(b []byte) error {
	var in chainJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*c = Chain(in.plainChain)
	for _, j := range in.Slots {
		s := Slot(j.plainSlot)
		s.Proceed, _ = c.Hook.ProceedOn(j.ProceedOn...)
		if j.Proceed != nil {
			s.Proceed = *j.Proceed
		}
		c.Slots = append(c.Slots, s)
	}
	return nil
}
