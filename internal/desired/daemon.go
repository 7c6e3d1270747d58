package desired

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// daemonYAML is a process as written.
type daemonYAML struct {
	strict.Here
	For       strict.V[string]             `yaml:"for" min:"1" max:"255" doc:"chains/NAME: one for each of its interfaces. Left out: one."`
	Command   []strict.V[string]           `yaml:"command" required:"true" doc:"The program and its arguments. {artifact:PROGRAM}, {map:PROGRAM/MAP}, {interface}, {platform} and {arch} are filled in."`
	RestartOn []strict.V[string]           `yaml:"restart-on" doc:"What its restart follows: programs/NAME."`
	User      strict.V[string]             `yaml:"user" min:"1" max:"32" doc:"Default: nobody. Others only where the agent's file lets them."`
	Env       strict.Map[strict.V[string]] `yaml:"env" names:"^[a-zA-Z_][a-zA-Z0-9_]*$" doc:"Environment."`
	Files     strict.Map[strict.V[string]] `yaml:"files" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Files in the directory that it works in, by name, with their contents; mode 0600."`
	Reload    *reloadYAML                  `yaml:"reload" doc:"For a change of files alone. Left out: a restart."`
	Limits    *limitsYAML                  `yaml:"limits" doc:"Of its cgroup."`
	Restart   *restartYAML                 `yaml:"restart"`
	Stop      *stopYAML                    `yaml:"stop"`
	Sockets   []socketYAML                 `yaml:"sockets" doc:"Listeners that are held for it, and passed to it as LISTEN_FDS."`
	Ready     *readyYAML                   `yaml:"ready" doc:"How it shows that it serves."`
}

type reloadYAML struct {
	strict.Here
	Signal strict.V[string] `yaml:"signal" enum:"HUP,USR1,USR2" required:"true"`
}

type limitsYAML struct {
	strict.Here
	Memory strict.V[byteSize] `yaml:"memory" doc:"64MiB."`
	CPU    strict.V[cpuShare] `yaml:"cpu" doc:"Of one CPU: 50%."`
}

type restartYAML struct {
	strict.Here
	Policy strict.V[string]        `yaml:"policy" enum:"always,on-failure,never" doc:"Default on-failure."`
	Max    strict.V[uint32]        `yaml:"max" min:"1" max:"1000" doc:"Within window; then it is left alone for that time. Default 5."`
	Window strict.V[time.Duration] `yaml:"window" min:"1000" max:"86400000" doc:"Default 1m."`
}

type stopYAML struct {
	strict.Here
	Signal  strict.V[string]        `yaml:"signal" enum:"TERM,INT,QUIT,HUP,USR1,USR2" doc:"Default TERM."`
	Timeout strict.V[time.Duration] `yaml:"timeout" min:"100" max:"600000" doc:"Then it is killed. Default 10s."`
}

type socketYAML struct {
	strict.Here
	Listen strict.V[listenAddress] `yaml:"listen" required:"true" doc:"ADDRESS:PORT, udp://ADDRESS:PORT, or the path of a unix socket."`
}

// readyYAML says how a process shows that it serves.
type readyYAML struct {
	strict.Here
	HTTP          strict.V[string]        `yaml:"http" min:"1" max:"2048" doc:"A URL that answers with 2xx."`
	TCP           strict.V[string]        `yaml:"tcp" min:"1" max:"255" doc:"ADDRESS:PORT that accepts."`
	Exec          []strict.V[string]      `yaml:"exec" doc:"A program and its arguments, which exits with 0; run as the process's user."`
	Notify        strict.V[bool]          `yaml:"notify" doc:"It says READY=1, as for sd_notify."`
	PlanUnchanged strict.V[bool]          `yaml:"plan-unchanged" doc:"Of mode handover: what it would change is what the former version would. Always so; it may be said."`
	Timeout       strict.V[time.Duration] `yaml:"timeout" min:"100" max:"3600000" doc:"Since its start. Without a probe: it is ready if it still runs then. Default 30s."`
}

const (
	defaultStopTimeout  = 10 * time.Second
	defaultReadyTimeout = 30 * time.Second

	maxWords     = 256
	maxWord      = 4 << 10  // bytes
	maxFile      = 64 << 10 // bytes
	maxInstances = 64       // of all daemons
)

// daemon is a declared process and for what it runs.
type daemon struct {
	at    *strict.Value
	yaml  *daemonYAML
	one   resource.Daemon
	links []string // nil: it is one, for no interface
}

func (b *builder) readDaemons() {
	for i := range b.doc.Daemons {
		e := &b.doc.Daemons[i]
		if len(e.Name) > maxProgramName {
			b.faultKey(e.Key, "bad-name", "%q has %d bytes, the name of a daemon at most %d", e.Name, len(e.Name), maxProgramName)
		}
		b.daemons[e.Name] = b.daemon(e.Name, declared(e.Key), &e.Val)
	}
}

