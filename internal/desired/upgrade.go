package desired

import (
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// upgradeYAML is a versioned binary as written.
type upgradeYAML struct {
	strict.Here
	Version         strict.V[programVersion] `yaml:"version" required:"true" doc:"The version that is to be in use."`
	Artifact        *artifactYAML            `yaml:"artifact" required:"true" doc:"The archive that it comes in."`
	Root            strict.V[string]         `yaml:"root" min:"1" max:"200" doc:"The directory of versions and latest. Default of mode handover: /usr/local/lib/reconciler."`
	Start           *startYAML               `yaml:"start" required:"true" doc:"Who runs it."`
	Preflight       *preflightYAML           `yaml:"preflight" doc:"What it must do before it is used."`
	Ready           *readyYAML               `yaml:"ready" doc:"How it shows that it serves. Of mode daemon: in place of the daemon's own."`
	Soak            strict.V[time.Duration]  `yaml:"soak" min:"0" max:"86400000" doc:"For how long it must stay ready until it is kept. Default 1m."`
	Keep            strict.V[uint8]          `yaml:"keep" min:"1" max:"16" doc:"Versions that stay on disk, the one in use included. Default 2."`
	AllowDowngrade  strict.V[bool]           `yaml:"allow-downgrade" doc:"Let an older version take the place of a newer one. Default false."`
	AllowDisruption strict.V[bool]           `yaml:"allow-disruption" doc:"Let traffic be lost meanwhile. Default false."`
	Hooks           *hooksYAML               `yaml:"hooks" doc:"Of mode unit; not applied by this version."`
	Freeze          *freezeYAML              `yaml:"freeze" doc:"Of mode unit; not applied by this version."`
}

// artifactYAML is an archive, pinned.
type artifactYAML struct {
	strict.Here
	URL       strict.V[string] `yaml:"url" min:"1" max:"2048" required:"true" doc:"http, https or file: a tar.gz or a zip. {version}, {arch} and {platform} are filled in."`
	SHA256    *digestsYAML     `yaml:"sha256" doc:"Of the archive: one, or one for each architecture. Required."`
	Signature *signatureYAML   `yaml:"signature" doc:"At the url with .minisig behind it."`
}

type signatureYAML struct {
	strict.Here
	Type strict.V[string]             `yaml:"type" enum:"minisign" required:"true"`
	Key  strict.V[strict.MinisignKey] `yaml:"key" required:"true" doc:"The public key, as minisign prints it."`
}

type startYAML struct {
	strict.Here
	Mode   strict.V[string] `yaml:"mode" enum:"daemon,unit,handover,none" required:"true" doc:"daemon: one of daemons; handover: reconciler itself; none: nobody; unit: of systemd, not applied by this version."`
	Daemon strict.V[string] `yaml:"daemon" min:"1" max:"64" doc:"Of mode daemon: a name of daemons."`
	Unit   strict.V[string] `yaml:"unit" min:"1" max:"255" doc:"Of mode unit."`
}

type preflightYAML struct {
	strict.Here
	Command strict.V[string]        `yaml:"command" min:"1" max:"255" doc:"What is run, within the version. Default: the first word of the daemon's command."`
	Version []strict.V[string]      `yaml:"version" doc:"Arguments with which it prints its version."`
	Check   []strict.V[string]      `yaml:"check" doc:"Arguments with which it exits with 0. {dir} is the version's directory."`
	Timeout strict.V[time.Duration] `yaml:"timeout" min:"100" max:"60000" doc:"Of each. Default 5s."`
}

// hooksYAML are programs around the steps.
type hooksYAML struct {
	strict.Here
	PreStop  []hookExecYAML `yaml:"pre-stop"`
	Hold     []hookExecYAML `yaml:"hold"`
	Restore  []hookExecYAML `yaml:"restore"`
	Ready    []hookExecYAML `yaml:"ready"`
	Release  []hookExecYAML `yaml:"release"`
	Rollback []hookExecYAML `yaml:"rollback"`
}

type hookExecYAML struct {
	strict.Here
	Exec      []strict.V[string]      `yaml:"exec" required:"true" doc:"An absolute path and arguments; no shell."`
	Stdout    strict.V[string]        `yaml:"stdout" min:"1" max:"255" doc:"A file."`
	Timeout   strict.V[time.Duration] `yaml:"timeout" min:"100" max:"600000"`
	OnFailure strict.V[string]        `yaml:"on-failure" enum:"rollback,abort,ignore"`
}

type freezeYAML struct {
	strict.Here
	Max strict.V[time.Duration] `yaml:"max" min:"100" max:"600000"`
}

const (
	defaultSoak             = time.Minute
	defaultKeep             = 2
	defaultPreflightTimeout = 5 * time.Second

	// ownRoot is where versions of reconciler itself stand.
	ownRoot = "/usr/local/lib/reconciler"
)

func (b *builder) readUpgrades() {
	for i := range b.doc.Upgrades {
		e := &b.doc.Upgrades[i]
		b.upgrade(e.Name, declared(e.Key), &e.Val)
	}
}

func (b *builder) upgrade(name string, at *strict.Value, y *upgradeYAML) {
	if y.Start == nil || y.Artifact == nil {
		return
	}
	mode := resource.StartMode(y.Start.Mode.Val)
	root := b.root(name, y, mode)
	release := resource.Release{
		Upgrade: name, Root: root, Version: string(y.Version.Val), Source: b.archive(y),
		Preflight: b.preflight(y.Preflight, mode),
	}
	if s := y.Artifact.Signature; s != nil {
		release.Signature = resource.Signature{Type: s.Type.Val, Key: string(s.Key.Val)}
	}
	release.Dir = resource.ReleaseDir(release.Version, release.Source.SHA256)
	current := resource.Current{
		Upgrade: name, Root: root, Dir: release.Dir, Version: release.Version, Mode: mode, Daemon: y.Start.Daemon.Val, Unit: y.Start.Unit.Val,
		Ready: b.ready(y.Ready), Soak: y.Soak.Or(defaultSoak), Keep: int(y.Keep.Or(defaultKeep)),
		AllowDowngrade: y.AllowDowngrade.Val, AllowDisruption: y.AllowDisruption.Val,
	}
	b.checkUpgrade(y, current)
	d := b.startedBy(name, y, &current)
	release.Command = b.preflightCommand(y, root, d)
	if mode == resource.StartUnit {
		b.add(resource.Unsupported{Name: "upgrade " + name + " of a unit"}, at)
		return
	}
	b.add(release, at)
	b.add(current, at)
	if mode == resource.StartHandover {
		b.add(resource.Self{Upgrade: name, Root: root, Dir: release.Dir, Ready: current.Ready}, at)
	}
}

// root is the directory of one upgrade, and of no other.
func (b *builder) root(name string, y *upgradeYAML, mode resource.StartMode) string {
	root := y.Root.Val
	if !y.Root.Given() {
		if mode != resource.StartHandover {
			b.fault(y.At(), "missing-key", "root is missing").Hinted("the directory of versions and latest: /usr/local/%s", name)
			return ""
		}
		root = ownRoot
	}
	at := y.Root.At()
	if at == nil {
		at = y.At()
	}
	if y.Root.Ok() && (!path.IsAbs(root) || path.Clean(root) != root || strings.Count(root, "/") < 2) {
		b.fault(at, "bad-path", "%q is no directory for versions", root).Hinted("an absolute and clean path, not directly below /: /usr/local/%s", name)
	}
	for other, first := range b.roots {
		if root == other || strings.HasPrefix(root, other+"/") || strings.HasPrefix(other, root+"/") {
			b.fault(at, "declared-twice", "%s is within the root of another upgrade, or the other way round: %s", root, first.Pos)
		}
	}
	b.roots[root] = at
	return root
}

// archive is where a version comes from.
func (b *builder) archive(y *upgradeYAML) resource.ObjectSource {
	a := y.Artifact
	s := resource.ObjectSource{URL: b.fill(a.URL, y.Version), SHA256: b.digest(a.SHA256)}
	b.checkURL(a.URL, s.URL)
	if a.SHA256 == nil {
		b.fault(a.At(), "missing-key", "sha256 is required for what is downloaded").Hinted("sha256sum FILE prints it")
	}
	return s
}

func (b *builder) preflight(y *preflightYAML, mode resource.StartMode) resource.Preflight {
	p := resource.Preflight{Timeout: defaultPreflightTimeout}
	if mode == resource.StartHandover {
		p.Version = []string{"version"}
	}
	if y == nil {
		return p
	}
	p.Timeout = y.Timeout.Or(defaultPreflightTimeout)
	if y.Version != nil {
		p.Version = b.words(y.Version)
	}
	p.Check = b.words(y.Check)
	return p
}

func (b *builder) words(list []strict.V[string]) []string {
	var out []string
	for i, v := range list {
		if i == maxWords || len(v.Val) > maxWord || strings.ContainsRune(v.Val, 0) {
			b.fault(v.At(), "out-of-range", "%d words of %d bytes at most, and no zero", maxWords, maxWord)
			break
		}
		out = append(out, v.Val)
	}
	return out
}

// startedBy ties the process to its upgrade; nil where it is none of daemons.
func (b *builder) startedBy(name string, y *upgradeYAML, c *resource.Current) *daemon {
	if c.Mode != resource.StartDaemon {
		return nil
	}
	if !y.Start.Daemon.Given() {
		b.fault(y.Start.At(), "missing-key", "mode daemon needs to know which").Hinted("daemon: NAME, of daemons")
		return nil
	}
	d := b.daemons[y.Start.Daemon.Val]
	switch {
	case d == nil:
		suggest(b.fault(y.Start.Daemon.At(), "unknown-daemon", "no daemon is named %s", y.Start.Daemon.Val), y.Start.Daemon.Val, sortedKeys(b.daemons))
		return nil
	case d.one.Upgrade != "":
		b.fault(y.Start.Daemon.At(), "declared-twice", "daemon %s runs the versions of upgrade %s already", y.Start.Daemon.Val, d.one.Upgrade)
		return nil
	}
	d.one.Upgrade, d.one.Release = name, c.Dir
	if y.Ready != nil {
		d.one.Ready = c.Ready
	}
	return d
}

// preflightCommand is what a preflight runs, within the version.
func (b *builder) preflightCommand(y *upgradeYAML, root string, d *daemon) string {
	var at *strict.Value
	command := ""
	switch {
	case y.Preflight != nil && y.Preflight.Command.Given():
		command, at = y.Preflight.Command.Val, y.Preflight.Command.At()
	case y.Start.Mode.Val == string(resource.StartHandover):
		return "reconciler"
	case d != nil && len(d.one.Argv) > 0 && strings.HasPrefix(d.one.Argv[0], root+"/latest/"):
		return strings.TrimPrefix(d.one.Argv[0], root+"/latest/")
	}
	if y.Preflight != nil && command == "" && (y.Preflight.Version != nil || y.Preflight.Check != nil) {
		b.fault(y.Preflight.At(), "missing-key", "what is it to run?").
			Hinted("preflight runs the daemon's command where that is below %s/latest; else give command, a path within the version", root)
	}
	if at != nil && (path.IsAbs(command) || path.Clean(command) != command || strings.HasPrefix(command, "..") || command == ".") {
		b.fault(at, "bad-path", "%q is no path within the version", command)
	}
	return command
}

// checkUpgrade reports what does not go together.
func (b *builder) checkUpgrade(y *upgradeYAML, c resource.Current) {
	if c.Mode != resource.StartDaemon && y.Start.Daemon.Given() || c.Mode != resource.StartUnit && y.Start.Unit.Given() {
		b.fault(y.Start.At(), "two-ways", "daemon belongs to mode daemon, and unit to mode unit")
	}
	if c.Mode == resource.StartUnit && !y.Start.Unit.Given() {
		b.fault(y.Start.At(), "missing-key", "mode unit needs to know which").Hinted("unit: NAME.service")
	}
	if r := y.Ready; r != nil && r.PlanUnchanged.Given() && c.Mode != resource.StartHandover {
		b.fault(r.PlanUnchanged.At(), "wrong-mode", "plan-unchanged is of mode handover: only reconciler makes plans")
	}
	if r := y.Ready; r != nil && c.Mode != resource.StartDaemon && c.Mode != resource.StartUnit {
		for _, v := range []*strict.Value{r.HTTP.At(), r.TCP.At(), r.Notify.At(), r.At().Get("exec")} {
			if v != nil {
				b.fault(v, "wrong-mode", "mode %s starts nothing that could be asked so", c.Mode)
			}
		}
	}
	if y.AllowDowngrade.Given() && y.Version.Ok() && !semver.IsValid(canonical(c.Version)) {
		b.report.Warn(y.AllowDowngrade.At(), strict.Problemf("no-meaning", "%s is no semantic version, so nobody can tell what is older", c.Version))
	}
	if (y.Hooks != nil || y.Freeze != nil) && c.Mode != resource.StartUnit {
		b.fault(y.At(), "wrong-mode", "hooks and freeze are of mode unit")
	}
	if y.Hooks != nil {
		for _, list := range [][]hookExecYAML{y.Hooks.PreStop, y.Hooks.Hold, y.Hooks.Restore, y.Hooks.Ready, y.Hooks.Release, y.Hooks.Rollback} {
			b.checkHooks(list)
		}
	}
}

func (b *builder) checkHooks(list []hookExecYAML) {
	for _, h := range list {
		if len(h.Exec) > 0 && h.Exec[0].Ok() && !path.IsAbs(h.Exec[0].Val) {
			b.fault(h.Exec[0].At(), "bad-path", "%q is no absolute path", h.Exec[0].Val)
		}
	}
}

// upgradeKeys are what this build knows of an upgrade of reconciler itself.
var upgradeKeys = []string{"version", "artifact", "root", "start", "preflight", "ready", "soak", "keep", "allow-downgrade", "allow-disruption"}

// upgradesOnly keeps of a document its upgrades, and of those what this build
// knows.
func upgradesOnly(doc *strict.Value) *strict.Value {
	return pick(doc, func(c strict.Child) *strict.Value {
		switch c.Key {
		case "version":
			return c.Value
		case "upgrades":
			return pick(c.Value, func(u strict.Child) *strict.Value {
				return pick(u.Value, func(k strict.Child) *strict.Value {
					if !slices.Contains(upgradeKeys, k.Key) {
						return nil
					}
					return k.Value
				})
			})
		}
		return nil
	})
}

// handovers keeps of upgrades those of reconciler itself.
func handovers(doc *strict.Value) *strict.Value {
	return pick(doc, func(c strict.Child) *strict.Value {
		if c.Key != "upgrades" {
			return c.Value
		}
		return pick(c.Value, func(u strict.Child) *strict.Value {
			if textOf(u.Get("start").Get("mode")) != string(resource.StartHandover) {
				return nil
			}
			return u.Value
		})
	})
}

// pick is a mapping with what is made of its entries; nil leaves one out.
func pick(v *strict.Value, of func(strict.Child) *strict.Value) *strict.Value {
	if v.Kind != strict.Mapping {
		return v
	}
	out := *v
	out.Children = nil
	for _, c := range v.Children {
		if c.Value = of(c); c.Value != nil {
			out.Children = append(out.Children, c)
		}
	}
	return &out
}
