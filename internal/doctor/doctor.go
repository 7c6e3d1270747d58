// Package doctor names what usually goes wrong with a VIP: rules over facts,
// each with a verdict, what it looked at, and what to do.
//
// The rules are pure. What resources do not tell is read by Look, and by Probe,
// which sends a packet to each backend; nothing here changes a host.
package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/resource"
)

// Verdict is how bad a finding is.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning"
	Fault   Verdict = "fault" // flows fail
)

// Finding is what a rule says.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Rule    string  `json:"rule"`
	Looked  string  `json:"looked-at"`
	Says    string  `json:"finding"`
	Do      string  `json:"do,omitempty"`
}

// Facts are what is known of a VIP of one family, and of what is around it.
type Facts struct {
	VIP   resource.VIP // as it was read back
	There bool         // it is in the tables; else only its name, family and addresses are known
	Have  *resource.Set
	Links map[string]Link

	// What a tree or the daemon says; nil where neither was asked.

	Members   []Member
	Announced *bool // its addresses are to stand on a link now; nil: none is named for them

	Probes map[string]Answer // of backends, by the names of their keys; nil: none was sent
}

// Member is a backend of the VIP's pools.
type Member struct {
	Backend string // the name of its key
	Checked bool   // by a health check
	State   string // unknown, up, down, paused, disabled, draining
	Why     string // it is not in the ring, or not up
}

// Link is what is set of a link beside what its resource tells.
type Link struct {
	LRO       bool // large receive offload
	RxVLAN    bool // tags are taken out of frames before XDP sees them
	RPFilter  int  // of IPv4, as it is in force
	ARPIgnore int  // as it is in force
}

// rules are all there are, in the order in which a packet meets their causes.
var rules = []struct {
	name  string
	judge func(Facts) []Finding
}{
	{"address", answered},
	{"arp", arp},
	{"chain", chains},
	{"chain-order", order},
	{"xdp-mode", mode},
	{"lro", lro},
	{"rxvlan", rxvlan},
	{"rp-filter", rpFilter},
	{"vip-table", table},
	{"ring", ring},
	{"backends", backends},
	{"health-checks", checks},
	{"next-hop", nextHops},
	{"source-address", sources},
	{"mtu", mtu},
	{"decapsulation", decapsulation},
	{"record", records},
}

// Examine asks all rules. One that has nothing to look at says nothing.
func Examine(f Facts) []Finding {
	var out []Finding
	for _, r := range rules {
		for _, found := range r.judge(f) {
			found.Rule = r.name
			out = append(out, found)
		}
	}
	return out
}

// Worst is the worst verdict.
func Worst(all []Finding) Verdict {
	worst := OK
	for _, f := range all {
		if f.Verdict == Fault || worst == OK {
			worst = f.Verdict
		}
		if worst == Fault {
			break
		}
	}
	return worst
}

func found(v Verdict, looked, do, format string, args ...any) Finding {
	return Finding{Verdict: v, Looked: looked, Do: do, Says: fmt.Sprintf(format, args...)}
}

// all are the resources of a type.
func all[T resource.Resource](f Facts) (out []T) {
	for _, o := range f.Have.All() {
		if r, ok := o.Resource.(T); ok {
			out = append(out, r)
		}
	}
	return out
}

// running are the chains that run the balancer.
func (f Facts) running() (out []resource.Chain) {
	for _, c := range all[resource.Chain](f) {
		if c.Hook.IsXDP() && position(c) >= 0 {
			out = append(out, c)
		}
	}
	return out
}

func position(c resource.Chain) int {
	return slices.IndexFunc(c.Slots, func(s resource.Slot) bool { return s.Program == resource.BalancerProgram })
}

// link finds a link by name.
func (f Facts) link(name string) (resource.Link, bool) {
	o, ok := f.Have.Get(resource.LinkKey(name))
	l, isLink := o.Resource.(resource.Link)
	return l, ok && isLink
}

// serving are the records of the backends in the ring.
func (f Facts) serving() (out []resource.Backend) {
	for _, s := range f.VIP.Shares {
		o, _ := f.Have.Get(resource.BackendNamed(s.Backend))
		if b, ok := o.Resource.(resource.Backend); ok {
			out = append(out, b)
		}
	}
	return out
}

func (f Facts) tunnels() []resource.Backend {
	return slices.DeleteFunc(f.serving(), func(b resource.Backend) bool { return b.Encap == resource.L2DSR })
}

// onLink is the link in whose network an address is; empty for none.
func (f Facts) onLink(a netip.Addr) string {
	for _, at := range all[resource.Address](f) {
		if p := at.Prefix; p.Addr() != a && !p.IsSingleIP() && p.Masked().Contains(a) && !p.Addr().IsLoopback() {
			return at.Link
		}
	}
	return ""
}

// plural is a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joined(words []string) string { return strings.Join(words, ", ") }
