package capture

import (
	"fmt"
	"slices"

	"reconciler/internal/resource"
)

// What the configuration has words for. The kernel holds more, and what is
// beyond them is left out: a text that does not pass check is of no use.
var (
	scopes     = []resource.Scope{"", "global", "site", "link", "host", "nowhere"}
	routeTypes = []resource.RouteType{
		"", resource.Unicast, resource.Local, resource.Blackhole, resource.Unreachable, resource.Prohibit, resource.Throw,
	}
	ruleActions = []resource.RuleAction{
		"", resource.Lookup, resource.GotoRule, resource.BlackholeRule, resource.UnreachableRule, resource.ProhibitRule,
	}
)

func addressBeyond(a resource.Address) string {
	switch {
	case a.Prefix.Addr().IsMulticast():
		return "no unicast address"
	case a.Prefix.Addr().Is4() && !slices.Contains(scopes, a.Scope):
		return "scope " + string(a.Scope)
	case a.Expires:
		return "a lifetime: it is dynamic"
	}
	return ""
}

func routeBeyond(r resource.Route) string {
	switch {
	case r.Other != "":
		return r.Other
	case r.TOS != 0:
		return "a type of service"
	case !slices.Contains(routeTypes, r.Type):
		return "type " + string(r.Type)
	case r.To.Addr().Is4() && !slices.Contains(scopes, r.Scope):
		return "scope " + string(r.Scope)
	}
	for _, h := range r.Hops {
		if h.Via.Is4In6() {
			return "gateway " + h.Via.String()
		}
	}
	return ""
}

func ruleBeyond(r resource.Rule) string {
	switch {
	case r.Twin != 0:
		return "the priority of another one"
	case r.Other != "":
		return r.Other
	case !slices.Contains(ruleActions, r.Action):
		return "action " + string(r.Action)
	case r.FwMark&^r.FwMask != 0:
		return fmt.Sprintf("fwmark %#x/%#x, which never matches", r.FwMark, r.FwMask)
	}
	return ""
}
