package diff

import (
	"encoding/json"
	"fmt"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// planVersion is the version of a plan's JSON. A plan of another version is
// refused, as a field that is not understood may be the one that matters.
const planVersion = 1

type planJSON struct {
	Version  int              `json:"version"`
	InSync   bool             `json:"in-sync"`
	Counts   Counts           `json:"counts"`
	Observed string           `json:"observed"`
	Ops      []opJSON         `json:"ops"`
	Notes    []Note           `json:"notes"`
	Blind    []observed.Blind `json:"blind"`
	Left     []observed.Tally `json:"left"`
}

type opJSON struct {
	Verb       Verb              `json:"verb"`
	Key        resource.Key      `json:"key"`
	From       *resource.Object  `json:"from,omitempty"`
	To         *resource.Object  `json:"to,omitempty"`
	Owner      resource.Owner    `json:"owner"`
	Fields     []resource.Change `json:"fields,omitempty"`
	DependsOn  []int             `json:"depends-on,omitempty"`
	Origin     string            `json:"origin,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Details    []string          `json:"details,omitempty"`
	Effects    []string          `json:"effects,omitempty"`
	Disruption string            `json:"disruption,omitempty"`
	Restores   bool              `json:"restores,omitempty"`
	Takes      []resource.Key    `json:"takes,omitempty"`
}

// MarshalJSON writes a plan whole: it can be read back and applied.
func (p Plan) MarshalJSON() ([]byte, error) {
	j := planJSON{
		Version: planVersion, InSync: p.InSync(), Counts: Count(p), Observed: p.Observed,
		Ops: make([]opJSON, 0, len(p.Ops)), Notes: append([]Note{}, p.Notes...),
		Blind: append([]observed.Blind{}, p.Blind...), Left: append([]observed.Tally{}, p.Left...),
	}
	for _, op := range p.Ops {
		j.Ops = append(j.Ops, opJSON{
			op.Verb, op.Key, wrap(op.From), wrap(op.To), op.Owner, op.Fields, op.After,
			op.Origin, op.Reason, op.Details, op.Effects, op.Disruption, op.Restores, op.Takes,
		})
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. An operation may depend only on
// those before it.
func (p *Plan) UnmarshalJSON(b []byte) error {
	var j planJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	if j.Version != planVersion {
		return fmt.Errorf("read plan: version %d is not known to this build, which reads %d", j.Version, planVersion)
	}
	*p = Plan{Observed: j.Observed, Notes: j.Notes, Blind: j.Blind, Left: j.Left}
	for i, o := range j.Ops {
		op, err := o.op(i)
		if err != nil {
			return fmt.Errorf("read plan: operation %d: %w", i, err)
		}
		p.Ops = append(p.Ops, op)
	}
	return nil
}

// op is the operation at index i, if it makes sense.
func (o opJSON) op(i int) (Op, error) {
	op := Op{
		Verb: o.Verb, Key: o.Key, From: unwrap(o.From), To: unwrap(o.To), Owner: o.Owner, Fields: o.Fields,
		After: o.DependsOn, Origin: o.Origin, Reason: o.Reason, Details: o.Details, Effects: o.Effects, Disruption: o.Disruption, Restores: o.Restores, Takes: o.Takes,
	}
	for _, a := range op.After {
		if a < 0 || a >= i {
			return Op{}, fmt.Errorf("%s depends on operation %d, which is not before it", op.Key, a)
		}
	}
	if wantsFrom, wantsTo := op.Verb != Create, op.Verb != Delete; wantsFrom != (op.From != nil) || wantsTo != (op.To != nil) {
		return Op{}, fmt.Errorf("%s %s: from and to do not fit the verb", op.Verb, op.Key)
	}
	for _, r := range []resource.Resource{op.From, op.To} {
		if r != nil && r.Key() != op.Key {
			return Op{}, fmt.Errorf("%s %s: its object is %s", op.Verb, op.Key, r.Key())
		}
	}
	return op, nil
}

func wrap(r resource.Resource) *resource.Object {
	if r == nil {
		return nil
	}
	return &resource.Object{Resource: r}
}

func unwrap(o *resource.Object) resource.Resource {
	if o == nil {
		return nil
	}
	return o.Resource
}

// MarshalText writes a Verb by its name.
func (v Verb) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Verb) UnmarshalText(b []byte) error {
	for c := Create; c <= Delete; c++ {
		if c.String() == string(b) {
			*v = c
			return nil
		}
	}
	return fmt.Errorf("read verb: %q is none of create, update, replace, delete", b)
}
