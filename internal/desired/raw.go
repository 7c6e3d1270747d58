package desired

import (
	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// maxRawDepth bounds lists and mappings within each other in one key or value.
const maxRawDepth = 8

// raw is a value as it is written; false where it is not given, or at fault.
func (b *builder) raw(r strict.Raw) (resource.Value, bool) {
	if !r.Given() {
		return resource.Value{}, false
	}
	return b.rawValue(r.At(), 1)
}

func (b *builder) rawValue(v *strict.Value, depth int) (resource.Value, bool) {
	switch {
	case v.Kind == strict.Null:
		b.fault(v, "null", "a value is empty").Hinted("write 0 or \"\"")
		return resource.Value{}, false
	case v.IsScalar():
		return resource.Scalar(v.Text), true
	case depth > maxRawDepth:
		b.fault(v, "too-deep", "more than %d levels within each other", maxRawDepth)
		return resource.Value{}, false
	}
	ok := true
	var out resource.Value
	if v.Kind == strict.List {
		out.List = make([]resource.Value, 0, len(v.Children))
	} else {
		out.Fields = make([]resource.NamedValue, 0, len(v.Children))
	}
	for _, c := range v.Children {
		if takenAway(c) {
			continue
		}
		if v.Kind == strict.List && c.Absent() {
			b.fault(c.Value, "absent", "an item of a plain list cannot be taken away").Hinted("write the whole list")
			ok = false
		}
		value, fine := b.rawValue(c.Value, depth+1)
		ok = ok && fine
		if v.Kind == strict.List {
			out.List = append(out.List, value)
		} else {
			out.Fields = append(out.Fields, resource.NamedValue{Name: c.Key, Value: value})
		}
	}
	return out, ok
}

// takenAway is a null that removes a key of a lower layer.
func takenAway(c strict.Child) bool { return c.Kind == strict.Null && c.Over != nil }

// rawText tells keys of a map apart before anything of them is known.
func rawText(v *strict.Value) string {
	quiet := builder{report: new(strict.Report)}
	value, _ := quiet.rawValue(v, 1)
	return value.String()
}
