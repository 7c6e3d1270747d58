package desired

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// The scalars of the load balancer's sections.

// block is addresses side by side: a prefix without host bits, or an address
// for itself alone.
type block netip.Prefix

func (b *block) ReadScalar(v *strict.Value) *strict.Problem {
	var n network
	if problem := n.ReadScalar(v); problem != nil {
		return problem
	}
	if n.isDefault {
		return strict.Problemf("bad-address", "default is no address")
	}
	if problem := noHost(n.Addr()); problem != nil {
		return problem
	}
	*b = block(n.Prefix)
	return nil
}

func (*block) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$"}
}

// noHost reports addresses that no host answers for.
func noHost(a netip.Addr) *strict.Problem {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return strict.Problemf("bad-address", "%s is no address of a host", a)
	}
	return nil
}

// servicePort is a protocol and a port of it, or all of them.
type servicePort resource.ServicePort

const portPattern = `^(tcp|udp)(/[1-9][0-9]{0,4})?$`

var portExp = regexp.MustCompile(portPattern)

func (p *servicePort) ReadScalar(v *strict.Value) *strict.Problem {
	if !portExp.MatchString(v.Text) {
		return strict.Problemf("bad-port", "%q is no port of a VIP", v.Text).Hinted("write tcp/443, or tcp for all its ports")
	}
	protocol, number, all := strings.Cut(v.Text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if all && err != nil {
		return strict.Problemf("bad-port", "%s is not from 1 to 65535", number)
	}
	*p = servicePort{Protocol: protocol, Number: uint16(n)}
	return nil
}

func (*servicePort) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": portPattern}
}

// permille is a share, written in percent.
type permille uint16

const sharePattern = `^[0-9]{1,3}(\.[0-9])?%$`

var shareExp = regexp.MustCompile(sharePattern)

func (p *permille) ReadScalar(v *strict.Value) *strict.Problem {
	if n, err := strconv.ParseFloat(v.Text, 64); err == nil && !v.Quoted && n >= 0 {
		return strict.Problemf("bad-share", "%s has no unit", v.Text).Hinted("write %s%%", v.Text)
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(v.Text, "%"), 64)
	if !shareExp.MatchString(v.Text) || err != nil || n > 100 {
		return strict.Problemf("bad-share", "%q is not from 0%% to 100%%, with one digit after the point at most", v.Text)
	}
	*p = permille(math.Round(n * 10))
	return nil
}

func (*permille) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": sharePattern}
}

// statusRange is a status of HTTP, or a range of them.
type statusRange struct{ first, last uint16 }

const statusPattern = `^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`

var statusExp = regexp.MustCompile(statusPattern)

func (s *statusRange) ReadScalar(v *strict.Value) *strict.Problem {
	bad := strict.Problemf("bad-status", "%s is neither a status nor a range of them", v.Text).Hinted("from 100 to 599: 204, or 200-299")
	if !statusExp.MatchString(v.Text) {
		return bad
	}
	first, last, ranged := strings.Cut(v.Text, "-")
	if !ranged {
		last = first
	}
	if first > last { // of three digits each
		return bad
	}
	n, _ := strconv.ParseUint(first, 10, 16)
	m, _ := strconv.ParseUint(last, 10, 16)
	*s = statusRange{uint16(n), uint16(m)}
	return nil
}

func (s statusRange) String() string {
	if s.first == s.last {
		return strconv.Itoa(int(s.first))
	}
	return strconv.Itoa(int(s.first)) + "-" + strconv.Itoa(int(s.last))
}

func (*statusRange) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"integer", "string"}, "minimum": 100, "maximum": 599, "pattern": statusPattern}
}

// moment is a point in time.
type moment time.Time

func (m *moment) ReadScalar(v *strict.Value) *strict.Problem {
	t, err := time.Parse(time.RFC3339, v.Text)
	if err != nil || v.Kind != strict.String {
		return strict.Problemf("bad-time", "%q is no time with date and zone", v.Text).Hinted(`write "2030-11-21T06:00:00Z"`)
	}
	*m = moment(t.UTC())
	return nil
}

func (*moment) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "format": "date-time"}
}

// httpPath is a path and query of a request. What is not of it ends a line of
// the request, or a word of that line.
type httpPath string

const pathPattern = `^/[!-~]*$`

var pathExp = regexp.MustCompile(pathPattern)

func (p *httpPath) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String || !pathExp.MatchString(v.Text) || len(v.Text) > maxHTTPPath {
		return strict.Problemf("bad-path", "%q is no path of a request", v.Text).
			Hinted("it begins with / and holds neither spaces nor other letters than ASCII: %%20, %%C3%%A4")
	}
	*p = httpPath(v.Text)
	return nil
}

const maxHTTPPath = 1024 // bytes

func (*httpPath) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": pathPattern, "maxLength": maxHTTPPath}
}

// hostName is the name of a server, with a port where it is asked for one.
type hostName string

const hostPattern = `^[a-zA-Z0-9\[][a-zA-Z0-9._:\]-]*$`

var hostExp = regexp.MustCompile(hostPattern)

func (h *hostName) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String || !hostExp.MatchString(v.Text) || len(v.Text) > maxHost {
		return strict.Problemf("bad-name", "%q is no name of a server", v.Text).Hinted("www.example, or www.example:8080")
	}
	*h = hostName(v.Text)
	return nil
}

const maxHost = 255 // bytes

func (*hostName) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": hostPattern, "maxLength": maxHost}
}

// namespaceName is a network namespace that has a name.
type namespaceName string

func (n *namespaceName) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String && v.Kind != strict.Int || !nameExp.MatchString(v.Text) || len(v.Text) > maxHost {
		return strict.Problemf("bad-name", "%q is no name of a network namespace", v.Text).Hinted("as ip netns prints it")
	}
	*n = namespaceName(v.Text)
	return nil
}

func (*namespaceName) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": namePattern, "maxLength": maxHost}
}
