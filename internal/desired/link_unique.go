package desired

// linksOverall reports what two interfaces cannot both have.
func (b *builder) linksOverall() {
	macs, tunnels := map[mac]string{}, map[vxlanEnd]string{}
	for _, e := range b.doc.Interfaces {
		y := b.links[e.Name]
		if m := y.Match; m != nil && m.MAC.Ok() && !m.Name.Given() && !m.Driver.Given() && !m.PCI.Given() {
			if first, again := once(macs, m.MAC.Val, e.Name); again {
				b.fault(m.MAC.At(), "match-twice", "%s matches this address already", first)
			}
		}
		if v := y.VXLAN; v != nil && y.Kind.Val == "vxlan" && v.ID.Ok() {
			if first, again := once(tunnels, v.end(), e.Name); again {
				b.fault(v.ID.At(), "vxlan-twice", "%s has this id on this port; the kernel makes one of them", first).
					Hinted("give one another id or port")
			}
		}
	}
}

// vxlanEnd is what the kernel tells vxlan links of a namespace apart by.
type vxlanEnd struct {
	id   uint32
	port uint16
	ipv6 bool
}

func (y *vxlanYAML) end() vxlanEnd {
	end := vxlanEnd{id: y.ID.Val, port: vxlanPort, ipv6: y.Local.Ok() && y.Local.Val.Is6() || y.Remote.Ok() && y.Remote.Val.Is6()}
	if y.Port.Ok() {
		end.port = y.Port.Val
	}
	return end
}

// once remembers who has a value first.
func once[K comparable](seen map[K]string, k K, name string) (first string, again bool) {
	first, again = seen[k]
	if !again {
		seen[k] = name
	}
	return first, again
}