func (b *builder) daemon(name string, at *strict.Value, y *daemonYAML) *daemon {
	d := &daemon{at: at, yaml: y, one: resource.Daemon{
		Name: name, User: y.User.Val, Env: namedTexts(y.Env), Files: namedTexts(y.Files), StopAfter: defaultStopTimeout, Ready: b.ready(y.Ready),
	}}
	d.links = b.daemonLinks(y, &d.one)
	b.command(y, &d.one)
	b.bounds(y)
	for _, v := range y.RestartOn {
		if p := b.reference(v, "programs/"); p != "" && b.programOf(v, p) != nil {
			d.one.RestartOn = append(d.one.RestartOn, p)
		}
	}
	if y.Reload != nil {
		d.one.Reload = y.Reload.Signal.Val
	}
	if y.Limits != nil {
		d.one.Memory, d.one.CPU = uint64(y.Limits.Memory.Val), uint32(y.Limits.CPU.Val)
	}
	if r := y.Restart; r != nil {
		d.one.Restart = resource.Restart{Policy: resource.RestartPolicy(r.Policy.Val), Max: r.Max.Val, Window: r.Window.Val}
	}
	if y.Stop != nil {
		d.one.Stop, d.one.StopAfter = y.Stop.Signal.Val, y.Stop.Timeout.Or(defaultStopTimeout)
	}
	b.sockets(y, d)
	return d
}

func namedTexts(m strict.Map[strict.V[string]]) []resource.NamedText {
	var out []resource.NamedText
	for _, e := range m {
		out = append(out, resource.NamedText{Name: e.Name, Text: e.Val.Val})
	}
	slices.SortFunc(out, func(a, b resource.NamedText) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// reference is the name in kind/NAME.
func (b *builder) reference(v strict.V[string], kind string) string {
	if !v.Ok() {
		return ""
	}
	name, ok := strings.CutPrefix(v.Val, kind)
	if !ok {
		b.fault(v.At(), "bad-reference", "%q is no %sNAME", v.Val, kind)
		return ""
	}
	return name
}

func (b *builder) programOf(v strict.V[string], name string) *program {
	p := b.programs[name]
	if p == nil {
		suggest(b.fault(v.At(), "unknown-program", "no program is named %s", name), name, sortedKeys(b.programs))
	}
	return p
}

// daemonLinks are the interfaces of the chain that it is for.
func (b *builder) daemonLinks(y *daemonYAML, one *resource.Daemon) []string {
	name := b.reference(y.For, "chains/")
	if name == "" {
		return nil
	}
	var known []string
	for i := range b.doc.Chains {
		e := &b.doc.Chains[i]
		known = append(known, e.Name)
		if e.Name != name {
			continue
		}
		links := []string{}
		var quiet strict.Report // what is wrong with them the chain says
		loud := b.report
		b.report = &quiet
		for _, o := range b.chainLinks(name, e.Key, &e.Val) {
			links = append(links, o.link)
		}
		b.report = loud
		return links
	}
	suggest(b.fault(y.For.At(), "unknown-chain", "no chain is named %s", name), name, known)
	return nil
}

// commandWord is what is filled in when it starts.
var commandWord = regexp.MustCompile(`\{([a-z]+)(?::([^{}]*))?\}`)

func (b *builder) command(y *daemonYAML, one *resource.Daemon) {
	if y.Command != nil && len(y.Command) == 0 || len(y.Command) > maxWords {
		b.fault(y.At().Get("command"), "out-of-range", "%d words, and a command has from 1 to %d", len(y.Command), maxWords)
	}
	for i, v := range y.Command {
		if !v.Ok() {
			continue
		}
		if len(v.Val) > maxWord || strings.ContainsRune(v.Val, 0) {
			b.fault(v.At(), "out-of-range", "a word of a command has %d bytes at most, and no zero", maxWord)
		}
		for _, m := range commandWord.FindAllStringSubmatch(v.Val, -1) {
			b.commandWord(v, y, one, m)
		}
		if i == 0 && !path.IsAbs(v.Val) && !strings.HasPrefix(v.Val, "{artifact:") {
			b.fault(v.At(), "bad-path", "%q is no absolute path", v.Val).Hinted("no shell and no PATH looks for it: /usr/bin/x, or {artifact:PROGRAM}/x")
		}
		one.Argv = append(one.Argv, v.Val)
	}
}

func (b *builder) commandWord(v strict.V[string], y *daemonYAML, one *resource.Daemon, m []string) {
	name, in, _ := strings.Cut(m[2], "/")
	switch m[1] {
	case "artifact":
		b.programOf(v, m[2])
	case "map":
		p := b.programOf(v, name)
		if p != nil && in == "" {
			b.fault(v.At(), "unknown-word", "%s names no map", m[0]).Hinted("write {map:PROGRAM/MAP}")
		}
		if p != nil && !p.shared && !y.For.Given() {
			b.fault(v.At(), "ambiguous", "program %s has maps of its own on each interface, and the daemon is for none", name).
				Hinted("give for: chains/NAME, or instances: shared")
		}
	case "interface":
		if !y.For.Given() {
			b.fault(v.At(), "unknown-word", "{interface} is known where for names a chain")
		}
	case "platform", "arch":
	default:
		suggest(b.fault(v.At(), "unknown-word", "nothing is known to fill in for %s", m[0]), m[1], []string{"artifact", "map", "interface", "platform", "arch"})
	}
}

// bounds reports what is too large to be passed to a process.
func (b *builder) bounds(y *daemonYAML) {
	for _, m := range []strict.Map[strict.V[string]]{y.Env, y.Files} {
		for _, e := range m {
			if len(e.Val.Val) > maxFile {
				b.fault(e.Val.At(), "out-of-range", "%d bytes, more than %d", len(e.Val.Val), maxFile)
			}
			if strings.ContainsRune(e.Val.Val, 0) {
				b.fault(e.Val.At(), "out-of-range", "a zero byte")
			}
		}
		if len(m) > maxWords {
			b.fault(y.At(), "out-of-range", "%d of env or files, more than %d", len(m), maxWords)
		}
	}
}

func (b *builder) sockets(y *daemonYAML, d *daemon) {
	if len(y.Sockets) > 0 && len(d.links) > 1 {
		b.fault(y.At().Get("sockets"), "ambiguous", "one for each of %d interfaces would listen in the same place", len(d.links))
	}
	for _, s := range y.Sockets {
		one := resource.DaemonSocket(s.Listen.Val)
		if !s.Listen.Ok() {
			continue
		}
		for name, other := range b.daemons {
			if slices.Contains(other.one.Sockets, one) {
				b.fault(s.Listen.At(), "declared-twice", "daemon %s listens there already", name)
			}
		}
		if slices.Contains(d.one.Sockets, one) {
			b.fault(s.Listen.At(), "declared-twice", "it listens there already")
			continue
		}
		d.one.Sockets = append(d.one.Sockets, one)
	}
}

func (b *builder) ready(y *readyYAML) resource.Ready {
	if y == nil {
		return resource.Ready{Timeout: defaultReadyTimeout}
	}
	r := resource.Ready{HTTP: y.HTTP.Val, TCP: y.TCP.Val, Notify: y.Notify.Val, PlanUnchanged: y.PlanUnchanged.Val, Timeout: y.Timeout.Or(defaultReadyTimeout)}
	ways := 0
	for _, given := range []bool{r.HTTP != "", r.TCP != "", r.Notify, y.Exec != nil} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		b.fault(y.At(), "two-ways", "http, tcp, exec and notify exclude each other")
	}
	if u, err := url.Parse(r.HTTP); y.HTTP.Ok() && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
		b.fault(y.HTTP.At(), "bad-url", "%q is no URL of http or https", r.HTTP)
	}
	if host, _, err := net.SplitHostPort(r.TCP); y.TCP.Ok() {
		if _, bad := netip.ParseAddr(host); err != nil || bad != nil {
			b.fault(y.TCP.At(), "bad-address", "%q is no ADDRESS:PORT", r.TCP).Hinted("write 127.0.0.1:9100")
		}
	}
	for i, v := range y.Exec {
		if i == 0 && v.Ok() && !path.IsAbs(v.Val) {
			b.fault(v.At(), "bad-path", "%q is no absolute path", v.Val)
		}
		r.Exec = append(r.Exec, v.Val)
	}
	if y.Exec != nil && len(y.Exec) == 0 || len(y.Exec) > maxWords {
		b.fault(y.At(), "out-of-range", "exec has from 1 to %d words", maxWords)
	}
	return r
}

