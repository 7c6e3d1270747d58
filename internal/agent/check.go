package agent

import (
	"net/url"
	"strings"

	"reconciler/internal/strict"
)

// checker turns the file into a Config.
type checker struct{ report *strict.Report }

func (c *checker) config(y *fileYAML) Config {
	cfg := Default()
	cfg.Hostname = string(y.Hostname.Val)
	for _, l := range y.Labels {
		if cfg.Labels == nil {
			cfg.Labels = make(map[string]string)
		}
		cfg.Labels[l.Name] = string(l.Val.Val)
	}
	cfg.Mode = Mode(y.Mode.Or(string(cfg.Mode)))
	cfg.Resync = y.Resync.Or(cfg.Resync)
	cfg.Rescue = string(y.Rescue.Val)
	cfg.StateDir = string(y.StateDir.Or(path(cfg.StateDir)))
	cfg.Socket = string(y.Socket.Or(path(cfg.Socket)))
	cfg.Metrics = string(y.Metrics.Or(listen(cfg.Metrics)))
	c.source(&cfg.Source, y.Source)
	c.confirm(&cfg.Confirm, y.Confirm)
	cfg.Protect.merge(y.Protect)
	c.bypass(&cfg.Bypass, y.Bypass)
	if g := y.Guards; g != nil {
		cfg.Guards.MaxPrune = float64(g.MaxPrune.Or(percent(cfg.Guards.MaxPrune)))
		cfg.Guards.AllowEmpty = g.AllowEmpty.Val
	}
	cfg.Allow = y.Allow.allow()
	c.notEnforced(y)
	return cfg
}

func (c *checker) fault(at *strict.Value, code, format string, args ...any) {
	c.report.At(at, strict.Problemf(code, format, args...))
}

func (c *checker) source(s *Source, y *sourceYAML) {
	if y == nil {
		return
	}
	s.Dir, s.Poll = string(y.Dir.Val), y.Poll.Or(s.Poll)
	switch {
	case y.Git != nil && y.Dir.Given():
		c.fault(y.Dir.At(), "two-sources", "source is git or dir, not both")
	case y.Git == nil && !y.Dir.Given():
		c.fault(y.At(), "missing-key", "source needs git or dir")
	case y.Git != nil:
		s.Git = c.git(y.Git)
	}
}

func (c *checker) git(y *gitYAML) *Git {
	for _, v := range []strict.V[path]{y.KeyFile, y.KnownHosts, y.TrustedKeys} {
		if v.Given() {
			c.refuse(v.At())
		}
	}
	if y.URL.Ok() {
		c.url(y)
	}
	return &Git{
		URL: y.URL.Val, Ref: y.Ref.Val, Path: y.Path.Or("."),
		TokenFile: string(y.TokenFile.Val), CAFile: string(y.CAFile.Val),
	}
}

func (c *checker) url(y *gitYAML) {
	at, text := y.URL.At(), y.URL.Val
	if strings.HasPrefix(text, "/") {
		return
	}
	u, err := url.Parse(text)
	if scp, _, found := strings.Cut(text, ":"); err != nil && found && !strings.Contains(scp, "/") || err == nil && u.Scheme == "" {
		if strings.Contains(text, "@") { // git@host:path
			c.refuse(at)
			return
		}
		c.fault(at, "bad-url", "%q is neither a URL nor an absolute path", text)
		return
	}
	switch {
	case err != nil:
		c.fault(at, "bad-url", "not a URL")
	case u.Scheme == "ssh" || u.Scheme == "git+ssh":
		c.refuse(at)
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		c.fault(at, "bad-url", "scheme %q is none of https, http, file", u.Scheme)
	case u.User != nil:
		if _, secret := u.User.Password(); secret {
			c.report.At(at, strict.Problemf("secret", "a password does not belong into this file").Hinted("put it into a file that token-file names"))
		}
	case u.Scheme != "https" && y.TokenFile.Given():
		c.fault(y.TokenFile.At(), "secret", "a token goes over https only")
	}
}

func (c *checker) confirm(cfg *Confirm, y *confirmYAML) {
	if y == nil {
		return
	}
	cfg.Off = !y.Enabled.Or(true)
	cfg.Timeout = y.Timeout.Or(cfg.Timeout)
	if y.Probes == nil {
		return
	}
	cfg.Probes = nil
	for _, p := range y.Probes {
		cfg.Probes = append(cfg.Probes, c.probe(p))
	}
}

func (c *checker) probe(y probeYAML) Probe {
	given := 0
	for _, g := range []bool{y.Auto.Given(), y.TCP.Given(), y.Ping.Given()} {
		if g {
			given++
		}
	}
	if given != 1 && !y.At().IsScalar() {
		c.fault(y.At(), "bad-probe", "a probe is one of source, default-gateway, {tcp: …}, {ping: …}")
	}
	switch {
	case y.TCP.Given():
		return Probe{Kind: ProbeTCP, TCP: string(y.TCP.Val)}
	case y.Ping.Given():
		return Probe{Kind: ProbePing, Ping: y.Ping.Val}
	}
	return Probe{Kind: ProbeKind(y.Auto.Val)}
}

func (p *Protect) merge(y *protectYAML) {
	if y == nil {
		return
	}
	for _, n := range y.Interfaces {
		p.Interfaces = append(p.Interfaces, string(n.Val))
	}
	if y.Auto == nil {
		return
	}
	p.Auto = nil
	for _, a := range y.Auto {
		p.Auto = append(p.Auto, Auto(a.Val))
	}
}

// maxBypass is how many prefixes of a family a bypass takes.
const maxBypass = 16

func (c *checker) bypass(b *Bypass, y *bypassYAML) {
	if y == nil {
		return
	}
	for _, f := range y.Frames {
		b.Frames = append(b.Frames, f.Val)
	}
	n := map[bool]int{}
	for _, p := range y.From {
		if n[p.Val.Addr().Is4()]++; n[p.Val.Addr().Is4()] > maxBypass {
			c.fault(p.At(), "too-many", "a bypass takes at most %d prefixes of a family", maxBypass)
		}
		b.From = append(b.From, p.Val)
	}
}

func (a *allowYAML) allow() Allow {
	out := Allow{Daemons: true}
	if a == nil {
		return out
	}
	out.Daemons = a.Daemons.Or(true)
	for _, p := range a.Exec {
		out.Exec = append(out.Exec, string(p.Val))
	}
	for _, u := range a.Users {
		out.Users = append(out.Users, string(u.Val))
	}
	for _, k := range a.Signers {
		out.Signers = append(out.Signers, string(k.Val))
	}
	return out
}

// notEnforced refuses policy that would have no effect.
func (c *checker) notEnforced(y *fileYAML) {
	if a := y.Allow; a != nil {
		if v := a.At().Get("in-commit"); v != nil && len(v.Children) > 0 {
			c.refuse(v)
		}
	}
	if r := y.Rollout; r != nil {
		if r.Delay.Ok() && r.Delay.Val != 0 {
			c.refuse(r.Delay.At())
		}
		if v := r.At().Get("windows"); v != nil && len(v.Children) > 0 {
			c.refuse(v)
		}
	}
}

func (c *checker) refuse(at *strict.Value) {
	c.report.At(at, strict.Problemf("not-enforced", "this version does not enforce this policy yet").
		Hinted("leave it out until it does"))
}
