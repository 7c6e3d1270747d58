package desired

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// checkYAML is a health check as written.
type checkYAML struct {
	strict.Here
	Type         strict.V[string]        `yaml:"type" enum:"icmp,tcp,http,https,grpc,udp,dns,exec" required:"true" doc:"What is asked. grpc, udp, dns and exec are not applied by this version."`
	Port         strict.V[uint16]        `yaml:"port" min:"1" doc:"Default: 80 of http, 443 of https."`
	HTTP         *httpYAML               `yaml:"http" doc:"Of http and https: what is asked for, and what is to be heard."`
	Via          strict.V[string]        `yaml:"via" enum:"direct,tunnel" doc:"tunnel: to the VIP, through the backend's own encapsulation; not applied by this version. Default direct."`
	Interval     strict.V[time.Duration] `yaml:"interval" min:"10" max:"3600000" doc:"Between probes, while all is well. Default 2s."`
	FastInterval strict.V[time.Duration] `yaml:"fast-interval" min:"10" max:"3600000" doc:"While it is not yet clear. Default: interval."`
	DownInterval strict.V[time.Duration] `yaml:"down-interval" min:"10" max:"3600000" doc:"While it is down. Default: interval."`
	Timeout      strict.V[time.Duration] `yaml:"timeout" min:"1" max:"3600000" doc:"Of a whole probe. Default: interval, 1s at most."`
	Jitter       strict.V[permille]      `yaml:"jitter" doc:"By which each interval is longer or shorter; 50% at most. Default 5%."`
	Rise         strict.V[uint16]        `yaml:"rise" min:"1" max:"255" doc:"Good probes in a row that take it up. Default 2."`
	Fall         strict.V[uint16]        `yaml:"fall" min:"1" max:"255" doc:"Bad probes in a row that take it down. Default 3."`
	Source       *sourceYAML             `yaml:"source" doc:"Where probes come from: an address, or one of each family."`
	Netns        strict.V[namespaceName] `yaml:"netns" doc:"Probes are sent in this network namespace."`
	Mark         strict.V[uint32]        `yaml:"mark" min:"1" doc:"The mark of what probes send, for rules with fwmark."`
}

// httpYAML is a request and what is wanted of its answer.
type httpYAML struct {
	strict.Here
	Method     strict.V[string]        `yaml:"method" enum:"GET,HEAD,OPTIONS,POST" doc:"Default GET."`
	Path       strict.V[httpPath]      `yaml:"path" doc:"With its query. Default /."`
	Host       strict.V[hostName]      `yaml:"host" doc:"Default: the address."`
	Status     []strict.V[statusRange] `yaml:"status" doc:"What is well: 204, 200-299. Default [200-399]."`
	Body       strict.V[string]        `yaml:"body" min:"1" max:"1024" doc:"A text within the first 64 KiB of the answer."`
	ServerName strict.V[hostName]      `yaml:"server-name" doc:"Of https: what the certificate names. Default: host."`
	Insecure   strict.V[bool]          `yaml:"insecure" doc:"Of https: take any certificate. Default false."`
}

// sourceYAML is an address, or one of each family.
type sourceYAML struct {
	strict.Here
	Any  strict.V[netip.Addr] `short:"true"`
	IPv4 strict.V[netip.Addr] `yaml:"ipv4"`
	IPv6 strict.V[netip.Addr] `yaml:"ipv6"`
}

// healthcheck is a health check that backends may name.
type healthcheck struct {
	yaml   *checkYAML
	one    resource.Check
	source map[resource.Family]netip.Addr
	later  string // what this version cannot apply of it; empty for nothing
}

// of is the check of an address.
func (c *healthcheck) of(a netip.Addr) resource.Check {
	if c == nil {
		return resource.Check{}
	}
	one := c.one
	one.Source = c.source[resource.FamilyOf(a)]
	return one
}

const (
	defaultInterval = 2 * time.Second
	maxTimeout      = time.Second // where none is given
	defaultJitter   = 50          // permille: enough to keep checks of many backends apart
	maxJitter       = 500
	defaultRise     = 2
	defaultFall     = 3
	defaultStatus   = "200-399"
)

func (b *builder) readChecks() {
	for i := range b.doc.Healthchecks {
		e := &b.doc.Healthchecks[i]
		b.checkCheck(&e.Val)
		b.lb.checks[e.Name] = b.readCheck(e.Name, &e.Val)
	}
}

