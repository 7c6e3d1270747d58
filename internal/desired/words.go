package desired

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// The scalars of the language that are more than a string or a number.

const (
	namePattern   = `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`
	sysctlPattern = `^net[./][a-zA-Z0-9@:._/-]+$`
	knobPattern   = `^[a-z0-9_]+$`
)

var nameExp = regexp.MustCompile(namePattern)

// linkName names a link: one that is declared, or the kernel's.
type linkName string

func (n *linkName) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String && v.Kind != strict.Int {
		return strict.Problemf("bad-name", "want the name of an interface, have %s", v.Kind)
	}
	if !nameExp.MatchString(v.Text) {
		return strict.Problemf("bad-name", "%q cannot be the name of an interface", v.Text).
			Hinted("letters, digits, '.', '_' and '-', beginning with a letter or digit")
	}
	*n = linkName(v.Text)
	return nil
}

func (*linkName) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": namePattern}
}

// mac is a link-layer address.
type mac resource.MAC

func (m *mac) ReadScalar(v *strict.Value) *strict.Problem {
	got, err := resource.ParseMAC(strings.ToLower(v.Text))
	if v.Kind != strict.String || err != nil || got == (resource.MAC{}) {
		return strict.Problemf("bad-mac", "%q is not a MAC address", v.Text).Hinted("six pairs of hex digits: 02:00:00:00:00:01")
	}
	*m = mac(got)
	return nil
}

func (*mac) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$"}
}

// network is a destination or a selector: a prefix without host bits, a bare
// address for itself alone, or "default".
type network struct {
	netip.Prefix
	isDefault bool // of a family that something else tells
}

func (n *network) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind == strict.String && v.Text == "default" {
		n.isDefault = true
		return nil
	}
	if v.Kind == strict.String && !strings.Contains(v.Text, "/") {
		a, problem := strict.ParseAddr(v)
		n.Prefix = netip.PrefixFrom(a, a.BitLen())
		return problem
	}
	p, problem := strict.ParsePrefix(v)
	if problem != nil {
		return problem
	}
	if p != p.Masked() {
		return strict.Problemf("host-bits", "%s has bits set beyond its length", p).Hinted("write %s", p.Masked())
	}
	n.Prefix = p
	return nil
}

func (*network) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": "^(default|[0-9a-fA-F:.]+(/[0-9]{1,3})?)$"}
}

// tableRef names a routing table by number or by a name of tables:.
type tableRef struct {
	number uint32
	name   string
}

func (t *tableRef) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind == strict.String && nameExp.MatchString(v.Text) {
		t.name = v.Text
		return nil
	}
	n, problem := strict.ReadNumber(v)
	switch {
	case problem != nil:
		return problem
	case n == 0 || n > 1<<32-1:
		return strict.Problemf("out-of-range", "%s is not from 1 to %d", v.Text, uint32(1<<32-1))
	}
	t.number = uint32(n)
	return nil
}

func (*tableRef) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": namePattern, "minimum": 1, "maximum": uint32(1<<32 - 1)}
}

// fwMark is a mark with a mask: 16, 0x10 or 0x10/0xff.
type fwMark struct{ mark, mask uint32 }

func (f *fwMark) ReadScalar(v *strict.Value) *strict.Problem {
	bad := strict.Problemf("bad-mark", "%s is not a mark", v.Text).Hinted("write 0x10, or 0x10/0xff with a mask")
	mark, mask, masked := strings.Cut(v.Text, "/")
	if !masked {
		mask = "0xffffffff"
	}
	if v.Kind != strict.Int && v.Kind != strict.String {
		return bad
	}
	var err [2]error
	f.mark, err[0] = plainUint32(mark)
	f.mask, err[1] = plainUint32(mask)
	switch {
	case err[0] != nil || err[1] != nil:
		return bad
	case f.mark&^f.mask != 0:
		return strict.Problemf("bad-mark", "the mark %#x has bits that the mask %#x lacks, so it never matches", f.mark, f.mask)
	case f.mask == 0:
		return strict.Problemf("bad-mark", "a mask of 0 selects nothing").Hinted("leave fwmark out")
	}
	return nil
}

