package resource

import (
	"cmp"
	"strings"
)

// Titled is a resource whose key says more than people want to read.
type Titled interface {
	Title() string
}

// Title is the upgrade.
func (r Release) Title() string { return r.Upgrade }

// Title is the process, whatever its version.
func (d Daemon) Title() string { return d.Instance() }

// Summary says which version, and what becomes of it.
func (r Release) Summary(from, to Resource) string {
	was, ok := from.(Release)
	if ok && to != nil && len(was.Damage) > 0 {
		return r.Version + "  unpacked anew: " + strings.Join(was.Damage, ", ")
	}
	return r.Version
}

// Summary says where it stands.
func (j Journal) Summary(_, to Resource) string {
	now, ok := to.(Journal)
	from, target := cmp.Or(ReleaseVersion(now.From), "none"), cmp.Or(ReleaseVersion(now.To), "none")
	switch {
	case !ok, now.State == JournalIdle:
		return "at rest"
	case now.State == JournalRollback:
		return "going back " + target + " -> " + from
	}
	return "trying " + from + " -> " + target
}

// Summary says which version was, and which is, in use.
func (c Current) Summary(from, to Resource) string {
	was, _ := from.(Current)
	now, _ := to.(Current)
	return versions(was.Dir, now.Dir)
}

// Summary says which version was, and which is, at work.
func (s Self) Summary(from, to Resource) string {
	was, had := from.(Self)
	now, _ := to.(Self)
	if had && was.Dir == now.Dir {
		return ReleaseVersion(now.Dir) + "  the former process may go"
	}
	return versions(was.Dir, now.Dir)
}

func versions(from, to string) string {
	switch {
	case from == "":
		return ReleaseVersion(to)
	case to == "":
		return ReleaseVersion(from) + " -> none"
	}
	return ReleaseVersion(from) + " -> " + ReleaseVersion(to)
}

// Summary says what becomes of the process.
func (d Daemon) Summary(from, to Resource) string {
	was, had := from.(Daemon)
	now, is := to.(Daemon)
	switch {
	case !is && was.Seen.State == DaemonStopping:
		return was.said("killed")
	case !is && was.Seen.State == DaemonExited:
		return was.said("forgotten")
	case !is:
		return was.said("asked to end")
	case had && was.Seen.State == DaemonRunning:
		return now.said("files change")
	case had:
		return now.said("started again: " + was.Seen.Reason)
	}
	words := []string{strings.Join(now.Argv, " ")}
	for _, f := range now.Fields() {
		if f.Name == "user" || f.Name == "memory" || f.Name == "cpu" {
			words = append(words, f.Name+" "+f.Value)
		}
	}
	return now.said(strings.Join(words, "  "))
}

// said is a text with the version in front, where it has one.
func (d Daemon) said(text string) string {
	return strings.TrimSpace(ReleaseVersion(d.Release) + "  " + text)
}

// Leftover is a resource that may be all that is left of something: to remove it
// takes nothing from anybody.
type Leftover interface {
	IsLeftover() bool
}

// IsLeftover of a version: none that is in use is ever removed.
func (r Release) IsLeftover() bool { return true }

// IsLeftover of a process that ended, or was asked to.
func (d Daemon) IsLeftover() bool { return d.Seen.State != DaemonRunning }
