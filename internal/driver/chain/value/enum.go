package value

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"reconciler/internal/resource"
)

// enum is an integer some of whose values have names.
type enum struct {
	integer
	names  []string
	values map[string]uint64
}

func newEnum(t *btf.Enum) enum {
	e := enum{
		// Compilers before clang 15 call every enum unsigned.
		integer: integer{bytes: int(t.Size), signed: t.Signed, either: !t.Signed, named: true},
		values:  make(map[string]uint64, len(t.Values)),
	}
	for _, v := range t.Values {
		if _, twice := e.values[v.Name]; !twice {
			e.names = append(e.names, v.Name)
			e.values[v.Name] = v.Value
		}
	}
	return e
}

func (e enum) put(b []byte, v resource.Value) error {
	if v.Fields == nil && v.List == nil {
		if x, ok := e.values[v.Text]; ok && e.holds(x) {
			e.store(b, x)
			return nil
		}
		if x, ok := e.parse(v.Text); ok {
			e.store(b, x)
			return nil
		}
	}
	if v.Fields != nil {
		return e.putWidth(b, v)
	}
	return misfit(v, "one of "+listed(e.names)+", or "+e.takes()+didYouMean(v.Text, e.names))
}

func (e enum) get(b []byte, want *resource.Value) resource.Value {
	if want != nil && (want.Fields != nil || isNumber(want.Text)) {
		return e.integer.get(b, want)
	}
	cut := uint64(1)<<(e.width()-1)<<1 - 1
	x := e.load(b)
	i := slices.IndexFunc(e.names, func(name string) bool { return e.values[name]&cut == x })
	if i < 0 {
		return e.integer.get(b, nil)
	}
	return resource.Scalar(e.names[i])
}

func isNumber(text string) bool {
	_, ok := parseUnsigned(strings.TrimPrefix(text, "-"))
	return ok
}

// mostNames is how many names an error lists.
const mostNames = 12

func listed(names []string) string {
	if len(names) > mostNames {
		return strings.Join(names[:mostNames], ", ") + " and " + strconv.Itoa(len(names)-mostNames) + " more"
	}
	return strings.Join(names, ", ")
}