func plainUint32(s string) (uint32, error) {
	if len(s) > 1 && s[0] == '0' && s[1] != 'x' && s[1] != 'X' {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(strings.ToLower(s), 0, 32)
	return uint32(n), err
}

func (*fwMark) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"integer", "string"}, "minimum": 0, "maximum": uint32(1<<32 - 1),
		"pattern": "^(0[xX][0-9a-fA-F]+|[0-9]+)(/(0[xX][0-9a-fA-F]+|[0-9]+))?$"}
}

// portRange is a port, or a range of them: 443 or 8000-8999.
type portRange resource.PortRange

func (p *portRange) ReadScalar(v *strict.Value) *strict.Problem {
	first, last, ranged := strings.Cut(v.Text, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return strict.Problemf("bad-port", "%s is neither a port nor a range of ports", v.Text).Hinted("write 443 or 8000-8999")
	}
	*p = portRange{First: uint16(a), Last: uint16(b)}
	return nil
}

func (*portRange) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"integer", "string"}, "minimum": 1, "maximum": 65535, "pattern": "^[0-9]+(-[0-9]+)?$"}
}

// ipProtocol is a transport protocol by name or number.
type ipProtocol uint8

// protocols are the IANA numbers of the names that are taken.
var protocolNames = []string{"icmp", "igmp", "ipip", "tcp", "udp", "gre", "esp", "ah", "icmpv6", "ospf", "sctp"}

func protocolNumber(name string) uint8 {
	switch name {
	case "icmp":
		return 1
	case "igmp":
		return 2
	case "ipip":
		return 4
	case "tcp":
		return 6
	case "udp":
		return 17
	case "gre":
		return 47
	case "esp":
		return 50
	case "ah":
		return 51
	case "icmpv6":
		return 58
	case "ospf":
		return 89
	case "sctp":
		return 132
	}
	return 0
}

func (p *ipProtocol) ReadScalar(v *strict.Value) *strict.Problem {
	if n := protocolNumber(v.Text); n != 0 {
		*p = ipProtocol(n)
		return nil
	}
	if v.Kind == strict.Int {
		n, problem := strict.ReadNumber(v)
		if problem == nil && (n == 0 || n > 255) {
			problem = strict.Problemf("out-of-range", "%s is not from 1 to 255", v.Text)
		}
		*p = ipProtocol(n)
		return problem
	}
	return strict.Problemf("not-one-of", "%q is neither a number nor one of %s", v.Text, strings.Join(protocolNames, ", "))
}

func (*ipProtocol) ScalarSchema() strict.Schema {
	names := make([]any, len(protocolNames))
	for i, n := range protocolNames {
		names[i] = n
	}
	return strict.Schema{"anyOf": []any{strict.Schema{"enum": names}, strict.Schema{"type": "integer", "minimum": 1, "maximum": 255}}}
}

// sysctlValue is a value as the kernel prints it.
type sysctlValue string

func (s *sysctlValue) ReadScalar(v *strict.Value) *strict.Problem {
	text := strings.Join(strings.Fields(v.Text), " ")
	switch {
	case v.Kind == strict.Bool && strings.EqualFold(text, "true"):
		text = "1"
	case v.Kind == strict.Bool:
		text = "0"
	case v.Kind == strict.Int && !plainNumber(text):
		return strict.Problemf("bad-number", "%s is not how the kernel prints a number", text).Hinted("write it in decimal, or put it in quotes")
	case len(text) > 4096:
		return strict.Problemf("out-of-range", "%d bytes, more than 4096", len(text))
	}
	*s = sysctlValue(text)
	return nil
}

func plainNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == s
}

func (*sysctlValue) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"integer", "string", "boolean"}}
}

// wgKey is a public key of WireGuard.
type wgKey string

func (k *wgKey) ReadScalar(v *strict.Value) *strict.Problem {
	if raw, err := base64.StdEncoding.DecodeString(v.Text); err != nil || len(raw) != 32 {
		return strict.Problemf("bad-key", "not a public key of WireGuard").Hinted("32 bytes in base64, as wg pubkey prints them")
	}
	*k = wgKey(v.Text)
	return nil
}

func (*wgKey) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"}
}