func (b *builder) readCheck(name string, y *checkYAML) *healthcheck {
	every := y.Interval.Or(defaultInterval)
	c := &healthcheck{yaml: y, source: b.sources(y.Source), one: resource.Check{
		Name: name, Type: resource.CheckType(y.Type.Val), Port: y.Port.Or(wellKnownPort(y.Type.Val)), HTTP: y.request(),
		Interval: every, FastInterval: y.FastInterval.Or(every), DownInterval: y.DownInterval.Or(every),
		Timeout: y.Timeout.Or(min(every, maxTimeout)), Jitter: uint16(y.Jitter.Or(defaultJitter) / 10), Rise: y.Rise.Or(defaultRise), Fall: y.Fall.Or(defaultFall),
		Netns: string(y.Netns.Val), Mark: y.Mark.Val,
	}}
	switch {
	case y.Type.Ok() && !slices.Contains([]string{"icmp", "tcp", "http", "https"}, y.Type.Val):
		c.later = "type " + y.Type.Val
	case y.Via.Val == "tunnel":
		c.later = "via tunnel"
	}
	return c
}

func wellKnownPort(kind string) uint16 {
	switch kind {
	case "http":
		return 80
	case "https":
		return 443
	case "dns":
		return 53
	}
	return 0
}

// isHTTP tells checks with a request.
func (y *checkYAML) isHTTP() bool { return y.Type.Val == "http" || y.Type.Val == "https" }

func (y *checkYAML) request() resource.HTTPCheck {
	if !y.isHTTP() {
		return resource.HTTPCheck{}
	}
	out := resource.HTTPCheck{Method: "GET", Path: "/", Status: defaultStatus}
	h := y.HTTP
	if h == nil {
		return out
	}
	out.Method, out.Path = h.Method.Or(out.Method), string(h.Path.Or(httpPath(out.Path)))
	out.Host, out.Body = string(h.Host.Val), h.Body.Val
	out.ServerName, out.Insecure = string(h.ServerName.Val), h.Insecure.Val
	var ranges []string
	for _, s := range h.Status {
		if s.Ok() {
			ranges = append(ranges, s.Val.String())
		}
	}
	if len(ranges) > 0 {
		out.Status = strings.Join(ranges, ",")
	}
	return out
}

// checkCheck compares the keys of a check with its type, and its times.
func (b *builder) checkCheck(y *checkYAML) {
	kind := y.Type.Val
	noPort := kind == "icmp" || kind == "exec"
	switch {
	case !y.Type.Ok():
	case noPort && y.Port.Given():
		b.fault(y.Port.At(), "wrong-section", "a check of type %s has no port", kind)
	case !noPort && !y.Port.Given() && wellKnownPort(kind) == 0:
		b.fault(y.At(), "missing-key", "port is missing: a check of type %s has none by itself", kind)
	}
	if h := y.HTTP; h != nil && y.Type.Ok() {
		if !y.isHTTP() {
			b.fault(h.At(), "wrong-section", "http: belongs to type http and https, this is %s", kind)
		} else if kind == "http" {
			for _, v := range []*strict.Value{h.ServerName.At(), h.Insecure.At()} {
				if v != nil {
					b.fault(v, "wrong-section", "this belongs to type https, this is %s", kind)
				}
			}
		}
		if v := h.At().Get("status"); v != nil && v.Kind == strict.List && len(v.Children) == 0 {
			b.fault(v, "bad-status", "no status is well, so no backend ever is")
		}
	}
	if y.Jitter.Ok() && (y.Jitter.Val > maxJitter || y.Jitter.Val%10 != 0) {
		b.fault(y.Jitter.At(), "out-of-range", "%s is no whole number from 0%% to 50%%", y.Jitter.At().Text)
	}
	every := y.Interval.Or(defaultInterval)
	if t, ok := y.Timeout.Get(); ok && t > every {
		b.report.Warn(y.Timeout.At(), strict.Problemf("timeout", "a probe may take %s, and the next one is due after %s: it waits for the one before", t, every).
			Hinted("a timeout of %s or less", every))
	}
}

// sources are the addresses that probes come from, by family.
func (b *builder) sources(y *sourceYAML) map[resource.Family]netip.Addr {
	out := make(map[resource.Family]netip.Addr)
	if y == nil {
		return out
	}
	b.isFamily(resource.IPv4, y.IPv4.Val, y.IPv4.At())
	b.isFamily(resource.IPv6, y.IPv6.Val, y.IPv6.At())
	for _, v := range []strict.V[netip.Addr]{y.Any, y.IPv4, y.IPv6} {
		a, ok := v.Get()
		if !ok {
			continue
		}
		if problem := noHost(a); problem != nil {
			b.report.At(v.At(), problem)
		}
		out[resource.FamilyOf(a)] = a
	}
	return out
}
