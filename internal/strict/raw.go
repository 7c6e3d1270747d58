package strict

// Raw is any value of YAML, kept as it is: what it may be is for others to
// say. The zero value is one that is not given.
type Raw struct{ at *Value }

// Given reports whether there is a value.
func (r Raw) Given() bool { return r.at != nil }

// At is the value; nil where it is not given.
func (r Raw) At() *Value { return r.at }

func (r *Raw) read(v *Value, _ *rules) *Problem {
	r.at = v
	return nil
}

func (*Raw) describe(*rules) Schema { return Schema{} }
