package lb

import (
	"fmt"
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// maxName is what the maps have room for.
const maxName = 64

// Check tells what is wrong with a resource in itself. The zero Driver has it
// too.
func (*Driver) Check(r resource.Resource) []driver.Fault {
	fault := func(field, code, format string, args ...any) []driver.Fault {
		return []driver.Fault{{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}}
	}
	switch r := r.(type) {
	case resource.Backend:
		switch {
		case len(r.Name) > maxName:
			return fault("name", "name-length", "a name has at most %d bytes", maxName)
		case r.Encap != resource.IPIP && r.Encap != resource.L2DSR:
			return fault("encap", driver.Unsupported, "encapsulation %s is not applied by this build", r.Encap)
		}
	case resource.VIP:
		if room := maxName - len("/"+r.Family); len(r.Name) > room {
			return fault("name", "name-length", "a name has at most %d bytes", room)
		}
		for _, p := range r.Ports {
			if p.Protocol != "tcp" && p.Protocol != "udp" {
				return fault("ports", driver.Unsupported, "protocol %s is not applied by this build", p.Protocol)
			}
		}
	}
	return nil
}
