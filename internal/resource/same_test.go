package resource

import (
	"net/netip"
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
