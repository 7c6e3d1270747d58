package resource

// KindSysctl is a kernel parameter below /proc/sys/net.
const KindSysctl Kind = "sysctl"

// Sysctl is a kernel parameter. The kernel has no place for a mark on it, so
// the netlink driver records the value it found before it wrote; removing the
// resource puts that value back.
type Sysctl struct {
	Path  string `json:"path"`           // net/ipv4/ip_forward: slashes, as link names may hold dots
	Link  string `json:"link,omitempty"` // whose parameter it is; empty for the host's
	Value string `json:"value"`          // as the kernel prints it, runs of white space as one space
	// Former is what stood there before ours; it feeds removal, and is not compared.
	Former Opt[string] `json:"former,omitzero"`
}

// SysctlKey identifies a parameter by its path.
func SysctlKey(path string) Key { return Key{Netlink, KindSysctl, path} }

// LinkSysctl is the path of a link's own parameter, family ipv4 or ipv6.
func LinkSysctl(family Family, link, name string) string {
	return "net/" + string(family) + "/conf/" + link + "/" + name
}

// Key identifies the parameter.
func (s Sysctl) Key() Key { return SysctlKey(s.Path) }

// Requires the link whose parameter it is.
func (s Sysctl) Requires() []Key {
	if s.Link == "" {
		return nil
	}
	return []Key{LinkKey(s.Link)}
}

// Parent is the link whose parameter it is.
func (s Sysctl) Parent() string { return s.Link }

// Equal compares the values.
func (s Sysctl) Equal(o Resource) bool {
	b, ok := o.(Sysctl)
	return ok && s.Path == b.Path && s.Value == b.Value
}

// Inherit takes the record of the former value along.
func (s Sysctl) Inherit(have Resource) Resource {
	if h, ok := have.(Sysctl); ok {
		s.Former = h.Former
	}
	return s
}

// Rename passes the link's name on, in the path too.
func (s Sysctl) Rename(to func(string) string) Resource {
	if s.Link == "" {
		return s
	}
	name := to(s.Link)
	if name == s.Link {
		return s
	}
	const v4, v6 = "net/ipv4/conf/", "net/ipv6/conf/"
	for _, prefix := range []string{v4, v6} {
		if len(s.Path) > len(prefix)+len(s.Link) && s.Path[:len(prefix)+len(s.Link)] == prefix+s.Link {
			s.Path = prefix + name + s.Path[len(prefix)+len(s.Link):]
			break
		}
	}
	s.Link = name
	return s
}

// Fields lists the value.
func (s Sysctl) Fields() []Field { return []Field{{"value", s.Value}} }
