package value

import (
	"fmt"

	"reconciler/internal/resource"
)

// array is a list of which the last items may be missing.
type array struct {
	item      node // not of size 0
	count     int
	addresses bool // takes an address that is as wide
}

func (n array) size() int { return n.count * n.item.size() }

func (n array) blank(b []byte) {
	for i := range n.count {
		n.item.blank(n.at(b, i))
	}
}

func (n array) at(b []byte, i int) []byte {
	size := n.item.size()
	return b[i*size : (i+1)*size]
}

func (n array) put(b []byte, v resource.Value) error {
	switch {
	case len(v.List) > n.count:
		return fmt.Errorf("%d items are given, but %d fit", len(v.List), n.count)
	case v.List != nil:
		for i, item := range v.List {
			if err := n.item.put(n.at(b, i), item); err != nil {
				return inItem(i, err)
			}
		}
		return nil
	case v.Fields == nil && n.addresses && putAddress(b, v.Text):
		return nil
	case v.Fields == nil && putRaw(b, v.Text):
		return refuseOpaque(n, b)
	}
	return misfit(v, n.takes())
}

func (n array) takes() string {
	text := fmt.Sprintf("a list of up to %d items", n.count)
	if n.addresses {
		text += addressOf(n.size())
	}
	return text
}

func (n array) get(b []byte, want *resource.Value) resource.Value {
	var like []resource.Value
	if want != nil {
		if v, ok := likeAddress(b, want); ok && n.addresses {
			return v
		}
		like = want.List[:min(len(want.List), n.count)]
	}
	count := n.count
	for count > len(like) && isZero(n.at(b, count-1)) {
		count--
	}
	list := make([]resource.Value, count)
	for i := range list {
		if i < len(like) {
			list[i] = show(n.item, n.at(b, i), &like[i])
		} else {
			list[i] = n.item.get(n.at(b, i), nil)
		}
	}
	return resource.Value{List: list}
}

func isZero(b []byte) bool {
	for _, octet := range b {
		if octet != 0 {
			return false
		}
	}
	return true
}
