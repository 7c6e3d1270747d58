package netlink

import (
	"fmt"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// Check tells what is wrong with a resource in itself. It needs no kernel: the
// zero Driver has it too.
func (*Driver) Check(r resource.Resource) []driver.Fault {
	switch r := r.(type) {
	case resource.Link:
		return checkLink(r)
	case resource.Address:
		return checkScope(r.Scope)
	case resource.Route:
		return append(checkScope(r.Scope), checkRoute(r)...)
	case resource.Sysctl:
		return checkSysctl(r)
	case resource.Unsupported:
		return []driver.Fault{{Code: driver.Unsupported, Message: r.Name + " is not applied by this build"}}
	}
	return nil
}

// kinds are the links that can be made, with the MTU that the kernel takes.
var kinds = map[resource.LinkType]struct{ least, most uint32 }{
	resource.Bridge:  {68, 65535},
	resource.Dummy:   {68, 65535},
	resource.MACVLAN: {68, 65535},
	resource.Veth:    {68, 65535},
	resource.VLAN:    {68, 65535},
	resource.VXLAN:   {68, 65465}, // room for its own headers
}

func checkLink(l resource.Link) []driver.Fault {
	if l.Type == "" {
		return nil
	}
	kind, ok := kinds[l.Type]
	if !ok {
		return []driver.Fault{{Field: "kind", Code: driver.Unsupported, Message: fmt.Sprintf("links of kind %s are not made by this build", l.Type)}}
	}
	var faults []driver.Fault
	if l.MTU != 0 && (l.MTU < kind.least || l.MTU > kind.most) {
		faults = append(faults, driver.Fault{
			Field: "mtu", Code: "mtu-range", Message: fmt.Sprintf("a %s takes an mtu of %d to %d", l.Type, kind.least, kind.most),
		})
	}
	if alias := l.Description.Or(""); len(alias) >= maxAlias {
		faults = append(faults, driver.Fault{
			Field: "description", Code: "description-length", Message: fmt.Sprintf("the kernel takes at most %d bytes", maxAlias-1),
		})
	}
	if len(l.Name) >= maxName {
		faults = append(faults, driver.Fault{
			Field: "name", Code: "name-length", Message: fmt.Sprintf("the kernel takes at most %d bytes", maxName-1),
		})
	}
	return faults
}

// Sizes with their zero byte, from linux/if.h.
const (
	maxName  = 16  // IFNAMSIZ
	maxAlias = 256 // IFALIASZ
)

func checkScope(s resource.Scope) []driver.Fault {
	if _, ok := scopeNumber(s); ok {
		return nil
	}
	return []driver.Fault{{
		Field: "scope", Code: "scope", Message: fmt.Sprintf("%q is no scope", s),
		Hint: "global, site, link, host, nowhere or a number up to 255",
	}}
}

func checkRoute(r resource.Route) []driver.Fault {
	if r.To.Addr().Is6() && r.Scope != "" && r.Scope != global {
		return []driver.Fault{{Field: "scope", Code: "scope", Message: "IPv6 routes have no scope"}}
	}
	if routeTypeNumber(r.Type) == 0 {
		return []driver.Fault{{Field: "type", Code: "route-type", Message: fmt.Sprintf("%q is no type of route", r.Type)}}
	}
	return nil
}

func checkSysctl(s resource.Sysctl) []driver.Fault {
	if _, err := sysctlFile(s.Path); err != nil {
		return []driver.Fault{{Code: "sysctl-path", Message: errOutside.Error()}}
	}
	return nil
}