// addDaemons adds the instances, which come after the chains that they are for.
func (b *builder) addDaemons() {
	n := 0
	for i := range b.doc.Daemons {
		d := b.daemons[b.doc.Daemons[i].Name]
		links := d.links
		if links == nil {
			links = []string{""}
		}
		if n += len(links); n > maxInstances {
			b.fault(d.at, "too-many", "%d processes, more than %d", n, maxInstances)
			return
		}
		for _, link := range links {
			one := d.one
			one.Link, one.After = link, b.chainsOf(d, link)
			b.add(one, d.at)
		}
	}
}

// chainsOf are the chains that must run first: those of its interface, and
// those of the programs that it speaks of.
func (b *builder) chainsOf(d *daemon, link string) []resource.Key {
	names := slices.Clone(d.one.RestartOn)
	for _, word := range d.one.Argv {
		for _, m := range commandWord.FindAllStringSubmatch(word, -1) {
			if m[1] == "map" {
				name, _, _ := strings.Cut(m[2], "/")
				names = append(names, name)
			}
		}
	}
	var keys []resource.Key
	b.want.Each(func(k resource.Key, o resource.Object) bool {
		c, ok := o.Resource.(resource.Chain)
		if !ok || link != "" && c.Link != link {
			return true
		}
		runs := slices.ContainsFunc(c.Slots, func(s resource.Slot) bool { return slices.Contains(names, s.Program) })
		if runs || link != "" && d.yaml.For.Val == "chains/"+c.Label {
			keys = append(keys, k)
		}
		return true
	})
	slices.SortFunc(keys, resource.Key.Compare)
	return keys
}
