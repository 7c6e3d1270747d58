package resource

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestSameSeesEveryDetail(t *testing.T) {
	link := Link{Name: "eth0", Policy: LinkPolicy{Exact: []Kind{KindRoute}}, Seen: Seen{Index: 7}}
	other := link
	other.Seen.Index = 8
	addr := Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.1/24")}
	secondary := addr
	secondary.Secondary = true
	route := Route{To: netip.MustParsePrefix("0.0.0.0/0"), Hops: []NextHop{{Dev: "eth0"}}}
	elsewhere := route
	elsewhere.Hops = []NextHop{{Dev: "eth1"}}
	adopted := route
	adopted.Adopt = true

	set := func(objects ...Object) *Set {
		s := NewSet(len(objects))
		for _, o := range objects {
			s.Put(o)
		}
		return s
	}
	all := set(Object{Resource: link}, Object{Resource: addr}, Object{Resource: route, Owner: Ours})
	if !all.Same(all.Clone()) {
		t.Error("a set is not the same as its clone")
	}
	if !new(Set).Same(nil) {
		t.Error("empty sets are not the same")
	}
	for _, o := range []Object{
		{Resource: other}, {Resource: secondary}, {Resource: elsewhere, Owner: Ours}, {Resource: adopted, Owner: Ours},
		{Resource: route, Owner: Foreign}, {Resource: addr, Origin: "dhcp"}, {Resource: Port{Link: "eth0"}},
	} {
		changed := all.Clone()
		changed.Put(o)
		if all.Same(changed) || changed.Same(all) {
			t.Errorf("%s: the same with %+v in it", o.Key(), o)
		}
	}
}

// A field that is added to a kind must be compared too.
func TestSameSeesEveryField(t *testing.T) {
	for _, r := range []Resource{Link{}, Address{}, Route{}, Rule{}, Neighbour{}, Port{}, Sysctl{}} {
		if !(Object{Resource: r}).Same(Object{Resource: r}) {
			t.Errorf("%T: not the same as itself", r)
		}
		changed := reflect.New(reflect.TypeOf(r)).Elem()
		eachField(changed, reflect.TypeOf(r).Name(), func(path string) {
			o := Object{Resource: changed.Interface().(Resource)}
			if o.Same(Object{Resource: r}) || (Object{Resource: r}).Same(o) {
				t.Errorf("%s: the same though it differs", path)
			}
		})
	}
}

// eachField calls f with each exported leaf of a struct set, one at a time.
func eachField(v reflect.Value, path string, f func(path string)) {
	if isLeaf := v.Kind() != reflect.Struct || v.NumField() == 0 || !v.Type().Field(0).IsExported(); !isLeaf {
		for i := range v.NumField() {
			eachField(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
		return
	}
	if set := notZero(v.Type()); set.IsValid() {
		v.Set(set)
		f(path)
		v.SetZero()
	}
}

func notZero(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		*x = netip.IPv6Loopback()
		return v
	case *netip.Prefix:
		*x = netip.MustParsePrefix("::/0")
		return v
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(t, 1, 1))
	case v.Kind() == reflect.Array:
		v.Index(0).SetUint(1)
	default: // an Opt
		if err := v.Addr().Interface().(interface{ UnmarshalJSON([]byte) error }).UnmarshalJSON(zeroJSON(t)); err != nil {
			panic(err)
		}
	}
	return v
}

// zeroJSON is the zero of an Opt's value.
func zeroJSON(t reflect.Type) []byte {
	switch t.Field(0).Type.Kind() {
	case reflect.Bool:
		return []byte("false")
	case reflect.String:
		return []byte(`""`)
	}
	return []byte("0")
}
