package netlink

import (
	"cmp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func number[T ~uint8 | ~uint16 | ~uint32](v T) string { return strconv.FormatUint(uint64(v), 10) }

func sortTallies(t []observed.Tally) {
	slices.SortFunc(t, func(a, b observed.Tally) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Origin, b.Origin))
	})
}

// family is the kernel's number of an address family.
func family(is4 bool) uint8 {
	if is4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// families are read one after the other.
var families = [...]uint8{unix.AF_INET, unix.AF_INET6}

// The names that iproute2 gives to scopes.
const (
	global  resource.Scope = "global"
	site    resource.Scope = "site"
	onLink  resource.Scope = "link"
	host    resource.Scope = "host"
	nowhere resource.Scope = "nowhere"
)

func scopeName(v uint8) resource.Scope {
	switch v {
	case unix.RT_SCOPE_UNIVERSE:
		return global
	case unix.RT_SCOPE_SITE:
		return site
	case unix.RT_SCOPE_LINK:
		return onLink
	case unix.RT_SCOPE_HOST:
		return host
	case unix.RT_SCOPE_NOWHERE:
		return nowhere
	}
	return resource.Scope(number(v))
}

// scopeNumber reads a scope; ok is unset for one that is no scope.
func scopeNumber(s resource.Scope) (v uint8, ok bool) {
	switch s {
	case "", global:
		return unix.RT_SCOPE_UNIVERSE, true
	case site:
		return unix.RT_SCOPE_SITE, true
	case onLink:
		return unix.RT_SCOPE_LINK, true
	case host:
		return unix.RT_SCOPE_HOST, true
	case nowhere:
		return unix.RT_SCOPE_NOWHERE, true
	}
	n, err := strconv.ParseUint(string(s), 10, 8)
	return uint8(n), err == nil
}
